"""The wire between the host, the zygote and its children: one JSON object a packet, file descriptors beside it.

SOCK_SEQPACKET keeps the borders of packets and ends with an end of file when either side dies.
Programs travel as memory files, so that their length is no concern of the wire.
Nothing is ever unpickled: NeMo-Skills' sandbox server shows what that costs, a program could run code in it.
"""

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Self, TypeVar

_MAX_PACKET = 64 * 1024
_MAX_FDS = 3
_Received = TypeVar("_Received")
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True)
class Spawn:
    """Host to zygote: fork a child.

    With it come the write ends of stdout and stderr and, for programs, their file, for a session, its socket.
    """

    number: int
    """The child's name on this wire."""
    rung: str
    timeout_s: float
    is_session: bool
    directory: str
    """Made by the child as its working directory."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Host to zygote: send `signum` to a child and its process group."""

    number: int
    signum: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Host to zygote: continue a session's child, then hand it a `Block`.

    With it come the host's end of the child's socket and the program's file.
    It goes this way round so that no block overtakes a stop that is still on its way: a child that forks just then
    was seen to leave its own child stopped.
    """

    number: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Zygote to host: warm, and what is loaded, as name → version."""

    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """Zygote to host: a child is forked."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Zygote to host: a `Resume` is carried out."""

    number: int


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """Zygote to host: a child is gone, as the kernel tells it."""

    number: int
    wait_status: int
    """As of `os.wait4`."""
    cpu_s: float
    report: str
    """The child's own packed `Report`; empty if it left none."""
    trouble: str
    """Why its program never began; empty if it did. No program can write this, see readiness.py."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Zygote to host: the fork failed."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """Zygote to a session's child: run the program whose file comes along."""

    timeout_s: float


_KINDS = (Spawn, Signal, Resume, Ready, ChildStarted, Resumed, ChildEnded, Refused, Block)
type_of_message = {kind.__name__: kind for kind in _KINDS}
Message = Spawn | Signal | Resume | Ready | ChildStarted | Resumed | ChildEnded | Refused | Block


class Channel:
    """One end of a socket pair that speaks messages."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Two connected ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def adopt(cls, fd: int) -> Self:
        """The end that another process passed on as `fd`."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=fd)  # a locked child can't ask which
        end.set_inheritable(False)
        return cls(end)

    def fileno(self) -> int:
        """The descriptor, for selectors."""
        return self._socket.fileno()

    def set_nonblocking(self) -> None:
        """Make `send` and `receive` raise `BlockingIOError` instead of waiting."""
        self._socket.setblocking(False)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send `message` and copies of `fds`; `OSError` if the other side is gone."""
        packet = json.dumps({"type": type(message).__name__, **asdict(message)}, ensure_ascii=False)
        self.send_bytes(packet.encode("utf-8", "replace"), fds)

    def send_bytes(self, packet: bytes, fds: Sequence[int] = ()) -> None:
        """Send a packet that is no message: a child's report."""
        if fds:
            socket.send_fds(self._socket, [packet], fds)
        else:
            self._socket.send(packet)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and the descriptors that came with it; None once the other side is gone."""
        packet, fds = self._receive()
        if not packet:
            return None
        fields = json.loads(packet)
        return type_of_message[fields.pop("type")](**fields), fds

    def receive_bytes(self, max_bytes: int) -> bytes:
        """The beginning of the next packet; empty once the other side is gone.

        The kernel closes descriptors that came with it, so whoever sends can't fill this process with them.
        """
        return _once_reset(lambda: self._socket.recv(max_bytes))

    def _receive(self) -> tuple[bytes, list[int]]:
        flags = socket.MSG_CMSG_CLOEXEC
        packet, fds, _, _ = _once_reset(lambda: socket.recv_fds(self._socket, _MAX_PACKET, _MAX_FDS, flags))
        return packet, fds

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _once_reset(receive: Callable[[], _Received]) -> _Received:
    """What `receive` gives, also where the other side died with mail of ours unread: what it had sent is to come."""
    try:
        return receive()
    except ConnectionResetError:
        return receive()


@contextmanager
def opened_programs(programs: Sequence[str]) -> Iterator[int]:
    """The descriptor of a memory file that holds `programs`, lone surrogates included; closed behind.

    It is sealed: a child that gets hold of it can't keep anything in it.
    """
    fd = os.memfd_create("programs", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(json.dumps(programs).encode())
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        yield fd
    finally:
        os.close(fd)


def read_programs(fd: int) -> list[str]:
    """The texts in a file of programs, which is closed."""
    with open(fd, "rb") as file:
        file.seek(0)
        programs: list[str] = json.loads(file.read())
        return programs
