"""A server's folder on disk: its socket, its log, and a note that says which server it is.

A server that was left running is found again by its key: the hash of everything that it was started with.
Only this user may enter the folder, so only this user reaches the socket.

The log is read for why a start failed. vLLM ends such a start with «Engine core initialization failed. See root cause
above», which hides the cause; it stands in an earlier traceback, of another process.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from numina_infer.core.errors import EngineError

MARK = "NUMINA_INFER_SERVER"
"""The environment variable that marks the processes of a server."""
_GONE_S = 10.0
_NOTE = "server.json"
_MAX_SOCKET_BYTES = 107
"""The path of a unix socket may have so many at most."""
_TAIL_BYTES = 256 * 1024
_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\)\s*)?(?:(?:INFO|WARNING|ERROR|DEBUG)\s+[\d-]+ [\d:]+\s+\[[^\]]*\]\s*)?")
_CAUSE = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*)?(?:Error|Exception|Interrupt|Exit|Killed)\b\s*(?::.*)?$"
    r"|^[a-z_]\w*(?:\.\w+)*\.[A-Z]\w*: .+$"  # some, such as triton's OutOfResources, have names of other kinds
    r"|^(?:\S+\.py|vllm)?:?\s*error: |^/.*: No module named "  # a wrong argument; an interpreter without vLLM
)
_KILLED = re.compile(r"Failed core proc\(s\): \{.*: -(\d+)")
_VALIDATION = re.compile(r"\d+ validation errors? for \w+$")
"""Pydantic's; what was wrong stands in the next line."""
_MASKS = ("Engine core initialization failed", "Engine core proc", "WorkerProc initialization failed")


class PlaceTakenError(EngineError):
    """Another process is starting the same server right now."""


@dataclass(frozen=True, slots=True)
class KeeperNote:
    """Which process keeps the server."""

    pid: int
    """The keeper's."""
    born: int
    """When that process started, in the kernel's ticks since boot: a pid alone may be somebody else's by now."""
    model: str
    gpus: tuple[str, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return self.born != 0 and self.born == born(self.pid)


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """The folder of one server."""

    folder: Path

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.folder / "socket"

    @property
    def log(self) -> Path:
        """Its output."""
        return self.folder / "log"

    @property
    def is_kept(self) -> bool:
        """Whether its server outlives the process that started it; others belong to a run that goes on."""
        return "-" not in self.folder.name

    def make(self) -> None:
        """Make the folder, for this user alone, without what an earlier server left."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in (self.socket, self.log):
            file.unlink(missing_ok=True)

    def write_note(self, note: KeeperNote) -> None:
        """Say who keeps the server."""
        draft = self.folder / f"{_NOTE}.new"
        draft.write_text(json.dumps(asdict(note)), encoding="utf-8")
        draft.rename(self.folder / _NOTE)

    def read_note(self) -> KeeperNote | None:
        """The note about the server; None where there is none, or it makes no sense."""
        try:
            content = json.loads((self.folder / _NOTE).read_text(encoding="utf-8"))
            return KeeperNote(content["pid"], content["born"], content["model"], tuple(content["gpus"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def kill_leftovers(self) -> None:
        """Kill what a killed keeper left behind; returns once all is gone, or after `_GONE_S`."""
        until = time.monotonic() + _GONE_S
        while (found := list(self._marked())) and time.monotonic() < until:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _marked(self) -> Iterator[int]:
        mark = f"{MARK}={self.folder}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)

    def remove(self) -> None:
        """Forget the server."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the place against other processes that would start the same server.

        Raises:
            PlaceTakenError: another process is starting it right now.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PlaceTakenError(
                    f"another process is starting this server ({self.folder}); wait until it is up, then start again"
                ) from error
            yield


def kept(key: str) -> ServerPlace:
    """The place of a server that outlives the process that starts it."""
    return ServerPlace(_root() / key)


def owned(key: str) -> ServerPlace:
    """A new place for a server that ends with this process; folders of ended servers are removed."""
    for folder in _root().glob("*-*"):
        note = ServerPlace(folder).read_note()
        if note is not None and not note.is_alive:
            ServerPlace(folder).remove()
    return ServerPlace(Path(tempfile.mkdtemp(prefix=f"{key}-", dir=_root())))


def served_model(socket: str) -> Path | None:
    """The folder of the model that a server of ours on `socket` has; None for somebody else's server."""
    place = ServerPlace(Path(socket).parent)
    note = place.read_note()
    return Path(note.model) if note is not None and place.socket == Path(socket) else None


def running() -> tuple[tuple[ServerPlace, KeeperNote], ...]:
    """Every server that runs, with its note."""
    places = [ServerPlace(folder) for folder in sorted(_root().iterdir()) if folder.is_dir()]
    noted = [(place, note) for place in places if (note := place.read_note()) is not None]
    return tuple((place, note) for place, note in noted if note.is_alive)


def born(pid: int) -> int:
    """When the process `pid` started, in the kernel's ticks since boot; 0 where there is none, or only its remains."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[19])
    return 0


def socket_root(below: str) -> Path:
    """The folder for temporary files, if a socket can lie at the relative path `below` it; /tmp otherwise."""
    usual = Path(tempfile.gettempdir())
    if len(os.fsencode(usual / below)) <= _MAX_SOCKET_BYTES:
        return usual
    return Path("/tmp")  # noqa: S108 (callers make a folder in it that others may not enter)


def _root() -> Path:
    """A folder of this user's."""
    name = f"numina-infer-{os.getuid()}"
    root = socket_root(f"{name}/0123456789abcdef-12345678/socket") / name
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    if root.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise EngineError(f"{root} is open to others; remove it, or set TMPDIR to a folder of your own")
    return root


def read_log(file: Path) -> list[str]:
    """The last lines of the log, at most 256 kB of it."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def cause(lines: list[str]) -> str:
    """The line that best says why the server ended: the last error before the one that hides it."""
    found = "its log names no cause"
    bare = [without_prefix(line) for line in lines]
    for line, following in zip(bare, [*bare[1:], ""], strict=False):
        if _CAUSE.match(line):
            if any(mask in line for mask in _MASKS):
                killed = _KILLED.search(line)
                return (
                    f"its engine core was killed by signal {killed[1]}; memory may have run out" if killed else found
                )
            found = f"{line}: {following}" if _VALIDATION.search(line) else line
    return found


def without_prefix(line: str) -> str:
    """A line of the log without process, level, time and place."""
    return _PREFIX.sub("", line).strip()
