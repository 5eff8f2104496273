"""Installs vLLM from a wheelhouse, without network, into a prefix: a virtual environment of its own.

Nothing is installed into the interpreter that serves the competition, so nothing of Kaggle's image is replaced and
nothing has to be restarted. This interpreter's pip installs into the other one (`pip --python`, since 22.3), by the
lock's hashes alone. It runs under `engines.vllm.keeper`, which ends it when this process ends.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event

from numina_infer.core.config import require
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce
from numina_infer.engines.vllm import keeper
from numina_infer.kaggle.inputs import LOCK
from numina_infer.kaggle.wheels import locked_packages, read_lock

_MARK = "numina-infer.json"
_LOOK_EVERY_S = 0.2
_REPORT_EVERY_S = 15.0
_LAST_LINES = 6
_NOT_PASSED_ON = ("PIP_", "UV_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Beginnings of variables that would lead pip elsewhere."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """The content of the file that marks a prefix as ours."""

    lock: str
    """SHA-256 of the lock that it was made from."""
    num_packages: int = 0
    """0 until it is finished."""


def find_installed(wheelhouse: Path, prefix: Path) -> Path | None:
    """The interpreter of a finished install of this very lock in `prefix`; None where there is none.

    Raises:
        ConfigError: the wheelhouse has no lock that can be read.
    """
    python, mark = prefix / "bin" / "python", _read_mark(prefix)
    is_whole = mark is not None and 0 < mark.num_packages <= _count_packages(prefix)
    is_same = mark is not None and mark.lock == _hash(wheelhouse)
    return python if is_whole and is_same and os.access(python, os.X_OK) else None


def install_vllm(wheelhouse: Path, prefix: Path, report: Announce, *, stop: Event | None = None) -> Path:
    """Install what `wheelhouse` locks into `prefix`, unless that is done, and return the interpreter there.

    It takes minutes, so call it on a thread of its own; `stop` ends it from another. An unfinished install, or one of
    another lock, is removed first.

    Raises:
        ConfigError: the wheelhouse has no lock, or `prefix` holds something that isn't ours.
        EngineError: the install failed, with its last words, or was stopped.
    """
    prefix = prefix.absolute()
    return _Install(wheelhouse.absolute(), prefix, report, stop or Event()).run()


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


@dataclass(frozen=True, slots=True)
class _Install:
    """One install."""

    wheelhouse: Path
    prefix: Path
    report: Announce
    stop: Event
    begun: float = field(default_factory=time.monotonic)

    def run(self) -> Path:
        lock = _hash(self.wheelhouse)
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            found = find_installed(self.wheelhouse, self.prefix)
            if found is not None:
                self.report(f"vLLM is installed in {self.prefix}")
                return found
            self._make_room()
            _write_mark(self.prefix, _Mark(lock))
            self._fill()
            _write_mark(self.prefix, _Mark(lock, _count_packages(self.prefix)))
        self.report(f"vLLM was installed into {self.prefix} in {self._seconds} s")
        return self._python

    @property
    def _python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def _log(self) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.log")

    @property
    def _seconds(self) -> int:
        return round(time.monotonic() - self.begun)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another install into the same prefix, such as that of a cell that was run twice."""
        with self.prefix.with_name(f"{self.prefix.name}.lock").open("w") as stream:
            while not _is_locked(stream.fileno()):
                self._go_on()
            yield

    def _make_room(self) -> None:
        if not self.prefix.exists():
            return
        require(self.prefix.is_dir(), f"prefix {self.prefix} is no folder; name one that can be made anew")
        is_ours = (self.prefix / _MARK).is_file() or not any(self.prefix.iterdir())
        require(is_ours, f"prefix {self.prefix} holds something that wasn't installed from here; name another folder")
        self.report(f"removing what is unfinished, or from another lock, in {self.prefix}")
        shutil.rmtree(self.prefix)

    def _fill(self) -> None:
        num_locked = len(locked_packages(read_lock(self.wheelhouse)))
        self.report(f"installing vLLM from {self.wheelhouse} into {self.prefix}: {num_locked} packages")
        self._log.write_bytes(b"")
        self._execute([sys.executable, "-I", "-m", "venv", "--without-pip", str(self.prefix)], num_locked)
        self._execute(install_command(self.wheelhouse, self._python), num_locked)

    def _execute(self, command: list[str], num_locked: int) -> None:
        kept = [sys.executable, "-I", keeper.__file__, "--attached", str(self._log), "--", *command]
        reported = time.monotonic()
        with subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
            kept,
            stdin=subprocess.PIPE,  # closed when the block is left or we die: then the keeper ends all of it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=bare_environment(),
            process_group=0,
        ) as process:
            while process.poll() is None:
                self._go_on()
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    self.report(f"vLLM: {_count_packages(self.prefix)} of {num_locked} packages, {self._seconds} s")
        if process.returncode != 0:
            raise EngineError(
                f"vLLM couldn't be installed from {self.wheelhouse}: {_last_words(self._log)} (all of it: {self._log})"
            )

    def _go_on(self) -> None:
        """Wait a moment; raise `EngineError` once `stop` is set."""
        if self.stop.wait(_LOOK_EVERY_S):
            raise EngineError(f"installing vLLM into {self.prefix} was stopped; the next install begins anew")


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _hash(wheelhouse: Path) -> str:
    return hashlib.sha256(read_lock(wheelhouse).encode()).hexdigest()


def _read_mark(prefix: Path) -> _Mark | None:
    try:
        return _Mark(**json.loads((prefix / _MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_mark(prefix: Path, mark: _Mark) -> None:
    prefix.mkdir(exist_ok=True)
    draft = prefix / f"{_MARK}.new"
    draft.write_text(json.dumps(asdict(mark)), encoding="utf-8")
    draft.rename(prefix / _MARK)


def _count_packages(prefix: Path) -> int:
    return sum(1 for _ in prefix.glob("lib/python3*/site-packages/*.dist-info/RECORD"))


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.lower().startswith("error")] or lines
    return " / ".join(said[-_LAST_LINES:]) or "it said nothing"
