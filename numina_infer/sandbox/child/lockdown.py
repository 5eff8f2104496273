"""Confine a child: kernel limits, and then, as the last step before untrusted code, the lock-down of its rung.

The limits guard against accidents: resources, death with its parent, first choice of the out-of-memory killer. Their
idea and order are those of human-eval's reliability guard and nanochat's execution.py. Root can lift several of them
again, so they are no lock-down.
None of the lock-down's steps can be undone: another user id, no capabilities and no new privileges (capabilities(7),
credentials(7)); Landlock, where the kernel has it; the system-call filter of seccomp.py.
The zygote prepares filter and rules once, so that a child makes a few system calls only.
"""

import errno
import math
import os
import resource
import signal
import site
import struct
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from numina_infer.core.config import Rung
from numina_infer.sandbox.child.libc import prctl, syscall
from numina_infer.sandbox.child.seccomp import Filter

_Made = TypeVar("_Made")
_MAX_OPEN_FILES = 64
_GOES_EARLY, _GOES_FIRST = 900, 1000
"""Values of `oom_score_adj`: tenths of a percent of all memory, added to what the process really uses."""
_SESSION_CPU_S = 3600
"""Processor time of all blocks of a session together."""
_FIRST_UID = 61000
_UIDS_A_ZYGOTE = 256
_MAX_THREADS = 64
"""The kernel counts threads by user, so this limit works only where a child has a user of its own."""
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 1, 4, 8, 38
_CAPSET = 126
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_FOR_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many access rights each version of Landlock knows; later versions count as the last one here."""
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
_SYSTEM_PATHS = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/etc/ld.so.cache", "/etc/localtime", "/dev/null",
    "/dev/zero", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
)  # fmt: skip


def limit_resources(memory_bytes: int, max_file_bytes: int, timeout_s: float, *, is_session: bool) -> None:
    """Limit this process; a session's processor time is limited block by block, see `limit_block`.

    `memory_bytes` is address space beyond what the zygote's libraries take.
    """
    mapped_pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = {
        resource.RLIMIT_AS: memory_bytes + mapped_pages * resource.getpagesize(),
        resource.RLIMIT_FSIZE: max_file_bytes,
        resource.RLIMIT_NOFILE: _MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))
    seconds = _SESSION_CPU_S if is_session else math.ceil(timeout_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    offer("self", is_at_rest=False)


def limit_block(timeout_s: float) -> None:
    """Limit a session's next block to a second more of processor time than `timeout_s`, in case the host hangs."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = min(math.ceil(time.process_time() + timeout_s) + 1, hard)
    with suppress(ValueError, OSError):  # an earlier block may have lowered the hard limit below
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def offer(pid: int | str, *, is_at_rest: bool) -> None:
    """Make that child the kernel's choice before any process of the host when memory runs out, and at rest the first.

    Killing a session at rest costs little: its earlier blocks are run again before its next one.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_GOES_FIRST if is_at_rest else _GOES_EARLY))


def die_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Get `signum` when the thread that forked this process ends; exit at once if `parent` is gone already.

    A change of credentials clears this setting, so call it after one.
    """
    prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


