"""The package index that pip is configured with, asked for wheels over its JSON API (PEP 691, PEP 700).

Where pip is told no index that is PyPI. An address may hold a password, so none is shown, logged or written anywhere.
"""

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.target import Target

if TYPE_CHECKING:
    import httpx2

_PYPI = "https://pypi.org/simple"
_JSON = "application/vnd.pypi.simple.v1+json"
_ADDRESS = re.compile(r"\b[a-z][a-z+]*://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteWheel:
    """A wheel that can be fetched."""

    name: str
    version: str
    filename: str
    url: str
    """https, http or file."""
    sha256: str
    size: int | None = None
    """Bytes; None where the index doesn't say."""


def configured_index() -> str:
    """The address of the index that pip takes, from its environment and its files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    return index_in(listed.stdout)


def index_in(listed: str) -> str:
    """The index in what `pip config list` prints: the environment's, else a command's, else the one for all."""
    settings = dict(line.partition("=")[::2] for line in listed.splitlines())
    for key in (":env:.index-url", "install.index-url", "global.index-url"):
        if key in settings:
            return str(ast.literal_eval(settings[key])).rstrip("/")
    return _PYPI


def without_addresses(text: str) -> str:
    """A message in which no address is left."""
    return _ADDRESS.sub("(the index)", text)


class Registry:
    """An index; entered for as long as it is asked."""

    def __init__(self, index_url: str) -> None:
        import httpx2

        self._index = index_url
        self.client = httpx2.Client(follow_redirects=True, timeout=60.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def find_wheel(self, name: str, version: str, target: Target) -> RemoteWheel:
        """The best wheel of a release for a target, with its size.

        Raises:
            WheelError: the index can't be asked, or has none.
        """
        page = self._page(name)
        ranks = {tag: rank for rank, tag in enumerate(target.tags)}
        ranked = [
            (rank, file) for file in page["files"] if (rank := _rank(file["filename"], version, ranks)) is not None
        ]
        if not ranked:
            raise WheelError(f"the index has no wheel of {name} {version} for {target}")
        file = min(ranked, key=lambda one: one[0])[1]
        url = urljoin(page["address"], file["url"])
        sha256 = file["hashes"].get("sha256", "")
        if not sha256:
            raise WheelError(f"the index tells no sha256 of {file['filename']}")
        return RemoteWheel(name, version, file["filename"], url, sha256, file.get("size") or self.size_of(url))

    def size_of(self, url: str) -> int | None:
        """What a HEAD request tells; None where it tells nothing."""
        import httpx2

        try:
            length = self.client.head(url).raise_for_status().headers.get("content-length")
        except httpx2.HTTPError:
            return None
        return int(length) if length else None

    def _page(self, name: str) -> dict[str, Any]:
        import httpx2

        normal = re.sub(r"[-_.]+", "-", name).lower()
        try:
            reply = self._ask(f"{self._index}/{normal}/")
            content = reply.json()
        except httpx2.HTTPError as error:
            raise WheelError(f"the index can't be asked for {name}: {without_addresses(str(error))}") from None
        except ValueError as error:
            raise WheelError(f"the index that pip is configured with speaks no JSON ({_JSON})") from error
        return {"files": content["files"], "address": str(reply.url)}

    def _ask(self, url: str, tries: int = 3) -> "httpx2.Response":
        import httpx2

        try:
            return self.client.get(url, headers={"Accept": _JSON}).raise_for_status()
        except httpx2.TransportError:
            if tries == 1:
                raise
        return self._ask(url, tries - 1)


def _rank(filename: str, version: str, ranks: dict[Any, int]) -> tuple[int, Any] | None:
    """The less the better: the tag's place, then the build number, the higher first; None where it doesn't fit."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import InvalidVersion, Version

    if not filename.endswith(".whl"):
        return None
    try:
        _, found, build, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion):
        return None
    places = [ranks[tag] for tag in tags if tag in ranks]
    if found != Version(version) or not places:
        return None
    return min(places), -(build[0] if build else -1)
