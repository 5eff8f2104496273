"""The competition's own package, as far as it can be looked at without running it.

Kaggle mounts it in the competition's folder and licenses it to nobody. The 2024 module `aimo` is a binary for
CPython 3.10; a binary's name tells the interpreter it is for (PEP 3149). kaggle_evaluation is plain Python that
imports grpc and frames.
"""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from numina_infer.competitions.gateways import competition_package as package
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
    """What was found of it."""

    path: Path | None = None
    """Its folder; None where it isn't here."""
    built_for: frozenset[Version] = frozenset()
    """The Pythons that it has binaries for; empty for plain Python."""
    missing: tuple[str, ...] = ()
    """Modules that it needs and that aren't here."""

    def suits(self, python: Version) -> bool:
        """Whether that Python can load it."""
        return not self.built_for or python in self.built_for


def find_package(competition: Competition, inputs: Inputs) -> Package:
    """Look for the package that `competition` is answered through, where its gateway will.

    Raises:
        ConfigError: the variable that names its folder names another; see `gateways.package`.
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
