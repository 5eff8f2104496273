"""Finds files that are in the checkout, and in this package's wheel as `kaggle/build/data/`."""

from pathlib import Path

from numina_infer.core.errors import ConfigError

_PACKAGE = Path(__file__).parents[2]


def find_checkout() -> Path | None:
    """The folder of the source checkout that this package runs from; None where it is installed from a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def find_shipped(path: str) -> Path:
    """The file at `path` of the checkout, or its copy in the package, which has the file's name alone.

    Raises:
        ConfigError: neither is there.
    """
    found = find_optional(path)
    if found is None:
        raise ConfigError(
            f"{path} isn't part of this installation; install numina-infer from its wheel or its checkout"
        )
    return found


def find_optional(path: str) -> Path | None:
    """The same, or None."""
    checkout = find_checkout()
    places = [*([checkout / path] if checkout else []), Path(__file__).with_name("data") / Path(path).name]
    return next((place for place in places if place.is_file()), None)
