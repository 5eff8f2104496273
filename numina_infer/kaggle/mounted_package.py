"""Inspects the competition's own package without importing it.

Kaggle mounts it in the competition's folder and licenses it to nobody. The 2024 module `aimo` is a binary for
CPython 3.10, which its name says (PEP 3149). kaggle_evaluation is plain Python that imports grpc and frames.
"""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from numina_infer.competitions import kaggle_package as package
from numina_infer.competitions.known import Api, Competition
from numina_infer.kaggle.inputs import Inputs
from numina_infer.kaggle.wheels import Version

_BUILT_FOR = re.compile(r"\.cpython-3(\d+)-")
_IMPORTS: Mapping[Api, tuple[str, ...]] = {
    Api.AIMO: ("pandas",),
    Api.KAGGLE_EVALUATION: ("grpc", "google.protobuf", "numpy", "pandas", "polars", "pyarrow"),
}


@dataclass(frozen=True, slots=True)
class Package:
    """The findings."""

    path: Path | None = None
    """Its folder; None where it isn't mounted."""
    built_for: frozenset[Version] = frozenset()
    """The versions of Python that it has binaries for; empty for plain Python."""
    missing: tuple[str, ...] = ()
    """Modules that it needs and that aren't installed."""

    def suits(self, python: Version) -> bool:
        """Whether that Python can load it."""
        return not self.built_for or python in self.built_for


def find_package(competition: Competition, inputs: Inputs) -> Package:
    """Inspect the package of `competition` where the gateway will import it.

    Raises:
        ConfigError: the variable that names its folder names another; see `competitions.kaggle_package`.
    """
    folder = package.find_package(competition, (inputs.root,))
    if folder is None:
        return Package()
    top = competition.package.partition(".")[0]
    path = folder / top if (folder / top).is_dir() else folder
    missing = tuple(name for name in _IMPORTS[competition.api] if not is_installed(name))
    return Package(path, frozenset(_built_for(path, top)), missing)


def is_installed(module: str) -> bool:
    """Whether this interpreter finds `module`; nothing but the packages around it is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _built_for(path: Path, top: str) -> Iterator[Version]:
    for pattern in (f"{top}*.so", "*.so", "*/*.so"):
        for file in path.glob(pattern):
            if match := _BUILT_FOR.search(file.name):
                yield 3, int(match[1])
