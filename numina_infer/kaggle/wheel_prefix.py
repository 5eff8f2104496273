"""Reads a wheelhouse, and installs vLLM from it, without network, into a prefix: a virtual environment of its own.

A wheelhouse is a folder of wheels and the lock that names them. A wheel's name has its package, its version, and the
interpreter and machine that it is for (packaging.python.org, binary distribution format); it is a zip file, whose
table has the unpacked sizes.

Nothing is installed into the interpreter that serves the competition, so nothing of Kaggle's image is replaced and
nothing has to be restarted. This interpreter's pip installs into the other one (`pip --python`, since 22.3), by the
lock's hashes alone. It runs under `engines.vllm.keeper`, which ends it when this process ends.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.ports import Announce
from numina_infer.engines.vllm import keeper
from numina_infer.kaggle.place import LOCK

Version = tuple[int, int]

_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*==", re.MULTILINE)
_INTERFACE = re.compile(r"cp3(\d+)")
_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?==(\d+)\.(\d+)")
_MARK = "numina-infer.json"
_REPORT_EVERY_S = 15.0
_LAST_LINES = 6
_NOT_PASSED_ON = ("PIP_", "UV_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Beginnings of variables that would lead pip elsewhere."""


@dataclass(frozen=True, slots=True)
class Wheels:
    """The contents of a wheelhouse."""

    locked: tuple[str, ...]
    """The packages that the lock names, in lower case with hyphens."""
    versions: dict[str, str]
    """Of each package that has a wheel."""
    pythons: frozenset[Version]
    """The versions that wheels are built for; wheels for every Python, or for all later ones, don't count."""
    unpacked_bytes: int = 0

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that the lock names and no wheel has."""
        return tuple(name for name in self.locked if name not in self.versions)

    @property
    def cuda(self) -> Version | None:
        """The CUDA that comes with them; None where none does."""
        found = (_RUNTIME.match(f"{name}=={version}") for name, version in self.versions.items())
        return next(((int(match[1]), int(match[2])) for match in found if match), None)


def read_wheels(folder: Path) -> Wheels:
    """Read the names and tables of the wheels in `folder`, and its lock.

    Raises:
        ConfigError: the lock can't be read, or a wheel isn't whole.
    """
    files = sorted(folder.glob("*.whl"))
    names = [parts for file in files if len(parts := file.stem.split("-")) >= 5]
    interfaces = (_INTERFACE.match(parts[-2]) for parts in names)
    return Wheels(
        locked_packages(read_lock(folder)),
        {_normal(parts[0]): parts[1] for parts in names},
        frozenset((3, int(match[1])) for match in interfaces if match),
        unpacked_bytes=sum(map(_unpacked_bytes, files)),
    )


def read_lock(folder: Path) -> str:
    """The lock's text; `ConfigError` where it can't be read."""
    try:
        return (folder / LOCK).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder} has no {LOCK} that can be read ({error}): build the wheelhouse again") from error


def locked_packages(lock: str) -> tuple[str, ...]:
    """The packages that a lock's text names, in lower case with hyphens."""
    return tuple(map(_normal, _LOCKED.findall(lock)))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _unpacked_bytes(wheel: Path) -> int:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{wheel.name} isn't a whole wheel ({error}): upload the wheelhouse again") from error


def find_installed(wheelhouse: Path, prefix: Path) -> Path | None:
    """The interpreter of a finished install of this very lock in `prefix`; None where there is none.

    Raises:
        ConfigError: the wheelhouse has no lock that can be read.
    """
    lock, python = _hash(read_lock(wheelhouse)), prefix / "bin" / "python"
    try:
        mark = json.loads((prefix / _MARK).read_text(encoding="utf-8"))
        is_whole = mark["lock"] == lock and 0 < mark["num_packages"] <= _count_packages(prefix)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return python if is_whole and os.access(python, os.X_OK) else None


