"""Queues for a limited number of places: in order of tickets (trajectories, turns) or of deadlines (programs).

A ticket is a trajectory's number: what was started first finishes first, while its keys and values are still in the
cache (vLLM's priority scheduling orders requests the same way). Earliest deadline first is the oldest rule of
real-time scheduling (Liu and Layland, 1973). Among equals the first to arrive is served first.
"""

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")


@dataclass(order=True, slots=True)
class Waiter(Generic[Item]):
    """One that waits in a line."""

    rank: float
    arrival: int
    item: Item = field(compare=False)
    called: anyio.Event = field(compare=False, default_factory=anyio.Event)


class WaitingLine(Generic[Item]):
    """Waiters in order of rank (lower first), then of arrival."""

    def __init__(self) -> None:
        self._heap: list[Waiter[Item]] = []
        self._num_arrivals = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def first(self) -> Waiter[Item]:
        """The next to be called."""
        return self._heap[0]

    def join(self, rank: float, item: Item) -> Waiter[Item]:
        """Line up; then `wait`."""
        self._num_arrivals += 1
        waiter = Waiter(rank, self._num_arrivals, item)
        heapq.heappush(self._heap, waiter)
        return waiter

    async def wait(self, waiter: Waiter[Item]) -> None:
        """Return once `waiter` is called; on cancellation it leaves the line.

        A call that comes together with the cancellation is for the caller to pass on.
        """
        try:
            await waiter.called.wait()
        finally:
            if not waiter.called.is_set():
                self._heap.remove(waiter)
                heapq.heapify(self._heap)

    def call(self) -> Item:
        """Call the next, and return the item it joined with."""
        waiter = heapq.heappop(self._heap)
        waiter.called.set()
        return waiter.item


class Slots:
    """A semaphore whose waiters are served in order of rank."""

    def __init__(self, num_slots: int) -> None:
        self._num_free = num_slots
        self._line = WaitingLine[None]()

    @asynccontextmanager
    async def hold(self, rank: float) -> AsyncIterator[None]:
        """A slot, waited for by `rank`, given back on exit."""
        await self.acquire(rank)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, rank: float) -> None:
        """Wait for a slot by `rank`: a ticket, or the loop time at which the caller is due."""
        if self._num_free > 0:
            self._num_free -= 1
            return
        waiter = self._line.join(rank, None)
        try:
            await self._line.wait(waiter)
        except anyio.get_cancelled_exc_class():
            if waiter.called.is_set():
                self.release()
            raise

    def release(self) -> None:
        """Hand a slot to the next in line."""
        if self._line:
            self._line.call()
        else:
            self._num_free += 1
