"""Places for programs, handed on by deadline: who is due first runs first, first come first served among equals.

Earliest deadline first is the oldest rule of real-time scheduling (Liu and Layland, 1973).
"""

import heapq
import itertools
from dataclasses import dataclass, field

import anyio


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    number: int
    called: anyio.Event = field(compare=False)


class ProgramSlots:
    """A semaphore whose queue is ordered by deadline."""

    def __init__(self, num_slots: int) -> None:
        self._num_free = num_slots
        self._queue: list[_Waiting] = []
        self._numbers = itertools.count()

    async def acquire(self, due: float) -> None:
        """Wait for a slot; `due` is the loop time that the queue is ordered by."""
        if self._num_free > 0:
            self._num_free -= 1
            return
        waiting = _Waiting(due, next(self._numbers), anyio.Event())
        heapq.heappush(self._queue, waiting)
        is_held = False
        try:
            await waiting.called.wait()
            is_held = True
        finally:
            if not is_held:
                self._leave(waiting)

    def _leave(self, waiting: _Waiting) -> None:
        if waiting.called.is_set():  # called just when it was cancelled
            self.release()
        else:
            self._queue.remove(waiting)
            heapq.heapify(self._queue)

    def release(self) -> None:
        """Hand a slot to whoever is due first."""
        if self._queue:
            heapq.heappop(self._queue).called.set()
        else:
            self._num_free += 1