class Lockdown:
    """The filter and the rules that all children of a zygote share."""

    def __init__(self, folder: Path) -> None:
        """Prepare for children that work below `folder`."""
        self._filter = _made_or_error(Filter)
        self._rules = _made_or_error(lambda: _ruleset([folder, *_readable_paths()]))
        # Zygotes that run at the same time rarely use the same user ids.
        self._first_uid = _FIRST_UID + os.getpid() % 16 * _UIDS_A_ZYGOTE

    @property
    def kept_fds(self) -> list[int]:
        """Descriptors that a child needs until it is locked down."""
        return [self._rules] if isinstance(self._rules, int) else []

    def impose(self, rung: Rung, place: int, parent: int, control: int | None) -> None:
        """Lock this process down.

        Args:
            rung: how far.
            place: the child's number among the living children, which gives it its user id.
            parent: the zygote's process id.
            control: the descriptor of a session's socket; None for a single program.

        Raises:
            OSError: this machine lacks something that the rung needs.
        """
        self._require(rung)
        if rung.has_own_user:
            resource.setrlimit(resource.RLIMIT_NPROC, (_MAX_THREADS, _MAX_THREADS))
            _become(self._first_uid + place % _UIDS_A_ZYGOTE, is_reader=rung is Rung.READER)
        elif rung is not Rung.LIMITS:
            _give_up_capabilities()
        die_with_parent(parent)
        if rung is not Rung.LIMITS:
            prctl(_PR_SET_NO_NEW_PRIVS, 1)  # Landlock and filters require this
        if isinstance(self._rules, int):
            if rung is Rung.UID or rung.needs_landlock:
                syscall(_RESTRICT_SELF, self._rules, 0)
            os.close(self._rules)
        if rung is not Rung.LIMITS and isinstance(self._filter, Filter):
            self._filter.install(os.getpid(), control)

    def _require(self, rung: Rung) -> None:
        if rung is not Rung.LIMITS and isinstance(self._filter, OSError):
            raise self._filter
        if rung.needs_landlock and isinstance(self._rules, OSError):
            raise OSError(errno.ENOSYS, f"no Landlock: {self._rules.strerror}")


def _made_or_error(make: Callable[[], _Made]) -> _Made | OSError:
    """The result of `make`, or the reason why this machine can't have it."""
    try:
        return make()
    except OSError as error:
        return error


def _give_up_capabilities(*, keep: int = 0) -> None:
    """Drop all capabilities but those of the mask `keep`, which must be held already."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    syscall(_CAPSET, header, struct.pack("=6I", low, low, 0, high, high, 0))


def _become(uid: int, *, is_reader: bool) -> None:
    """Become the user `uid`, without groups and capabilities; a reader keeps the capability to read any file.

    Raises:
        OSError: this process isn't allowed to.
    """
    keep = _reading_capability() if is_reader else 0
    if is_reader:
        prctl(_PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PermissionError(f"the user can't be changed to {uid} here: {error.strerror}") from error
    _give_up_capabilities(keep=keep)
    prctl(_PR_SET_DUMPABLE, 1)  # else its own /proc entries belong to root


def _reading_capability() -> int:
    """The weakest held capability that lets this process read the interpreter's folder."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
    for capability in (1 << _DAC_READ_SEARCH, 1 << _DAC_OVERRIDE):
        if held & capability:
            return capability
    raise PermissionError("no capability to read the interpreter's folder is held")


def _ruleset(readable: Iterable[Path]) -> int:
    """The descriptor of Landlock rules: files below `readable` can be read, all other access is refused.

    Source: the kernel's userspace-api/landlock. Each version of the interface is only asked for rights that it knows.
    It also blocks TCP (from version 4), and signals and abstract sockets to other processes (from version 6). In every
    version it blocks looking into processes outside, /proc/PID/environ and mem included.
    Paths that don't exist are skipped.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    version = syscall(_CREATE_RULESET, None, 0, _ASK_FOR_VERSION)
    attributes = struct.pack("=Q", (1 << _FILE_RIGHTS_OF_VERSION.get(version, 16)) - 1)
    if version >= 4:
        attributes += struct.pack("=Q", _BIND_AND_CONNECT_TCP)
    if version >= 6:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    rules = syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    os.set_inheritable(rules, False)
    for path in readable:
        _allow_reading(rules, path)
    return rules


def _allow_reading(rules: int, path: Path) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _readable_paths() -> list[Path]:
    """The interpreter, its installed packages and system libraries, but no other folder on `sys.path`."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    installed = {path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}}
    user_site = {site.getusersitepackages()} if site.ENABLE_USER_SITE else set()
    libraries = set(filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)))
    wanted = {*_SYSTEM_PATHS, *prefixes, *installed, *user_site, *libraries}
    return [Path(path) for path in sorted(wanted) if Path(path) != Path("/")]
