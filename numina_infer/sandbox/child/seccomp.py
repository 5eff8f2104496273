"""The system-call filter: classic BPF, assembled here and installed with prctl, on x86-64.

As in Chrome's and OpenSSH's sandboxes it is an allow list that looks at a few arguments. It needs no libseccomp: calls
that depend on their arguments are tested first, one after the other, and a search tree decides the rest.
A program that can't fork can't leave a process behind, so one SIGKILL ends it.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Sequence

from numina_infer.sandbox.child import syscalls
from numina_infer.sandbox.child.libc import prctl

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ARCH_X86_64 = 0xC000003E
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_WRITING = 0o3 | 0o100 | 0o1000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC and the bit that only O_TMPFILE has."""
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020000
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032, 1034)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS; F_SETOWN could signal."""
_PRCTLS = (2, 3, 15, 16, 21, 23, 39, 0x53564D41)
"""Options that only ask, PR_SET_NAME, and PR_SET_VMA, with which allocators name their memory."""

_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class Filter:
    """The filter without the parts that depend on the process; made once in the zygote.

    Raises:
        OSError: this isn't x86-64.
    """

    def __init__(self) -> None:
        if platform.machine() != "x86_64":
            raise OSError(errno.ENOSYS, f"the system-call filter is for x86-64, and this is {platform.machine()}")
        self._head = _pack([*_own_architecture(), *_arguments_matter()])
        self._tail = _pack(_tree(_ranges()))

    def install(self, pid: int, control: int | None) -> None:
        """Apply the filter to this thread and to all that it starts, for good.

        Args:
            pid: the process's own id, the only one that it may signal.
            control: the descriptor of a session's socket, the only one that it may talk over.

        Raises:
            OSError: the kernel has no filters, or the process hasn't given up new privileges yet.
        """
        code = self.assemble(pid, control)
        program = _Program(len(code) // 8, code)
        prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))

    def assemble(self, pid: int, control: int | None) -> bytes:
        """The filter's instructions, packed as the kernel wants them."""
        own = [*_if_in(syscalls.KILL, 0, [pid], errno.EPERM), *_if_in(syscalls.TGKILL, 0, [pid], errno.EPERM)]
        own += _if_in(syscalls.PRLIMIT64, 0, [0, pid], errno.EPERM)
        if control is not None:
            own += _if_in(syscalls.SENDTO, 0, [control], errno.EPERM)
            own += _if_in(syscalls.RECVMSG, 0, [control], errno.EPERM)
        return self._head + _pack(own) + self._tail


def _own_architecture() -> list[_Instruction]:
    """Kill a process that uses the 32-bit interface, where numbers mean other calls; then load the number."""
    return [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, _ARCH_X86_64),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]


def _arguments_matter() -> list[_Instruction]:
    return [
        *_if_masked(syscalls.OPEN, 1, _WRITING, 0, errno.EROFS),
        *_if_masked(syscalls.OPENAT, 2, _WRITING, 0, errno.EROFS),
        *_if_masked(syscalls.CLONE, 0, _CLONE_THREAD | _CLONE_NAMESPACES, _CLONE_THREAD, errno.EPERM),
        *_if_in(syscalls.IOCTL, 1, _IOCTLS, errno.ENOTTY),
        *_if_in(syscalls.FCNTL, 1, _FCNTLS, errno.EPERM),
        *_if_in(syscalls.PRCTL, 0, _PRCTLS, errno.EPERM),
    ]


def _if_in(number: int, argument: int, values: Sequence[int], error: int) -> list[_Instruction]:
    """Allow the call `number` if its `argument` (the lower half, all that the kernel looks at) is among `values`."""
    found = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return _for_call(number, [_argument(argument), *found, (_RETURN, 0, 0, _ERRNO | error), (_RETURN, 0, 0, _ALLOW)])


def _if_masked(number: int, argument: int, mask: int, value: int, error: int) -> list[_Instruction]:
    """Allow the call `number` if the bits `mask` of its `argument` are `value`."""
    check = [(_AND, 0, 0, mask), (_EQUAL, 1, 0, value)]
    return _for_call(number, [_argument(argument), *check, (_RETURN, 0, 0, _ERRNO | error), (_RETURN, 0, 0, _ALLOW)])


def _argument(place: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * place)


def _for_call(number: int, body: list[_Instruction]) -> list[_Instruction]:
    return [(_EQUAL, 0, len(body), number), *body]


def _ranges() -> list[tuple[int, int]]:
    """The first call number of each run of equal verdicts, and that verdict."""
    verdicts = dict.fromkeys(syscalls.ALLOWED.values(), _ALLOW)
    verdicts |= dict.fromkeys(syscalls.READ_ONLY.values(), _ERRNO | errno.EROFS)
    verdicts |= dict.fromkeys(syscalls.UNKNOWN.values(), _ERRNO | errno.ENOSYS)
    ranges: list[tuple[int, int]] = []
    for number in range(syscalls.LAST_KNOWN + 1):
        verdict = verdicts.get(number, _ERRNO | errno.EPERM)
        if not ranges or ranges[-1][1] != verdict:
            ranges.append((number, verdict))
    return [*ranges, (syscalls.LAST_KNOWN + 1, _ERRNO | errno.ENOSYS)]


def _tree(ranges: Sequence[tuple[int, int]]) -> list[_Instruction]:
    if len(ranges) == 1:
        return [(_RETURN, 0, 0, ranges[0][1])]
    middle = len(ranges) // 2
    below, above = _tree(ranges[:middle]), _tree(ranges[middle:])
    return [(_AT_LEAST, len(below), 0, ranges[middle][0]), *below, *above]


def _pack(instructions: Iterable[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
