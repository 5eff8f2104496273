"""Admission: a fixed number of slots, given to the lowest ticket that waits.

A ticket is a trajectory's number, and stays its priority: what was started first finishes first, while its keys and
values are still in the cache (vLLM's priority scheduling orders requests the same way).
"""

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from numina_infer.core.config import require


@dataclass(order=True, slots=True)
class _Waiter:
    ticket: int
    arrival: int
    granted: anyio.Event = field(compare=False, default_factory=anyio.Event)
    index: int | None = field(compare=False, default=None)


class Slots:
    """`capacity` places, numbered from 0."""

    def __init__(self, capacity: int) -> None:
        require(capacity >= 1, f"max_num_seqs is {capacity}; it must be 1 or above")
        self._free = list(reversed(range(capacity)))
        self._waiting: list[_Waiter] = []
        self._arrivals = 0

    @asynccontextmanager
    async def hold(self, ticket: int) -> AsyncIterator[int]:
        """A slot's number, waited for in order of `ticket` (then of arrival), given back on exit."""
        index = await self._acquire(ticket)
        try:
            yield index
        finally:
            self._release(index)

    async def _acquire(self, ticket: int) -> int:
        if self._free:
            return self._free.pop()
        self._arrivals += 1
        waiter = _Waiter(ticket, self._arrivals)
        heapq.heappush(self._waiting, waiter)
        try:
            await waiter.granted.wait()
        except anyio.get_cancelled_exc_class():
            self._withdraw(waiter)
            raise
        assert waiter.index is not None  # noqa: S101 (granted is set together with it)
        return waiter.index

    def _withdraw(self, waiter: _Waiter) -> None:
        """Leave the queue; a slot that was granted in the same moment goes to the next."""
        if waiter.index is not None:
            self._release(waiter.index)
        else:
            self._waiting.remove(waiter)
            heapq.heapify(self._waiting)

    def _release(self, index: int) -> None:
        if self._waiting:
            waiter = heapq.heappop(self._waiting)
            waiter.index = index
            waiter.granted.set()
        else:
            self._free.append(index)
