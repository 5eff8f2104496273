"""Reads a wheelhouse before it is installed: a folder of wheels and the lock that names them.

A wheel's name has its package, its version, and the interpreter and machine that it is for (packaging.python.org,
binary distribution format); it is a zip file, whose table has the unpacked sizes.
"""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.inputs import LOCK

Version = tuple[int, int]

_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*==", re.MULTILINE)
_INTERFACE = re.compile(r"cp3(\d+)")
_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?")
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Wheels:
    """The contents of a wheelhouse."""

    folder: Path
    locked: tuple[str, ...]
    """The packages that the lock names, in lower case with hyphens."""
    versions: dict[str, str]
    """Of each package that has a wheel."""
    pythons: frozenset[Version]
    """The versions that wheels are built for; wheels for every Python, or for all later ones, don't count."""
    unpacked_bytes: int = 0

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that the lock names and no wheel has."""
        return tuple(name for name in self.locked if name not in self.versions)

    @property
    def cuda(self) -> Version | None:
        """The CUDA that comes with them; None where none does."""
        found = next((version for name, version in self.versions.items() if _RUNTIME.fullmatch(name)), None)
        return _version(found) if found is not None else None


def read_wheels(folder: Path) -> Wheels:
    """Read the names and tables of the wheels in `folder`, and its lock.

    Raises:
        ConfigError: the lock can't be read, or a wheel isn't whole.
    """
    files = sorted(folder.glob("*.whl"))
    names = [file.name.removesuffix(".whl").split("-") for file in files]
    return Wheels(
        folder,
        locked_packages(read_lock(folder)),
        {_normal(name[0]): name[1] for name in names if len(name) >= 5},
        frozenset(_pythons(name[-2] for name in names if len(name) >= 5)),
        unpacked_bytes=sum(map(_unpacked_bytes, files)),
    )


def read_lock(folder: Path) -> str:
    """The lock's text; `ConfigError` where it can't be read."""
    try:
        return (folder / LOCK).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder} has no {LOCK} that can be read ({error}): build the wheelhouse again") from error


def locked_packages(lock: str) -> tuple[str, ...]:
    """The packages that a lock's text names, in lower case with hyphens."""
    return tuple(map(_normal, _LOCKED.findall(lock)))


def _normal(name: str) -> str:
    return _SEPARATORS.sub("-", name).lower()


def _pythons(interfaces: Iterable[str]) -> set[Version]:
    found = (_INTERFACE.match(interface) for interface in interfaces)
    return {(3, int(match[1])) for match in found if match}


def _unpacked_bytes(wheel: Path) -> int:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{wheel.name} isn't a whole wheel ({error}): upload the wheelhouse again") from error


def _version(text: str) -> Version:
    parts = text.split(".")
    is_version = len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit()
    require(is_version, f"{text!r} is no version of CUDA's runtime")
    return int(parts[0]), int(parts[1])
