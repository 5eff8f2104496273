"""Kernel limits of a child: resources, death with its parent, and first choice of the out-of-memory killer.

The idea and the order are those of human-eval's reliability guard and nanochat's execution.py.
These limits guard against accidents. Root can lift several of them again, so they are no lock-down.
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
"""Values of `oom_score_adj`: tenths of a percent of all memory, added to what the process really uses."""
_SESSION_CPU_S = 3600
"""Processor time of all blocks of a session together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources that every child may use."""

    memory_bytes: int
    """Address space beyond what the zygote's libraries take."""
    max_file_bytes: int

    def impose(self, timeout_s: float, *, is_session: bool) -> None:
        """Limit this process; a session's processor time is limited block by block, see `limit_block`."""
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
    """Make that child the kernel's choice before any process of the host when memory runs out, and at rest the first.

    Killing a session at rest costs little: its earlier blocks are run again before its next one.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_GOES_FIRST if is_at_rest else _GOES_EARLY))


def limit_block(timeout_s: float) -> None:
    """Limit a session's next block to a second more of processor time than `timeout_s`, in case the host hangs."""
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
    """Bytes of address space that this process has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def die_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Get `signum` when the thread that forked this process ends; exit at once if `parent` is gone already.

    A change of credentials clears this setting, so call it after one.
    """
    prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
