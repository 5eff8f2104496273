"""Finds the wheels that an installation needs: uv resolves the requirements, for any interpreter.

pip evaluates markers for the interpreter that it runs on, so it can't resolve for Kaggle's; `uv pip compile` can, and
its pylock.toml (PEP 751) has the address, the size and the hash of each wheel. uv asks the index that pip is
configured with. An index's address may hold a password, so no message shows one.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.filesize import decimal

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.target import Target

_ADDRESS = re.compile(r"\b[a-z][a-z+]*://\S+", re.IGNORECASE)
_SCOPES = ("global", "install", ":env:")
"""Of pip's settings, the strongest last."""


@dataclass(frozen=True, slots=True)
class RemoteWheel:
    """A wheel that can be fetched."""

    name: str
    version: str
    url: str
    """https, http or file."""
    sha256: str
    size: int | None = None
    """Bytes; None where the index doesn't say."""
    given_name: str = ""
    """What the index calls the file, where that isn't the last part of the address."""

    @property
    def filename(self) -> str:
        """The file's name, which tells what it is for."""
        return self.given_name or PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def size_text(self) -> str:
        """The size for people."""
        return "?" if self.size is None else decimal(self.size)

    @property
    def local_path(self) -> Path | None:
        """The file, where it is on this machine."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None


def resolve(
    requirements: Sequence[str], target: Target, constraints: Sequence[Path] = (), *, is_here: bool = False
) -> tuple[RemoteWheel, ...]:
    """Every wheel that an empty environment of `target` needs for `requirements`.

    With `is_here` the target is the interpreter that runs, and uv also takes the further indexes, the local wheels
    and the constraints that pip is configured with: those are made for this machine.

    Raises:
        WheelError: uv finds no set of wheels, can't reach the index, or isn't installed.
    """
    settings = pip_settings()
    options = ["--format", "pylock.toml", "--only-binary", ":all:", "--no-config", "--no-python-downloads", "--quiet"]
    platform = ["--python-version", target.python, "--python-platform", target.uv_platform]
    interpreter = ["--python", sys.executable] if is_here else platform
    limits = [word for path in constraints for word in ("--constraint", str(path))]
    done = subprocess.run(  # noqa: S603 (our own words, and no shell)
        [find_uv(), "pip", "compile", *options, *interpreter, *limits, "-"],
        input="\n".join(requirements),
        env=_environment(settings, is_here=is_here),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WheelError(f"the wheels can't be resolved:\n{without_addresses(done.stderr.strip())}")
    packages = tomllib.loads(done.stdout)["packages"]
    return tuple(_best_wheel(package, target, settings["index-url"]) for package in packages)


def pip_settings() -> dict[str, str]:
    """Pip's settings from its environment and its files, by option; the index is PyPI where neither names one."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    return settings_in(listed.stdout)


def settings_in(listed: str) -> dict[str, str]:
    """The same, from what `pip config list` prints."""
    lines = [line.partition("=") for line in listed.splitlines()]
    found = {"index-url": "https://pypi.org/simple"}
    for scope in _SCOPES:
        of_scope = {key: value for key, _, value in lines if key.startswith(f"{scope}.")}
        found |= {key.removeprefix(f"{scope}."): str(ast.literal_eval(value)) for key, value in of_scope.items()}
    return found


def without_addresses(text: str) -> str:
    """A message in which no address is left."""
    return _ADDRESS.sub("(the index)", text)


def find_uv() -> str:
    """The path of uv, out of the package of that name.

    Raises:
        WheelError: it isn't installed.
    """
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise WheelError("uv isn't installed; run: pip install 'numina-infer[kernel]'") from error


def _environment(settings: Mapping[str, str], *, is_here: bool) -> dict[str, str]:
    """This process's environment, with pip's settings in place of uv's own."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("UV_") or key == "UV_CACHE_DIR"}
    own["UV_DEFAULT_INDEX"] = settings["index-url"]
    if not is_here:
        return own
    return own | {
        "UV_INDEX": settings.get("extra-index-url", ""),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # as pip: the best version of all indexes
        "UV_FIND_LINKS": ",".join(filter(_is_there, settings.get("find-links", "").split())),
        "UV_CONSTRAINT": settings.get("constraint", ""),
    }


def _is_there(place: str) -> bool:
    """False for a folder that is gone: pip passes over it, and uv would stop."""
    return "://" in place or Path(place).exists()


def _best_wheel(package: Mapping[str, Any], target: Target, index_url: str) -> RemoteWheel:
    """The wheel of a package in pylock.toml that pip would take: the most special tag, then the highest build."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    def rank(wheel: RemoteWheel) -> tuple[int, int]:
        _, _, build, tags = parse_wheel_filename(wheel.filename)
        place = target.rank(tags)
        return -1 if place is None else -place, build[0] if build else -1

    files = package.get("wheels") or [package["archive"]]
    try:
        best = max((_remote_wheel(package, file, index_url) for file in files), key=rank)
    except InvalidWheelFilename as error:
        raise WheelError(f"the index has a file whose name is no wheel's: {error}") from error
    if not best.sha256:
        raise WheelError(f"the index tells no sha256 of {best.filename}; use another index")
    return best


def _remote_wheel(package: Mapping[str, Any], file: Mapping[str, Any], index_url: str) -> RemoteWheel:
    url = _signed(file["url"], index_url) if "url" in file else Path(file["path"]).absolute().as_uri()
    sha256, name = file["hashes"].get("sha256", ""), PurePosixPath(file.get("name", "")).name
    return RemoteWheel(package["name"], package["version"], url, sha256, file.get("size"), name)


def _signed(url: str, index_url: str) -> str:
    """`url` with the user and the password of the index, which uv leaves out, where both are on one host."""
    file, index = urlsplit(url), urlsplit(index_url)
    is_same_host = (file.scheme, file.hostname, file.port) == (index.scheme, index.hostname, index.port)
    return file._replace(netloc=index.netloc).geturl() if is_same_host else url
