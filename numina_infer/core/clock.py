"""The clock that a contest runs by: this machine's, or a virtual one under which nine hours take seconds.

Under virtual time the event loop's clock stands still while anybody works, and jumps to the next timer when everybody
waits. It is asyncio's own loop with another clock (the idea of trio's MockClock; that one shuffles what happens at the
same time, and a simulation is to be repeatable).
While nobody waits for a reply it is frozen, since what goes on between two problems happens in other threads.
It is for engines and sandboxes that live in this process and wait on the loop alone; what works outside of it, in
threads, processes or servers, would be overtaken. Where such things take part and hours are to pass in minutes, a
scaled clock counts real seconds several times.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from numina_infer.core.config import require_positive


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a contest's event loop."""

    backend_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What anyio is told of the loop."""
    now: Callable[[], float] = time.monotonic
    """The loop's time in seconds, from any thread."""
    freeze: Callable[[bool], None] = lambda _is_frozen: None
    """Let virtual time stand still, or go on; any other goes on."""
    is_virtual: bool = False
    speed: float = 1.0
    """Seconds of the loop's time in a real one; threads wait for virtual time, which has no such ratio, as if at 1."""

    def real_s(self, seconds: float) -> float:
        """How long a thread waits for `seconds` of the loop's time."""
        return seconds / self.speed


def virtual_clock() -> Clock:
    """A clock that starts at 0, for one loop."""
    selector = _JumpingSelector()
    options = {"loop_factory": lambda: _TimedLoop(selector, lambda: selector.now)}
    return Clock(options, lambda: selector.now, selector.freeze, is_virtual=True)


def scaled_clock(speed: float) -> Clock:
    """A clock that starts at 0 and counts every real second `speed` times, for one loop."""
    require_positive("speed", speed)
    began_at = time.monotonic()

    def now() -> float:
        return (time.monotonic() - began_at) * speed

    return Clock({"loop_factory": lambda: _TimedLoop(_HastySelector(speed), now)}, now, speed=speed)


class _HastySelector(selectors.DefaultSelector):
    """Waits a fraction of what it is told to."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else timeout / self._speed)


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop would wait for its next timer, time jumps there; without a timer it waits for other threads."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.is_frozen = False
        self._lock = threading.Lock()

    def freeze(self, is_frozen: bool) -> None:
        """From then on, or no more; whoever lets time go on from another thread wakes the loop besides."""
        with self._lock:
            self.is_frozen = is_frozen

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(None if self.is_frozen else 0)
        with self._lock:
            if not ready and not self.is_frozen:
                self.now += timeout
        return ready


class _TimedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop by another clock than the machine's."""

    def __init__(self, selector: selectors.BaseSelector, now: Callable[[], float]) -> None:
        super().__init__(selector)
        self._now = now

    def time(self) -> float:
        return self._now()
