"""Finds the wheels that an installation on Kaggle needs: uv resolves the requirements, for any interpreter.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rich.filesize import decimal

from numina_infer.core.config import require
from numina_infer.core.errors import WheelError

if TYPE_CHECKING:
    from packaging.tags import Tag

_ADDRESS = re.compile(r"\b[a-z][a-z+]*://\S+", re.IGNORECASE)
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter that wheels are collected for: CPython on Linux, by default Kaggle's."""

    python: str = "3.12"
    glibc: int = 31
    """The lowest minor version of the GNU C library 2 there; vLLM's own wheels need 2.31."""
    machine: str = "x86_64"

    def __post_init__(self) -> None:
        is_version = re.fullmatch(r"3\.[1-9]\d?", self.python) is not None
        require(is_version, f"python-version is {self.python!r}; it must be one like 3.12")

    @classmethod
    def parse(cls, text: str) -> "Target | None":
        """Read what `str` wrote; None for another text."""
        match = re.search(r"Python (3\.\d+), glibc 2\.(\d+), (\w+)", text)
        return cls(match[1], int(match[2]), match[3]) if match else None

    def __str__(self) -> str:
        return f"Python {self.python}, glibc 2.{self.glibc}, {self.machine}"


@dataclass(frozen=True, slots=True)
class RemoteWheel:
    """A wheel that can be fetched."""

    name: str
    version: str
    filename: str
    url: str
    sha256: str
    size: int | None = None
    """Bytes; None where the index doesn't say."""

    @property
    def size_text(self) -> str:
        """The size for people."""
        return "?" if self.size is None else decimal(self.size)


def resolve(requirements: Sequence[str], target: Target, constraints: Sequence[Path] = ()) -> tuple[RemoteWheel, ...]:
    """Every wheel that an empty environment of `target` needs for `requirements`.

    Raises:
        WheelError: uv finds no set of wheels, can't reach the index, or isn't installed.
    """
    index_url = pip_index()
    limits = [word for path in constraints for word in ("--constraint", str(path))]
    done = _compile(requirements, target, ["--format", "pylock.toml", *limits], index_url)
    if done.returncode:
        raise WheelError(f"the wheels can't be resolved:\n{without_addresses(done.stderr.strip())}")
    packages = tomllib.loads(done.stdout)["packages"]
    return tuple(_best_wheel(package, target, index_url) for package in packages)


def folder_fault(folder: Path, requirements: Sequence[str], target: Target) -> str:
    """Why the wheels in `folder` alone don't install `requirements` on `target`, in uv's words; empty where they do.

    Raises:
        WheelError: uv isn't installed.
    """
    done = _compile(requirements, target, ["--no-index", "--find-links", str(folder)])
    return " ".join(done.stderr.split()) if done.returncode else ""


def _compile(
    requirements: Sequence[str], target: Target, more: Sequence[str], index_url: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `uv pip compile` with pip's index in place of uv's own settings."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("UV_") or key == "UV_CACHE_DIR"}
    options = ["--only-binary", ":all:", "--no-config", "--no-python-downloads", "--quiet"]
    platform = f"{target.machine}-manylinux_2_{target.glibc}"
    return subprocess.run(  # noqa: S603 (our own words, and no shell)
        [
            *(find_uv(), "pip", "compile", *options, *more),
            *("--python-version", target.python, "--python-platform", platform, "-"),
        ],
        input="\n".join(requirements),
        env=own | {"UV_DEFAULT_INDEX": index_url} if index_url else own,
        capture_output=True,
        text=True,
        check=False,
    )


def pip_index() -> str:
    """The address of the index that pip is configured with; PyPI where it names none."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    return index_in(listed.stdout)


def index_in(listed: str) -> str:
    """The same, from what `pip config list` prints: the environment's before the command's before the files'."""
    settings = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    named = (settings.get(f"{scope}.index-url") for scope in (":env:", "install", "global"))
    found = next((text for text in named if text), None)
    return str(ast.literal_eval(found)) if found else "https://pypi.org/simple"


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


def _best_wheel(package: Mapping[str, Any], target: Target, index_url: str) -> RemoteWheel:
    """The wheel of a package in pylock.toml that pip would take: the most special tag, then the highest build."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    ranks = tag_ranks(target)

    def rank(wheel: RemoteWheel) -> tuple[int, int]:
        _, _, build, tags = parse_wheel_filename(wheel.filename)
        return -min((ranks[tag] for tag in tags if tag in ranks), default=len(ranks)), build[0] if build else -1

    try:
        best = max((_remote_wheel(package, file, index_url) for file in package["wheels"]), key=rank)
    except InvalidWheelFilename as error:
        raise WheelError(f"the index has a file whose name is no wheel's: {error}") from error
    if not best.sha256:
        raise WheelError(f"the index tells no sha256 of {best.filename}; use another index")
    return best


def _remote_wheel(package: Mapping[str, Any], file: Mapping[str, Any], index_url: str) -> RemoteWheel:
    """A wheel under the name that the index gives it, which its address may lack."""
    address = file["url"]
    filename = PurePosixPath(file.get("name") or unquote(urlsplit(address).path)).name
    url, sha256 = _signed(address, index_url), file["hashes"].get("sha256", "")
    return RemoteWheel(package["name"], package["version"], filename, url, sha256, file.get("size"))


def _signed(url: str, index_url: str) -> str:
    """`url` with the user and the password of the index, which uv leaves out, where both are on one host."""
    file, index = urlsplit(url), urlsplit(index_url)
    is_same_host = (file.scheme, file.hostname, file.port) == (index.scheme, index.hostname, index.port)
    return file._replace(netloc=index.netloc).geturl() if is_same_host else url


@cache
def tag_ranks(target: Target) -> "Mapping[Tag, int]":
    """The tags (PEP 425, PEP 600) of every wheel that installs on `target`; the best has the lowest number."""
    from packaging.tags import compatible_tags, cpython_tags

    version, platforms = (3, int(target.python.split(".")[1])), tuple(_platforms(target))
    own = cpython_tags(version, platforms=platforms)
    tags = (*own, *compatible_tags(version, f"cp3{version[1]}", platforms))
    return {tag: rank for rank, tag in enumerate(tags)}


def _platforms(target: Target) -> Iterator[str]:
    """Platform tags, the most special first."""
    for minor in range(target.glibc, 4, -1):
        yield f"manylinux_2_{minor}_{target.machine}"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_{target.machine}"
    yield f"linux_{target.machine}"
