"""A clock that counts real seconds several times: virtual time would overtake threads, processes and servers."""

import selectors
import time

from numina_infer.core.clock import Clock, TimedLoop
from numina_infer.core.config import require_positive


def scaled_clock(speed: float) -> Clock:
    """A clock that starts at 0 and counts every real second `speed` times, for one loop."""
    require_positive("speed", speed)
    began_at = time.monotonic()

    def now() -> float:
        return (time.monotonic() - began_at) * speed

    return Clock({"loop_factory": lambda: TimedLoop(_HastySelector(speed), now)}, now, speed=speed)


class _HastySelector(selectors.DefaultSelector):
    """Waits a fraction of the time that it is asked to."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else timeout / self._speed)
