"""What the kernel holds a child to: resource limits, its life bound to its parent's, first in line when memory ends.

The idea and the order are human-eval's reliability guard and nanochat's execution.py, done from the outside.
These limits are fences against accidents. As root several of them can be lifted again: they are no lock-down.
"""

import math
import os
import resource
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from numina_infer.sandbox.child.libc import prctl

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MAX_OPEN_FILES = 64
_GOES_EARLY, _GOES_FIRST = 900, 1000
"""Tenths of a percent of all memory that the kernel takes a process to use besides what it does."""
_SESSION_CPU_S = 3600
"""Processor time of all blocks of a session."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What every child may use."""

    memory_bytes: int
    """Address space on top of what the zygote's libraries take."""
    max_file_bytes: int

    def impose(self, timeout_s: float, *, is_session: bool) -> None:
        """Hold this process to the limits; a session's processor time is held block by block."""
        memory = self.memory_bytes + address_space_bytes()
        _limit(resource.RLIMIT_AS, memory)
        _limit(resource.RLIMIT_FSIZE, self.max_file_bytes)
        _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_MEMLOCK, 0)
        _limit(resource.RLIMIT_MSGQUEUE, 0)
        seconds = _SESSION_CPU_S if is_session else math.ceil(timeout_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        offer("self", is_at_rest=False)


def offer(pid: int | str, *, is_at_rest: bool) -> None:
    """Have the kernel end that child before any process of the host when memory runs out, and first of all at rest.

    One that was at rest is missed by nobody until its next block, for which its earlier ones are run again.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_GOES_FIRST if is_at_rest else _GOES_EARLY))


def limit_block(timeout_s: float) -> None:
    """Let a session's next block use one second more of processor time than `timeout_s`, should the host hang."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = min(math.ceil(time.process_time() + timeout_s) + 1, hard)
    with suppress(ValueError, OSError):  # an earlier block may have lowered the hard limit below
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def address_space_bytes() -> int:
    """What this process has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def die_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Get `signum` when the thread that forked this process ends; leave at once if `parent` is gone already.

    A change of credentials clears this, so it comes behind one.
    """
    prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
