"""The messages between host, zygote and children: each is one JSON object in one packet, with file descriptors.

SOCK_SEQPACKET keeps packets apart and gives an end of file when the other side dies.
Programs travel as memory files, so that a packet's size doesn't limit them.
Nothing is unpickled, since a program could run code in the host that way, as it could in NeMo-Skills' sandbox server.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Self

_MAX_PACKET = 64 * 1024
_MAX_FDS = 3
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True)
class Spawn:
    """Host to zygote: fork a child.

    Its descriptors are the write ends of stdout and stderr, and the programs' file or the session's socket.
    """

    number: int
    """Names the child in all later messages."""
    rung: str
    timeout_s: float
    memory_bytes: int
    """Address space beyond what the zygote's libraries take."""
    max_file_bytes: int
    is_session: bool
    directory: str
    """The working directory that the child makes."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Host to zygote: send `signum` to a child and its process group."""

    number: int
    signum: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Host to zygote: continue a session's child, and pass this on to it: it runs the program.

    Its descriptors are the host's end of the child's socket, for the zygote, and the program's file, for the child.
    It goes through the zygote so that it can't overtake a stop that is still on its way: a child that forked at that
    moment was seen to leave its own child stopped.
    """

    number: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Zygote to host: the libraries are loaded, listed as name → version."""

    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class OrderDone:
    """Zygote to host: the `Spawn` or `Resume` of a child is carried out."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """Zygote to host: the child has ended, by the kernel's word."""

    number: int
    wait_status: int
    """As of `os.wait4`."""
    cpu_s: float
    report: str
    """The child's own packed `ProgramReport`; empty if it left none."""
    trouble: str
    """Why its program never began, a failed fork included; empty if it did. No program can write this."""


Message = Spawn | Signal | Resume | Ready | OrderDone | ChildEnded
_MESSAGES = {kind.__name__: kind for kind in (Spawn, Signal, Resume, Ready, OrderDone, ChildEnded)}


class Channel:
    """One end of a socket pair that carries messages."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Two connected ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def adopt(cls, fd: int) -> Self:
        """Take over the end `fd` that another process passed on."""
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
        """Send a packet that is no message, such as a child's report."""
        if fds:
            socket.send_fds(self._socket, [packet], fds)
        else:
            self._socket.send(packet)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors; None once the other side is gone."""
        packet, fds = self._read(_MAX_PACKET, _MAX_FDS)
        if not packet:
            return None
        fields = json.loads(packet)
        return _MESSAGES[fields.pop("type")](**fields), fds

    def receive_bytes(self, max_bytes: int) -> bytes:
        """The beginning of the next packet; empty once the other side is gone.

        The kernel closes descriptors that came with it, so that a program can't fill this process with them.
        """
        packet, _ = self._read(max_bytes, max_fds=0)
        return packet

    def _read(self, max_bytes: int, max_fds: int) -> tuple[bytes, list[int]]:
        """Receive a packet; if the other side died with packets of ours unread, the second try reads what it sent."""
        with suppress(ConnectionResetError):
            return socket.recv_fds(self._socket, max_bytes, max_fds, socket.MSG_CMSG_CLOEXEC)[:2]
        return socket.recv_fds(self._socket, max_bytes, max_fds, socket.MSG_CMSG_CLOEXEC)[:2]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@contextmanager
def opened_programs(programs: Sequence[str]) -> Iterator[int]:
    """The descriptor of a memory file that holds `programs`, lone surrogates included; closed after the block.

    The file is sealed, so that no child can change it.
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
    """Read the programs in the file `fd`, and close it."""
    with open(fd, "rb") as file:
        file.seek(0)
        programs: list[str] = json.loads(file.read())
        return programs
