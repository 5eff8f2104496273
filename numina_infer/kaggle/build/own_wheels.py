"""Collects the wheels of our own dataset: this package, and pure Python packages that Kaggle's image may lack.

From a checkout pip builds this package's wheel. Where the package was installed from a wheel, `repack` rebuilds that
from the files that its RECORD lists (PEP 376, PEP 427).
"""

import csv
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.build.shipped import find_checkout
from numina_infer.kaggle.wheelhouse.resolution import without_addresses
from numina_infer.kaggle.wheelhouse.target import Target

OWN = "numina-infer"
LIGHT = ("httpx2", "httpcore2")
"""Core dependencies that the image may lack; they and all that they need are pure Python."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_MADE_BY_INSTALLERS = {"INSTALLER", "REQUESTED", "direct_url.json"}


def make_own_wheel(folder: Path) -> Path:
    """Make the wheel of this package in `folder`; returns its path.

    Raises:
        WheelError: pip can't build it, or it isn't installed at all.
    """
    checkout = find_checkout()
    if checkout is None:
        return repack(_distribution(OWN), folder)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(checkout))
    return max(folder.glob("numina_infer-*.whl"), key=lambda path: path.stat().st_mtime)


def fetch_light_wheels(folder: Path, target: Target) -> tuple[str, ...]:
    """Fetch the pure Python wheels of `LIGHT` and all that they need on `target`, in the versions installed here.

    Returns:
        Each as `name==version`.

    Raises:
        WheelError: pip can't fetch one, or it isn't pure Python.
    """
    pins = tuple(f"{name}=={_distribution(name).version}" for name in sorted(needed_by(LIGHT, target)))
    pure = ("--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none")
    _pip("download", "--no-deps", *pure, "--python-version", target.python, "--dest", str(folder), *pins)
    return pins


def needed_by(names: Sequence[str], target: Target) -> set[str]:
    """The packages `names` and all that they need on `target`, by the packages installed here; without extras."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    needed: set[str] = set()
    to_ask = list(names)
    while to_ask:
        name = canonicalize_name(to_ask.pop())
        if name in needed:
            continue
        needed.add(name)
        asked = map(Requirement, _distribution(name).requires or ())
        to_ask += [each.name for each in asked if target.needs(each)]
    return needed


def repack(installed: Distribution, folder: Path) -> Path:
    """Rebuild the wheel that a distribution was installed from; installers make its scripts again.

    Raises:
        WheelError: its files aren't listed, or one of them isn't there.
    """
    name, tag = (
        installed.metadata["Name"],
        re.search(r"^Tag: (\S+)$", installed.read_text("WHEEL") or "", re.MULTILINE),
    )
    record = installed.read_text("RECORD")
    if tag is None or record is None:
        raise WheelError(f"{name} lists no files, or no tag of its wheel; install it from a wheel")
    rows = [row for row in csv.reader(record.splitlines()) if _is_from_the_wheel(PurePosixPath(row[0]))]
    stem = f"{re.sub(r'[-_.]+', '_', name).lower()}-{installed.version}"
    path = folder / f"{stem}-{tag[1]}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file, *_ in sorted(rows):
            source = Path(str(installed.locate_file(file)))
            if not source.is_file():
                raise WheelError(f"{source} is missing; install {name} anew")
            contents = _written(rows) if file.endswith(".dist-info/RECORD") else source.read_bytes()
            wheel.writestr(zipfile.ZipInfo(file, _EARLIEST), contents, zipfile.ZIP_DEFLATED)
    return path


def _is_from_the_wheel(file: PurePosixPath) -> bool:
    """False of what an installer adds: scripts, compiled modules and notes of its own."""
    return ".." not in file.parts and file.suffix != ".pyc" and file.name not in _MADE_BY_INSTALLERS


def _written(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise WheelError(f"{name} isn't installed here; run: pip install numina-infer") from error


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 (our own words, and no shell)
        command, capture_output=True, text=True, check=False, env=dict(os.environ) | {"PIP_NO_INPUT": "1"}
    )
    if done.returncode:
        raise WheelError(f"pip {arguments[0]} failed:\n{without_addresses(done.stderr.strip())}")
