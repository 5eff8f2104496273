"""Who may decode where: seats in rooms, counted in tokens of keys and values.

A room is one endpoint's capacity. vLLM preempts a request when the cache is full and computes it again later
(PagedAttention, arXiv 2309.06180, §4.5); an engine that takes all 48 trajectories of a problem at once can spend its
time on that. So a seat is given by what live contexts take, not by their number alone:

- a seat claims what its context holds, or what a context usually comes to hold if that is more;
- a new seat is given while the claims fit, to the lowest ticket that waits, in the open room with most left;
- a turn begins while the contexts in flight and its own fit, the lowest ticket first; one always may.

What a context usually comes to hold is learnt from those that ended; a quarter of the window until then.
"""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from numina_infer.config import require_whole

Place = TypeVar("Place")
"""What a room stands for; an endpoint."""

MARGIN = 64
"""Tokens that a context is expected to grow by before anybody looks again; two or four of vLLM's blocks."""
_LEARNT_FROM = 64
_FIRST_LEARNT = 8


class TypicalContext:
    """How many tokens a trajectory's context comes to hold."""

    def __init__(self, max_model_len: int) -> None:
        self._prior = max_model_len // 4
        self._peaks: deque[int] = deque(maxlen=_LEARNT_FROM)

    def learn(self, peak: int) -> None:
        """Take in one context that came to its end with `peak` tokens."""
        self._peaks.append(peak)

    @property
    def tokens(self) -> int:
        """The mean of the last contexts that ended."""
        if len(self._peaks) < _FIRST_LEARNT:
            return self._prior
        return sum(self._peaks) // len(self._peaks)


@dataclass(eq=False, slots=True)
class Room(Generic[Place]):
    """One endpoint's capacity."""

    place: Place
    max_num_seqs: int
    kv_tokens: int | None = None
    """What its cache holds; None where the endpoint doesn't tell, so that the number of seats alone counts."""
    is_open: bool = True
    seats: "list[Seat[Place]]" = field(default_factory=list)
    waiting_turns: "list[_Waiter[Place]]" = field(default_factory=list)

    def __post_init__(self) -> None:
        require_whole("max_num_seqs", self.max_num_seqs, 1)

    @property
    def in_flight(self) -> int:
        """Tokens of the contexts that are being decoded."""
        return sum(seat.live + MARGIN for seat in self.seats if seat.is_writing)

    def claimed(self, typical: int) -> int:
        """Tokens that its seats may come to hold."""
        return sum(max(seat.live + MARGIN, typical) for seat in self.seats)

    def load(self, typical: int) -> float:
        """The share of it that is taken, 0 to 1 or a little above."""
        by_number = len(self.seats) / self.max_num_seqs
        return max(by_number, self.claimed(typical) / self.kv_tokens) if self.kv_tokens else by_number

    def has_seat(self, typical: int) -> bool:
        """Whether one more trajectory fits."""
        if not self.is_open or self.waiting_turns or len(self.seats) >= self.max_num_seqs:
            return False
        return not self.kv_tokens or not self.seats or self.claimed(typical) + typical <= self.kv_tokens

    def has_turn(self, tokens: int) -> bool:
        """Whether one more context of `tokens` may be decoded now."""
        return not self.kv_tokens or not self.in_flight or self.in_flight + tokens + MARGIN <= self.kv_tokens


@dataclass(eq=False, slots=True)
class Seat(Generic[Place]):
    """One trajectory's place in a room."""

    ticket: int
    room: Room[Place]
    live: int = 0
    """Tokens that its context holds."""
    is_writing: bool = False


@dataclass(order=True, slots=True)
class _Waiter(Generic[Place]):
    ticket: int
    arrival: int
    tokens: int = field(compare=False, default=0)
    seat: Seat[Place] | None = field(compare=False, default=None)
    granted: anyio.Event = field(compare=False, default_factory=anyio.Event)


