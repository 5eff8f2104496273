"""Kaggle's own module for a competition: found where Kaggle mounts it, never shipped by us, since it has no licence.

Layouts of the input folder, old and new, as they stand in public kernels: `/kaggle/input/SLUG` and
`/kaggle/input/competitions/SLUG`.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from numina_infer.competitions.known import Competition
from numina_infer.core.errors import ConfigError, GatewayError

PATH_VARIABLE = "KAGGLE_EVALUATION_PATH"
"""Names the folder that holds the package, or the package, before any other place is looked at."""

INPUT_ROOTS = (Path("/kaggle/input"),)


def find_package(competition: Competition, roots: Sequence[Path] = INPUT_ROOTS) -> Path | None:
    """The folder from which Kaggle's module for `competition` can be imported; None where there is none.

    Looked at in turn: what `$KAGGLE_EVALUATION_PATH` names, the competition's folder under `roots`, and `sys.path`.

    Raises:
        ConfigError: `$KAGGLE_EVALUATION_PATH` names a place without it.
    """
    named = os.environ.get(PATH_VARIABLE, "")
    if named:
        folder = Path(named)
        found = next((place for place in (folder, folder.parent) if _holds(place, competition)), None)
        if found is None:
            raise ConfigError(
                f"${PATH_VARIABLE} is {named}, where there is no {competition.package}; mend or unset it"
            )
        return found
    return next((place for place in _places(competition, roots) if _holds(place, competition)), None)


def load_package(competition: Competition, roots: Sequence[Path] = INPUT_ROOTS) -> ModuleType | None:
    """Kaggle's module for `competition`, imported; None where there is none.

    Raises:
        ConfigError: see `find_package`.
        GatewayError: it is there and can't be imported, such as a binary for another Python.
    """
    folder = find_package(competition, roots)
    if folder is None:
        return None
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(competition.package)
    except (Exception, SystemExit) as error:  # it ends the interpreter where files of its own are missing
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise GatewayError(
            f"{competition.package} is in {folder} and can't be imported by Python {version}: {error!r}"
        ) from error


def _places(competition: Competition, roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        yield root / competition.slug
        yield root / "competitions" / competition.slug
    yield from map(Path, sys.path)


def _holds(folder: Path, competition: Competition) -> bool:
    """Whether the module is in `folder`: a package, a file, or a binary for one Python (`aimo.cpython-310-….so`)."""
    *packages, name = competition.package.split(".")
    inner = folder.joinpath(*packages)
    return (inner / name / "__init__.py").is_file() or any(
        path.suffix in {".py", ".so"} for path in inner.glob(f"{name}.*")
    )
