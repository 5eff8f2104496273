"""The clock of a contest: the machine's, or a virtual one under which nine hours take seconds.

Virtual time stands still while a task works, and jumps to the next timer when all tasks wait. It is asyncio's own loop
with another clock, the idea of trio's MockClock, which shuffles simultaneous tasks where a simulation must be
repeatable. Between two problems only other threads work, so time is frozen while no caller waits (`Callers`).
It suits engines and sandboxes of this process that wait on the loop; threads, processes and servers would be
overtaken.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


class Callers:
    """Counts the threads that wait for a reply, and freezes virtual time while the loop works for none of them.

    Time passes freely before `open` and after `close`. In between it is frozen while no caller waits, and while a
    caller has come that the loop hasn't heard of, since hours might pass before its work begins.
    """

    def __init__(self, freeze: Callable[[bool], None] = lambda _: None) -> None:
        self._freeze = freeze
        self._lock = threading.Lock()
        self._num_waiting = self._num_unheard = 0
        self._is_open = False

    def open(self) -> None:
        """Engine and sandbox have started, and callers may come."""
        self._note(is_open=True)

    def come(self) -> None:
        """A caller waits from now on, and the loop hasn't heard of it."""
        self._note(waiting=1, unheard=1)

    def heard(self) -> None:
        """The loop has begun to work for a caller, or never will; called on the loop in the first case."""
        self._note(unheard=-1)

    def leave(self) -> None:
        """A caller has its reply."""
        self._note(waiting=-1)

    def close(self) -> None:
        """No caller comes any more, and time passes while engine and sandbox are closed."""
        self._note(is_open=False)

    def _note(self, *, waiting: int = 0, unheard: int = 0, is_open: bool | None = None) -> None:
        with self._lock:
            self._num_waiting += waiting
            self._num_unheard += unheard
            self._is_open = self._is_open if is_open is None else is_open
            self._freeze(self._is_open and (not self._num_waiting or self._num_unheard > 0))


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a contest's event loop."""

    backend_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """anyio's options for the loop."""
    now: Callable[[], float] = time.monotonic
    """The loop's time in seconds, from any thread."""
    freeze: Callable[[bool], None] = lambda _is_frozen: None
    """Stop virtual time (True) or let it go on; other clocks ignore it."""
    callers: Callers = field(default_factory=Callers)
    is_virtual: bool = False
    speed: float = 1.0
    """Seconds of the loop's time in a real second; 1 for virtual time. Drills have clocks that run faster."""

    def real_s(self, seconds: float) -> float:
        """Real seconds in which `seconds` of the loop's time pass, for a thread that waits."""
        return seconds / self.speed


def virtual_clock() -> Clock:
    """A clock that starts at 0, for one loop."""
    selector = _JumpingSelector()
    options = {"loop_factory": selector.make_loop}
    return Clock(options, lambda: selector.now, selector.freeze, Callers(selector.freeze), is_virtual=True)


class _JumpingSelector(selectors.DefaultSelector):
    """Jumps to the loop's next timer instead of waiting; without a timer it waits for other threads."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.is_frozen = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that waits here; it is woken when time goes on again."""
        self._loop = TimedLoop(self, lambda: self.now)
        return self._loop

    def freeze(self, is_frozen: bool) -> None:
        """Stop time, or let it go on, from any thread."""
        with self._lock:
            was_frozen, self.is_frozen = self.is_frozen, is_frozen
        if was_frozen and not is_frozen and self._loop is not None:
            with suppress(RuntimeError):  # a closed loop waits for nothing
                self._loop.call_soon_threadsafe(lambda: None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(None if self.is_frozen else 0)
        with self._lock:
            if not ready and not self.is_frozen:
                self.now += timeout
        return ready


class TimedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with another clock."""

    def __init__(self, selector: selectors.BaseSelector, now: Callable[[], float]) -> None:
        super().__init__(selector)
        self._now = now

    def time(self) -> float:  # noqa: D102 (asyncio's)
        return self._now()
