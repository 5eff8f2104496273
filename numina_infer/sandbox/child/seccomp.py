"""The system-call filter: classic BPF, assembled here and installed with prctl, on x86-64.

As in Chrome's and OpenSSH's sandboxes it is an allow list that looks at a few arguments. It needs no libseccomp: calls
that depend on their arguments are tested first, one after the other, and a search tree decides the rest.
A call that isn't named here is refused, also one that a later kernel brings. The numbers are the kernel's
(arch/x86/entry/syscalls/syscall_64.tbl) and never change.
A program that can't fork can't leave a process behind, so one SIGKILL ends it.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Sequence

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
_ALL_BITS = 0xFFFFFFFF

ALLOWED = {
    # reading and writing what is open, looking at files
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23,
    "dup": 32, "dup2": 33, "fsync": 74, "fdatasync": 75, "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81,
    "readlink": 89, "umask": 95, "statfs": 137, "fstatfs": 138, "getxattr": 191, "lgetxattr": 192,
    "fgetxattr": 193, "listxattr": 194, "llistxattr": 195, "flistxattr": 196, "getdents64": 217, "fadvise64": 221,
    "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271, "dup3": 292,
    "pipe2": 293, "preadv": 295, "pwritev": 296, "preadv2": 327, "pwritev2": 328, "statx": 332,
    "close_range": 436, "faccessat2": 439,
    "epoll_create": 213, "epoll_wait": 232, "epoll_ctl": 233, "epoll_pwait": 281, "eventfd": 284,
    "eventfd2": 290, "epoll_create1": 291, "epoll_pwait2": 441,
    # memory
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28,
    "membarrier": 324, "pkey_mprotect": 329, "pkey_alloc": 330, "pkey_free": 331,
    # its own signals, time and threads
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128,
    "rt_sigsuspend": 130, "sigaltstack": 131, "pause": 34, "nanosleep": 35, "getitimer": 36, "alarm": 37,
    "setitimer": 38, "gettimeofday": 96, "times": 100, "time": 201, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "restart_syscall": 219, "sched_yield": 24, "futex": 202, "set_tid_address": 218,
    "set_robust_list": 273, "get_robust_list": 274, "rseq": 334, "arch_prctl": 158, "gettid": 186,
    "futex_waitv": 449, "exit": 60, "exit_group": 231, "wait4": 61, "waitid": 247,
    # questions about itself and the machine
    "getpid": 39, "uname": 63, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "getuid": 102, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111, "getgroups": 115, "getresuid": 118,
    "getresgid": 120, "getpgid": 121, "getsid": 124, "capget": 125, "getpriority": 140, "sched_getparam": 143,
    "sched_getscheduler": 145, "sched_get_priority_max": 146, "sched_get_priority_min": 147,
    "sched_rr_get_interval": 148, "sched_getaffinity": 204, "getcpu": 309, "getrandom": 318,
    # its own limits: without capabilities they only go down
    "setrlimit": 160,
}  # fmt: skip

UNKNOWN = {"clone3": 435, "openat2": 437}
"""A filter can't see their arguments, so they are refused; libraries fall back to the older calls."""

LAST_KNOWN = 462
"""Calls above this number are newer than the lists; programs see a kernel without them."""

# Allowed or not by their arguments.
OPEN, OPENAT, IOCTL, CLONE, KILL, TGKILL, FCNTL, PRCTL, PRLIMIT64 = 2, 257, 16, 56, 62, 234, 72, 157, 302
SENDTO, RECVMSG = 44, 47

_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""

_OWN_ARCHITECTURE: tuple[_Instruction, ...] = (
    (_LOAD, 0, 0, _ARCH),
    (_EQUAL, 1, 0, _ARCH_X86_64),
    (_RETURN, 0, 0, _KILL_PROCESS),
    (_LOAD, 0, 0, _NUMBER),
)
"""Kills a process that uses the 32-bit interface, where numbers mean other calls; then loads the number."""


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
        by_argument = [
            *_if_in(OPEN, 1, [0], errno.EROFS, _WRITING),
            *_if_in(OPENAT, 2, [0], errno.EROFS, _WRITING),
            *_if_in(CLONE, 0, [_CLONE_THREAD], errno.EPERM, _CLONE_THREAD | _CLONE_NAMESPACES),
            *_if_in(IOCTL, 1, _IOCTLS, errno.ENOTTY),
            *_if_in(FCNTL, 1, _FCNTLS, errno.EPERM),
            *_if_in(PRCTL, 0, _PRCTLS, errno.EPERM),
        ]
        self._head = _pack([*_OWN_ARCHITECTURE, *by_argument])
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
        own = [*_if_in(KILL, 0, [pid], errno.EPERM), *_if_in(TGKILL, 0, [pid], errno.EPERM)]
        own += _if_in(PRLIMIT64, 0, [0, pid], errno.EPERM)
        if control is not None:
            own += _if_in(SENDTO, 0, [control], errno.EPERM)
            own += _if_in(RECVMSG, 0, [control], errno.EPERM)
        return self._head + _pack(own) + self._tail


def _if_in(number: int, argument: int, values: Sequence[int], error: int, mask: int = _ALL_BITS) -> list[_Instruction]:
    """Allow the call `number` if the bits `mask` of its `argument` are among `values`.

    The lower half of an argument is all that the kernel looks at.
    """
    body = [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (_AND, 0, 0, mask),
        *((_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return [(_EQUAL, 0, len(body), number), *body]


def _ranges() -> list[tuple[int, int]]:
    """The first call number of each run of equal verdicts, and that verdict."""
    verdicts = dict.fromkeys(ALLOWED.values(), _ALLOW)
    verdicts |= dict.fromkeys(UNKNOWN.values(), _ERRNO | errno.ENOSYS)
    ranges: list[tuple[int, int]] = []
    for number in range(LAST_KNOWN + 1):
        verdict = verdicts.get(number, _ERRNO | errno.EPERM)
        if not ranges or ranges[-1][1] != verdict:
            ranges.append((number, verdict))
    return [*ranges, (LAST_KNOWN + 1, _ERRNO | errno.ENOSYS)]


def _tree(ranges: Sequence[tuple[int, int]]) -> list[_Instruction]:
    if len(ranges) == 1:
        return [(_RETURN, 0, 0, ranges[0][1])]
    middle = len(ranges) // 2
    below, above = _tree(ranges[:middle]), _tree(ranges[middle:])
    return [(_AT_LEAST, len(below), 0, ranges[middle][0]), *below, *above]


def _pack(instructions: Iterable[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
