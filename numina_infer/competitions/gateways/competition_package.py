"""Find and import Kaggle's own module for a competition, which has no licence, so that we never ship it.

Kaggle mounts it below `/kaggle/input/SLUG` or, in newer kernels, `/kaggle/input/competitions/SLUG`.
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
"""The environment variable that names the package, or the folder that holds it; it is looked at first."""

INPUT_ROOTS = (Path("/kaggle/input"),)


def find_package(competition: Competition, roots: Sequence[Path] = INPUT_ROOTS) -> Path | None:
    """The folder from which Kaggle's module for `competition` can be imported; None if there is none.

    Looks at `$KAGGLE_EVALUATION_PATH`, then at the competition's folder under `roots`, then at `sys.path`.

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
    """Import Kaggle's module for `competition`; None if there is none.

    Raises:
        ConfigError: see `find_package`.
        GatewayError: it can't be imported, such as a binary for another Python.
    """
    folder = find_package(competition, roots)
    if folder is None:
        return None
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(competition.package)
    except (Exception, SystemExit) as error:  # it calls sys.exit if files of its own are missing
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
