"""The wheels of our own dataset: this package, and the pure Python packages that it needs and Kaggle's image may lack.

From a checkout pip builds the wheel; where the package is installed from a wheel, that is put together again from its
files, which is what RECORD lists (PEP 376, PEP 427).
"""

import base64
import csv
import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.resolution import without_addresses
from numina_infer.kaggle.build.shipped import find_checkout
from numina_infer.kaggle.wheelhouse.target import Target

OWN = "numina-infer"
LIGHT = ("httpx2", "httpcore2")
"""Core dependencies that the image may lack; they and all that they need are pure Python."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)


def make_own_wheel(folder: Path) -> Path:
    """The wheel of this package, in `folder`.

    Raises:
        WheelError: pip can't build it, or it isn't installed at all.
    """
    checkout = find_checkout()
    if checkout is None:
        return repack(_distribution(OWN), folder)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(checkout))
    return max(folder.glob("numina_infer-*.whl"), key=lambda path: path.stat().st_mtime)


def fetch_light_wheels(folder: Path, target: Target) -> tuple[str, ...]:
    """The pure Python wheels of `LIGHT` and of what they need on `target`, in the versions installed here.

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
    """The names and those of all that they need on `target`, as what is installed here says; extras left out."""
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
        environment = target.environment | {"extra": ""}
        to_ask += [each.name for each in asked if each.marker is None or each.marker.evaluate(environment)]
    return needed


def repack(installed: Distribution, folder: Path) -> Path:
    """The wheel that a distribution was installed from, put together again; scripts are made anew by an installer.

    Raises:
        WheelError: its files aren't listed, or one of them isn't there.
    """
    files = {path: contents for path, contents in _contents(installed) if not path.endswith(".dist-info/RECORD")}
    tag = _tag(installed.read_text("WHEEL") or "")
    stem = f"{re.sub(r'[-_.]+', '_', installed.metadata['Name']).lower()}-{installed.version}"
    path = folder / f"{stem}-{tag}.whl"
    record = f"{stem}.dist-info/RECORD"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, contents in [*sorted(files.items()), (record, _record(files, record))]:
            wheel.writestr(zipfile.ZipInfo(name, _EARLIEST), contents, zipfile.ZIP_DEFLATED)
    return path


_MADE_BY_INSTALLERS = {"INSTALLER", "REQUESTED", "direct_url.json"}


def _contents(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    if installed.files is None:
        raise WheelError(f"{installed.metadata['Name']} lists no files; install it from a wheel")
    for file in installed.files:
        if file.name in _MADE_BY_INSTALLERS or file.suffix == ".pyc" or ".." in file.parts:
            continue
        path = Path(str(file.locate()))
        if not path.is_file():
            raise WheelError(f"{path} is missing; install {installed.metadata['Name']} anew")
        yield file.as_posix(), path.read_bytes()


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name, contents in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(contents)])
    writer.writerow([own_name, "", ""])
    return rows.getvalue().encode()


def _tag(wheel_file: str) -> str:
    tag = re.search(r"^Tag: (\S+)$", wheel_file, re.MULTILINE)
    if tag is None:
        raise WheelError("an installed package doesn't tell its wheel's tag; install it anew")
    return tag[1]


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
