"""A server's folder on disk: its socket, its log, and a note that says which server it is.

A server that was left running is found again by its key: the hash of everything that it was started with.
Only this user may enter the folder, so only this user reaches the socket.
"""

import fcntl
import json
import os
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
_SOCKET, _LOG, _NOTE, _LOCK = "socket", "log", "server.json", "lock"
_MAX_SOCKET_BYTES = 107
"""The path of a unix socket may have so many at most."""


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
        return self.folder / _SOCKET

    @property
    def log(self) -> Path:
        """Its output."""
        return self.folder / _LOG

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
        """Kill the server's processes that a killed keeper left behind.

        Returns once all are gone, or after `_GONE_S`, where the kernel holds a process back.
        """
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
        with (self.folder / _LOCK).open("w") as stream:
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
    root = socket_root(f"{name}/0123456789abcdef-12345678/{_SOCKET}") / name
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    if root.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise EngineError(f"{root} is open to others; remove it, or set TMPDIR to a folder of your own")
    return root
