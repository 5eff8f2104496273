"""Checks that a wheelhouse installs by itself: reads its files, and installs it where the right Python is here.

The installation is the kernel's own (`wheel_prefix.install_command`): it sees the folder and nothing else, and checks
every hash. Afterwards `pip check` reports a package that lacks another.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.build.findings import Finding
from numina_infer.kaggle.inputs import LOCK
from numina_infer.kaggle.wheel_prefix import bare_environment, install_command
from numina_infer.kaggle.wheelhouse.download import sha256_of
from numina_infer.kaggle.wheelhouse.lock import Lock
from numina_infer.kaggle.wheelhouse.resolution import find_uv
from numina_infer.kaggle.wheelhouse.target import Target
from numina_infer.kaggle.wheelhouse.wheel_files import WheelFile, lacks

_AGAIN = "run numina-infer kaggle wheelhouse again, which fetches what is missing"
_BUILD = "build the wheelhouse anew, in a new folder"


class Proof(StrEnum):
    """The way a wheelhouse was checked."""

    INSTALLED = "installed"
    """Into an empty environment, without the network."""
    READ = "read"
    """Hashes, tags and requirements of its files only."""


@dataclass(frozen=True, slots=True)
class OfflineTrial:
    """The outcome of a check."""

    proof: Proof
    target: Target
    findings: tuple[Finding, ...] = ()

    @property
    def line(self) -> str:
        """For people."""
        if self.findings:
            return "the wheelhouse doesn't install by itself"
        if self.proof is Proof.INSTALLED:
            return f"installed from the folder alone into an empty environment of Python {self.target.python}"
        return f"hashes, tags and requirements read and right for {self.target}; not installed"


def try_wheelhouse(folder: Path, *, may_install: bool = True) -> OfflineTrial:
    """Read the wheelhouse in `folder`; if nothing is wrong and its interpreter is here, install it too.

    Raises:
        ConfigError: its lock can't be read.
    """
    lock = Lock.read(folder)
    found = tuple(read_faults(folder, lock))
    # Without pip nothing can be installed here, which says nothing of the wheels.
    python = find_python(lock.target) if may_install and not found and find_spec("pip") else None
    if python is None:
        return OfflineTrial(Proof.READ, lock.target, found)
    with tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch:
        return OfflineTrial(
            Proof.INSTALLED, lock.target, tuple(install_faults(folder, python, Path(scratch) / "venv"))
        )


def read_faults(folder: Path, lock: Lock) -> Iterator[Finding]:
    """Yields what is wrong with the files."""
    yield from _stray(folder)
    wheels, unreadable = _read_wheels(folder)
    yield from unreadable
    yield from _unlocked(wheels, lock)
    for wheel in wheels:
        if not wheel.fits(lock.target):
            yield Finding(wheel.path.name, f"it doesn't install on {lock.target}", _BUILD)
    try:
        yield from (Finding(LOCK, lack, _BUILD) for lack in lacks(wheels, lock.target))
    except WheelError as error:
        yield Finding(LOCK, str(error), _AGAIN)


def _unlocked(wheels: Sequence[WheelFile], lock: Lock) -> Iterator[Finding]:
    here = {(wheel.name, str(wheel.version)): wheel for wheel in wheels}
    locked = {_release(entry.name, entry.version): entry.sha256 for entry in lock.entries}
    for release, sha256 in locked.items():
        wheel = here.get(release)
        if wheel is None:
            yield Finding(LOCK, f"the wheel of {' '.join(release)} is missing", _AGAIN)
        elif sha256_of(wheel.path) != sha256:
            yield Finding(wheel.path.name, "it isn't what its hash in the lock says", f"remove it, and {_AGAIN}")
    for release in here.keys() - locked.keys():
        yield Finding(here[release].path.name, "it isn't in the lock", "remove it")


def find_python(target: Target) -> str | None:
    """An interpreter of the target's version on a machine like it: this one, or as uv finds it; None without one."""
    here = Target.here()
    if target.machine != here.machine or target.glibc > here.glibc:
        return None
    if target.python == here.python:
        return sys.executable
    try:
        command = [find_uv(), "python", "find", "--no-python-downloads", "--no-config", "--no-project", target.python]
    except WheelError:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    return done.stdout.strip() or None


def install_faults(folder: Path, python: str, venv: Path) -> Iterator[Finding]:
    """Install the whole lock from `folder` into a new environment at `venv`; yields what went wrong, if anything."""
    inside = venv / "bin" / "python"
    steps = (
        [python, "-I", "-m", "venv", "--without-pip", str(venv)],
        install_command(folder, inside),
        [sys.executable, "-m", "pip", "--python", str(inside), "--isolated", "--disable-pip-version-check", "check"],
    )
    for step in steps:
        done = subprocess.run(  # noqa: S603 (our own words, and no shell)
            step, capture_output=True, text=True, check=False, env=bare_environment()
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[-2000:]
            yield Finding(LOCK, f"it doesn't install: {said}", _BUILD)
            return


def _stray(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Finding(f"{path.name}/", "an upload skips folders", "remove it")
        elif path.suffix == ".part":
            yield Finding(path.name, "it hasn't arrived whole", _AGAIN)


def _read_wheels(folder: Path) -> tuple[list[WheelFile], list[Finding]]:
    wheels, unreadable = [], []
    for path in sorted(folder.glob("*.whl")):
        try:
            wheels.append(WheelFile.read(path))
        except WheelError as error:
            unreadable.append(Finding(path.name, str(error), "remove it"))
    return wheels, unreadable


def _release(name: str, version: str) -> tuple[str, str]:
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    return canonicalize_name(name), str(Version(version))
