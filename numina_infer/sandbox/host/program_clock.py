"""The time that one program has used, without the time in which others kept it waiting.

The limit counts processor seconds, and wall seconds in which the program had a processor or wanted none. What it waits
for a processor or for the zygote isn't counted, since the program isn't to blame for either.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from numina_infer.core.ports import Cutoff

_CPUCLOCK_SCHED = 2
"""With a process id it makes the id of that process's clock, as glibc's clock_getcpuclockid does."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """When a program's time is over: whichever of these comes first."""

    timeout_s: float
    """Of processor time, and of wall time without what the program waited for a processor."""
    wall_deadline: float
    """Loop time."""
    cutoff: Cutoff | None
    grace_s: float
    """How long the kill at the end may take to be confirmed."""


class ProgramClock:
    """Measures one child; times are seconds."""

    def __init__(self) -> None:
        self.pid = 0
        """The child's process id; 0 before the zygote reports it, and after the child's end."""
        self._started, self._cpu_before, self._queued_before = anyio.current_time(), 0.0, 0.0
        self._ordered_at: float | None = None
        """Loop time since when the zygote has orders to carry out for this child; None if it has none."""
        self._num_ordered = self._num_done = 0
        self._delayed_s = 0.0
        """Time that the zygote took for orders that it has carried out."""

    def restart(self) -> None:
        """Count from now instead of from the fork."""
        self._started, self._delayed_s = anyio.current_time(), 0.0
        self._cpu_before, self._queued_before = self._cpu_s(), self._queued_s() or 0.0

    def note_order(self) -> int:
        """Note that the zygote got an order for this child; returns the order's number."""
        if self._ordered_at is None:
            self._ordered_at = anyio.current_time()
        self._num_ordered += 1
        return self._num_ordered

    def note_done(self, pid: int) -> None:
        """Note that the zygote carried out its next order for the child, whose process id is `pid`."""
        self.pid = pid
        self._num_done += 1
        if self._num_done == self._num_ordered:
            self._delayed_s, self._ordered_at = self._zygotes_s, None

    def is_waiting_for(self, order: int) -> bool:
        """True while the order of that number isn't carried out."""
        return self._num_done < order

    @property
    def spent_s(self) -> float:
        """Processor seconds of the living child since the start; 0 where the kernel doesn't tell."""
        return max(0.0, self._cpu_s() - self._cpu_before)

    def left_s(self, limit: TimeLimit) -> float:
        """Seconds until the time is over if the program runs all the while; the cutoff isn't looked at."""
        now, queued = anyio.current_time(), self._queued_s()
        awake = 0.0 if queued is None else now - self._started - self._zygotes_s - (queued - self._queued_before)
        return min(limit.timeout_s - max(self.spent_s, awake), limit.wall_deadline - now)

    @property
    def _zygotes_s(self) -> float:
        """Seconds that the zygote took for its orders since the start."""
        if self._ordered_at is None:
            return self._delayed_s
        return self._delayed_s + anyio.current_time() - max(self._ordered_at, self._started)

    def _cpu_s(self) -> float:
        if self.pid == 0:
            return 0.0
        try:
            return time.clock_gettime((~self.pid << 3) | _CPUCLOCK_SCHED)
        except OSError:
            return 0.0

    def _queued_s(self) -> float | None:
        """Seconds that the living child has waited for a processor: the second figure of the kernel's schedstat."""
        if self.pid == 0:
            return None
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return None
