"""Checks that a wheelhouse installs by itself: reads its files, and installs it where the right Python is here.

The installation is the kernel's own (`wheel_prefix.install_command`): it sees the folder and nothing else, and checks
every hash. Afterwards `pip check` reports a package that lacks another.
"""

import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from numina_infer.kaggle.build.metadata import Finding
from numina_infer.kaggle.place import LOCK
from numina_infer.kaggle.wheel_prefix import bare_environment, install_command
from numina_infer.kaggle.wheelhouse.download import sha256_of
from numina_infer.kaggle.wheelhouse.resolution import Target, find_uv, folder_fault
from numina_infer.kaggle.wheelhouse.wheelhouse import Lock

_AGAIN = "run numina-infer kaggle wheelhouse again, which fetches what is missing"
_BUILD = "build the wheelhouse anew, in a new folder"


@dataclass(frozen=True, slots=True)
class OfflineTrial:
    """The outcome of a check."""

    target: Target
    is_installed: bool
    """Into an empty environment, without the network; else its files were read."""
    findings: tuple[Finding, ...] = ()

    @property
    def proof(self) -> str:
        """The way the wheelhouse was checked."""
        return "installed" if self.is_installed else "read"

    @property
    def line(self) -> str:
        """For people."""
        if self.findings:
            return "the wheelhouse doesn't install by itself"
        if self.is_installed:
            return f"installed from the folder alone into an empty environment of Python {self.target.python}"
        return f"hashes, tags and requirements read and right for {self.target}; not installed"


def try_wheelhouse(folder: Path, *, may_install: bool = True) -> OfflineTrial:
    """Read the wheelhouse in `folder`; if nothing is wrong and its interpreter is here, install it too.

    Raises:
        ConfigError: its lock can't be read.
        WheelError: uv isn't installed.
    """
    lock = Lock.read(folder)
    found = tuple(read_faults(folder, lock))
    # Without pip nothing can be installed here, which says nothing of the wheels.
    python = find_python(lock.target) if may_install and not found and find_spec("pip") else None
    if python is None:
        return OfflineTrial(lock.target, is_installed=False, findings=found)
    with tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch:
        found = tuple(install_faults(folder, python, Path(scratch) / "venv"))
        return OfflineTrial(lock.target, is_installed=True, findings=found)


def read_faults(folder: Path, lock: Lock) -> Iterator[Finding]:
    """Yields what is wrong with the files; where each is right, whether they go together."""
    found = [*_stray(folder), *_unlocked(folder, lock)]
    yield from found
    pins = [f"{entry.name}=={entry.version}" for entry in lock.entries]
    if not found and (fault := folder_fault(folder, pins, lock.target)):
        yield Finding(LOCK, f"its wheels don't install on {lock.target}: {fault}", _BUILD)


def _stray(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Finding(f"{path.name}/", "an upload skips folders", "remove it")
        elif path.suffix == ".part":
            yield Finding(path.name, "it hasn't arrived whole", _AGAIN)


def _unlocked(folder: Path, lock: Lock) -> Iterator[Finding]:
    """Compare the wheels in `folder` with those that the lock names."""
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
    from packaging.version import Version

    here = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            here[parse_wheel_filename(path.name)[:2]] = path
        except InvalidWheelFilename as error:
            yield Finding(path.name, f"{path.name} isn't a wheel's name: {error}", "remove it")
    for entry in lock.entries:
        wheel = here.pop((canonicalize_name(entry.name), Version(entry.version)), None)
        if wheel is None:
            yield Finding(LOCK, f"the wheel of {entry.name} {entry.version} is missing", _AGAIN)
        elif sha256_of(wheel) != entry.sha256:
            yield Finding(wheel.name, "it isn't what its hash in the lock says", f"remove it, and {_AGAIN}")
    for path in here.values():
        yield Finding(path.name, "it isn't in the lock", "remove it")


def find_python(target: Target) -> str | None:
    """An interpreter of the target's version on a machine like it: this one, or as uv finds it; None without one."""
    library, glibc = platform.libc_ver()
    if library != "glibc" or platform.machine() != target.machine or target.glibc > int(glibc.split(".")[1]):
        return None
    if target.python == f"3.{sys.version_info.minor}":
        return sys.executable
    command = [find_uv(), "python", "find", "--no-python-downloads", "--no-config", "--no-project", target.python]
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
