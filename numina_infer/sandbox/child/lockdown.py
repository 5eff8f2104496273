"""Lock a child down, as the last step before untrusted code, on the rung of the ladder that was chosen.

The zygote prepares filter and rules once, so that a child makes a few system calls only.
"""

import errno
import os
import resource
import site
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from numina_infer.core.config import Rung
from numina_infer.sandbox.child import landlock, privileges
from numina_infer.sandbox.child.limits import die_with_parent
from numina_infer.sandbox.child.seccomp import Filter

_Made = TypeVar("_Made")
_FIRST_UID = 61000
_UIDS_A_ZYGOTE = 256
_MAX_THREADS = 64
"""The kernel counts threads by user, so this limit works only where a child has a user of its own."""
_SYSTEM_PATHS = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
)


class Lockdown:
    """The filter and the rules that all children of a zygote share."""

    def __init__(self, folder: Path) -> None:
        """Prepare for children that work below `folder`."""
        self._filter, self._no_filter = _made_or_reason(Filter)
        self._rules, self._no_rules = _made_or_reason(lambda: landlock.ruleset([folder, *readable_paths()]))
        # Zygotes that run at the same time rarely use the same user ids.
        self._first_uid = _FIRST_UID + os.getpid() % 16 * _UIDS_A_ZYGOTE

    @property
    def kept_fds(self) -> list[int]:
        """Descriptors that a child needs until it is locked down."""
        return [] if self._rules is None else [self._rules]

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
            privileges.become(self._first_uid + place % _UIDS_A_ZYGOTE, is_reader=rung is Rung.READER)
        elif rung is not Rung.LIMITS:
            privileges.give_up_capabilities()
        die_with_parent(parent)
        if rung is not Rung.LIMITS:
            privileges.give_up_new_privileges()
        self._restrict_files(rung)
        if rung is not Rung.LIMITS and self._filter is not None:
            self._filter.install(os.getpid(), control)

    def _require(self, rung: Rung) -> None:
        if rung is not Rung.LIMITS and self._filter is None:
            raise OSError(errno.ENOSYS, self._no_filter)
        if rung.needs_landlock and self._rules is None:
            raise OSError(errno.ENOSYS, f"no Landlock: {self._no_rules}")

    def _restrict_files(self, rung: Rung) -> None:
        if self._rules is None:
            return
        if rung is Rung.UID or rung.needs_landlock:
            landlock.restrict(self._rules)
        os.close(self._rules)


def _made_or_reason(make: Callable[[], _Made]) -> tuple[_Made | None, str]:
    """The result of `make`, or None and the reason why this machine can't have it."""
    try:
        return make(), ""
    except OSError as error:
        return None, error.strerror or str(error)


def readable_paths() -> list[Path]:
    """The interpreter, its installed packages and system libraries, but no other folder on `sys.path`."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    installed = {path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}}
    user_site = {site.getusersitepackages()} if site.ENABLE_USER_SITE else set()
    libraries = set(filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)))
    wanted = {*_SYSTEM_PATHS, *prefixes, *installed, *user_site, *libraries}
    return [Path(path) for path in sorted(wanted) if Path(path) != Path("/")]
