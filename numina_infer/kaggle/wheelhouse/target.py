"""The interpreter that wheels are collected for: Kaggle's, or the one that runs.

A wheel's tags (PEP 425, PEP 600) say which interpreters it is for, and a requirement's marker (PEP 508) where it
applies. Both are evaluated for the target here, not for the interpreter that runs.
"""

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.tags import Tag

HERE = "here"
"""On the command line: the interpreter that runs."""

_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class Target:
    """CPython on Linux."""

    python: str = "3.12"
    glibc: int = 31
    """The lowest minor version of the GNU C library 2 there; vLLM's own wheels need 2.31."""
    machine: str = "x86_64"

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"3\.[1-9]\d?", self.python) is not None,
            f"python-version is {self.python!r}; it must be one like 3.12, or {HERE}",
        )

    @classmethod
    def here(cls) -> "Target":
        """The interpreter that runs.

        Raises:
            ConfigError: it isn't CPython on Linux with the GNU C library.
        """
        library, version = platform.libc_ver()
        if sys.implementation.name != "cpython" or library != "glibc":
            raise ConfigError(
                "wheels are collected for CPython on Linux with glibc; name one with --python-version 3.12"
            )
        return cls(f"3.{sys.version_info.minor}", int(version.split(".")[1]), platform.machine())

    @classmethod
    def named(cls, python: str) -> "Target":
        """The target of `--python-version`: `3.12` is one on Kaggle's platform, `here` the interpreter that runs."""
        return cls.here() if python == HERE else cls(python)

    @classmethod
    def parse(cls, text: str) -> "Target | None":
        """Read what `str` wrote; None for another text."""
        match = re.search(r"Python (3\.\d+), glibc 2\.(\d+), (\w+)", text)
        return cls(match[1], int(match[2]), match[3]) if match else None

    def __str__(self) -> str:
        return f"Python {self.python}, glibc 2.{self.glibc}, {self.machine}"

    @property
    def uv_platform(self) -> str:
        """Uv's name for the platform."""
        return f"{self.machine}-manylinux_2_{self.glibc}"

    @property
    def tags(self) -> "tuple[Tag, ...]":
        """Of every wheel that installs there, the best first."""
        return tuple(_ranks(self))

    def rank(self, tags: "Iterable[Tag]") -> int | None:
        """The place of a wheel's best tag in `tags` of this target; None where the wheel doesn't install there."""
        ranks = _ranks(self)
        return min((ranks[tag] for tag in tags if tag in ranks), default=None)

    def needs(self, required: "Requirement", extra: str = "") -> bool:
        """Whether the requirement's marker holds there, for a package that is wanted with `extra`."""
        return required.marker is None or required.marker.evaluate(self.environment | {"extra": extra})

    @property
    def environment(self) -> dict[str, str]:
        """The variables of markers."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


@cache
def _ranks(target: Target) -> "dict[Tag, int]":
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