def install_vllm(wheelhouse: Path, prefix: Path, report: Announce) -> Path:
    """Install what `wheelhouse` locks into `prefix`, unless that is done, and return the interpreter there.

    It takes minutes, so call it on a thread of its own. An unfinished install, or one of another lock, is removed
    first; another install into the same prefix, such as that of a cell that was run twice, is waited for.

    Raises:
        ConfigError: the wheelhouse has no lock, or `prefix` holds something that isn't ours.
        EngineError: the install failed, with its last words.
    """
    wheelhouse, prefix = wheelhouse.absolute(), prefix.absolute()
    begun, lock, python = time.monotonic(), read_lock(wheelhouse), prefix / "bin" / "python"
    num_locked, log = len(locked_packages(lock)), prefix.with_name(f"{prefix.name}.log")
    prefix.parent.mkdir(parents=True, exist_ok=True)

    def tell() -> None:
        seconds = time.monotonic() - begun
        report(f"vLLM: {_count_packages(prefix)} of {num_locked} packages, {seconds:.0f} s")

    with prefix.with_name(f"{prefix.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        found = find_installed(wheelhouse, prefix)
        if found is not None:
            report(f"vLLM is installed in {prefix}")
            return found
        _make_room(prefix, report)
        _write_mark(prefix, lock, num_packages=0)
        report(f"installing vLLM from {wheelhouse} into {prefix}: {num_locked} packages")
        make = [sys.executable, "-I", "-m", "venv", "--without-pip", str(prefix)]
        for command in (make, install_command(wheelhouse, python)):
            if not _execute(command, log, tell):
                said = f"{_last_words(log)} (all of it: {log})"
                raise EngineError(f"vLLM couldn't be installed from {wheelhouse}: {said}")
        _write_mark(prefix, lock, _count_packages(prefix))
    report(f"vLLM was installed into {prefix} in {time.monotonic() - begun:.0f} s")
    return python


def install_command(wheelhouse: Path, python: Path) -> list[str]:
    """The command by which this interpreter's pip installs what `wheelhouse` locks for the interpreter `python`."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--isolated", "install"]
    offline = ["--no-index", "--find-links", str(wheelhouse), "--require-hashes", "--no-deps"]
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-cache-dir"]
    # Without compiling: of all that is unpacked a small part is ever imported.
    kinds = ["--only-binary", ":all:", "--no-compile"]
    return [*pip, *offline, *quiet, *kinds, "-r", str(wheelhouse / LOCK)]


def bare_environment() -> dict[str, str]:
    """This process's environment without the variables and the files that configure pip and Python."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return {**ours, "PIP_CONFIG_FILE": os.devnull}


def _make_room(prefix: Path, report: Announce) -> None:
    if not prefix.exists():
        return
    require(prefix.is_dir(), f"prefix {prefix} is no folder; name one that can be made anew")
    is_ours = (prefix / _MARK).is_file() or not any(prefix.iterdir())
    require(is_ours, f"prefix {prefix} holds something that wasn't installed from here; name another folder")
    report(f"removing what is unfinished, or from another lock, in {prefix}")
    shutil.rmtree(prefix)


def _execute(command: list[str], log: Path, tell: Callable[[], None]) -> bool:
    """Run a command with its output in `log`, and `tell` how far it is; returns whether it went well."""
    log.write_bytes(b"")
    with subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
        [sys.executable, "-I", keeper.__file__, "--attached", str(log), "--", *command],
        stdin=subprocess.PIPE,  # closed when the block is left or we die: then the keeper ends all of it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=bare_environment(),
        process_group=0,
    ) as process:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_REPORT_EVERY_S) == 0
            tell()


def _write_mark(prefix: Path, lock: str, num_packages: int) -> None:
    """Mark the prefix as ours: by its lock, and how many packages it has, 0 until it is finished."""
    prefix.mkdir(exist_ok=True)
    draft = prefix / f"{_MARK}.new"
    draft.write_text(json.dumps({"lock": _hash(lock), "num_packages": num_packages}), encoding="utf-8")
    draft.rename(prefix / _MARK)


def _hash(lock: str) -> str:
    return hashlib.sha256(lock.encode()).hexdigest()


def _count_packages(prefix: Path) -> int:
    return sum(1 for _ in prefix.glob("lib/python3*/site-packages/*.dist-info/RECORD"))


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.lower().startswith("error")] or lines
    return " / ".join(said[-_LAST_LINES:]) or "it said nothing"