class Admission(Generic[Place]):
    """Gives seats in rooms and lets turns begin."""

    def __init__(self, rooms: Sequence[Room[Place]], max_model_len: int) -> None:
        self.rooms = tuple(rooms)
        self.typical = TypicalContext(max_model_len)
        self._waiting: list[_Waiter[Place]] = []
        self._arrivals = 0

    @asynccontextmanager
    async def seat(self, ticket: int) -> AsyncIterator[Seat[Place]]:
        """A seat, waited for in order of `ticket` (then of arrival), given back on exit."""
        seat = await self._take(ticket)
        try:
            yield seat
        finally:
            self._leave(seat)
            if seat.live:
                self.typical.learn(seat.live)
            self._grant()

    @asynccontextmanager
    async def turn(self, seat: Seat[Place], tokens: int) -> AsyncIterator[Place]:
        """Leave to decode a context of `tokens`; the seat moves first if its room has closed."""
        if not seat.room.is_open:
            await self._move(seat)
        await self._begin(seat, tokens)
        try:
            yield seat.room.place
        finally:
            seat.is_writing = False
            self._grant()

    def close(self, room: Room[Place]) -> None:
        """Give out no more of `room`; who waits for a turn there goes elsewhere."""
        room.is_open = False
        for waiter in room.waiting_turns:
            waiter.granted.set()
        room.waiting_turns.clear()

    def open(self, room: Room[Place], kv_tokens: int | None) -> None:
        """Give out `room` again; its cache may have another size by now."""
        room.is_open, room.kv_tokens = True, kv_tokens
        self._grant()

    async def _take(self, ticket: int) -> Seat[Place]:
        waiter = self._waiter(ticket)
        heapq.heappush(self._waiting, waiter)
        self._grant()
        try:
            await waiter.granted.wait()
        except anyio.get_cancelled_exc_class():
            self._withdraw(waiter)
            raise
        assert waiter.seat is not None  # noqa: S101 (granted is set together with it)
        return waiter.seat

    async def _move(self, seat: Seat[Place]) -> None:
        """Give up the seat in a closed room and take one elsewhere, or in the same one once it is open again."""
        live = seat.live
        self._leave(seat)
        self._grant()
        other = await self._take(seat.ticket)
        self._leave(other)
        seat.room, seat.live = other.room, live
        seat.room.seats.append(seat)

    async def _begin(self, seat: Seat[Place], tokens: int) -> None:
        while not self._may_begin(seat, tokens):
            waiter = self._waiter(seat.ticket, tokens)
            queue = seat.room.waiting_turns
            heapq.heappush(queue, waiter)
            try:
                await waiter.granted.wait()
            except anyio.get_cancelled_exc_class():
                if waiter in queue:
                    queue.remove(waiter)
                    heapq.heapify(queue)
                self._grant()
                raise
            if not seat.room.is_open:
                await self._move(seat)
        seat.live, seat.is_writing = tokens, True

    def _may_begin(self, seat: Seat[Place], tokens: int) -> bool:
        first = seat.room.waiting_turns[0].ticket if seat.room.waiting_turns else seat.ticket
        return seat.room.has_turn(tokens) and seat.ticket <= first

    def _waiter(self, ticket: int, tokens: int = 0) -> _Waiter[Place]:
        self._arrivals += 1
        return _Waiter(ticket, self._arrivals, tokens)

    def _leave(self, seat: Seat[Place]) -> None:
        if seat in seat.room.seats:
            seat.room.seats.remove(seat)

    def _withdraw(self, waiter: _Waiter[Place]) -> None:
        """Leave the queue; a seat that was given in the same moment goes to the next."""
        if waiter.seat is not None:
            self._leave(waiter.seat)
        else:
            self._waiting.remove(waiter)
            heapq.heapify(self._waiting)
        self._grant()

    def _grant(self) -> None:
        """Wake whom there is room for: turns of seats that are held, then new seats, each by ticket."""
        for room in self.rooms:
            if room.waiting_turns and room.has_turn(room.waiting_turns[0].tokens):
                heapq.heappop(room.waiting_turns).granted.set()
        while self._waiting and (best := self._best_room()) is not None:
            waiter = heapq.heappop(self._waiting)
            waiter.seat = Seat(waiter.ticket, best)
            best.seats.append(waiter.seat)
            waiter.granted.set()

    def _best_room(self) -> Room[Place] | None:
        """The open room with most left, if a trajectory fits there."""
        typical = self.typical.tokens
        fitting = [room for room in self.rooms if room.has_seat(typical)]
        return min(fitting, key=lambda room: room.load(typical), default=None)
