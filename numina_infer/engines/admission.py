"""Which trajectory may decode where: seats in rooms, counted in tokens of keys and values.

A room is one endpoint's capacity. When its cache is full, vLLM preempts a request and computes it again later
(arXiv 2309.06180, §4.5). So seats are given by the tokens of live contexts, not by their number alone:

- a seat claims the tokens of its context, or of a typical context if those are more;
- a new seat is given while the claims fit, to the lowest ticket that waits, in the open room with most left;
- a turn begins while it and the turns in flight, each at its typical end, fit; the lowest ticket first, one always.

A typical context is the mean of those that ended, and a quarter of the window until a few have. A turn typically
grows by what three of four turns stayed below, and by all that it may until a few have ended.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from numina_infer.core.slots import WaitingLine

Place = TypeVar("Place")
"""The owner of a room, such as an endpoint."""

MARGIN = 64
"""Tokens that a context is expected to grow by before anybody looks again; two or four of vLLM's blocks."""
_LEARNT_FROM = 64
_FIRST_LEARNT = 8


class TypicalContext:
    """How many tokens a trajectory's context holds at its end."""

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


class TypicalTurn:
    """How many tokens a turn adds to its context, seldom exceeded."""

    def __init__(self) -> None:
        self._lengths: deque[int] = deque(maxlen=_LEARNT_FROM)

    def learn(self, length: int) -> None:
        """Take in one turn that wrote `length` tokens."""
        self._lengths.append(length)

    def growth(self, max_tokens: int) -> int:
        """The tokens that a turn of at most `max_tokens` typically adds."""
        if len(self._lengths) < _FIRST_LEARNT:
            return max_tokens
        return min(max_tokens, sorted(self._lengths)[3 * len(self._lengths) // 4])


@dataclass(eq=False, slots=True)
class EndpointCapacity(Generic[Place]):
    """One endpoint's capacity."""

    place: Place
    max_num_seqs: int
    kv_tokens: int | None = None
    """The size of its cache; None where the endpoint doesn't say, so that only the number of seats counts."""
    is_open: bool = True
    seats: "list[Seat[Place]]" = field(default_factory=list)
    waiting_turns: "WaitingLine[Seat[Place]]" = field(default_factory=WaitingLine)

    @property
    def in_flight(self) -> int:
        """Tokens of the contexts that are being decoded, each at its expected end."""
        return sum(max(seat.live, seat.expected) + MARGIN for seat in self.seats if seat.is_writing)

    def claimed(self, typical: int) -> int:
        """Tokens that its seats claim."""
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
        """Whether one more context of `tokens` may be decoded now; one always may."""
        return not self.kv_tokens or not self.in_flight or self.in_flight + tokens + MARGIN <= self.kv_tokens


@dataclass(eq=False, slots=True)
class Seat(Generic[Place]):
    """One trajectory's place in a room."""

    ticket: int
    room: EndpointCapacity[Place] | None = None
    """None while it waits for one."""
    live: int = 0
    """Tokens that its context holds."""
    expected: int = 0
    """Tokens that it is expected to hold at the end of the turn that it writes or waits for."""
    is_writing: bool = False


class Admission(Generic[Place]):
    """Gives seats in rooms and lets turns begin."""

    def __init__(self, rooms: Sequence[EndpointCapacity[Place]], max_model_len: int) -> None:
        self.rooms = tuple(rooms)
        self.typical = TypicalContext(max_model_len)
        self.typical_turn = TypicalTurn()
        self._waiting = WaitingLine[Seat[Place]]()

    @asynccontextmanager
    async def seat(self, ticket: int) -> AsyncIterator[Seat[Place]]:
        """A seat, waited for in order of `ticket` (then of arrival), given back on exit."""
        seat = Seat[Place](ticket)
        try:
            await self._sit(seat)
            yield seat
        finally:
            self._leave(seat)
            if seat.live:
                self.typical.learn(seat.live)
            self._grant()

    @asynccontextmanager
    async def turn(self, seat: Seat[Place], tokens: int, max_tokens: int = 0) -> AsyncIterator[Place]:
        """Permission to decode up to `max_tokens` behind a context of `tokens`.

        The seat moves first if its room has closed.
        """
        try:
            yield await self._begin(seat, tokens, max_tokens)
            self.typical_turn.learn(seat.live - tokens)
        finally:
            seat.is_writing = False
            self._grant()

    def close(self, room: EndpointCapacity[Place]) -> None:
        """Give no more seats and turns in `room`; those that wait for a turn there move elsewhere."""
        room.is_open = False
        while room.waiting_turns:
            room.waiting_turns.call()

    def open(self, room: EndpointCapacity[Place], kv_tokens: int | None) -> None:
        """Give seats in `room` again; its cache may have another size by now."""
        room.is_open, room.kv_tokens = True, kv_tokens
        self._grant()

    async def _sit(self, seat: Seat[Place]) -> EndpointCapacity[Place]:
        """The room of `seat`: another one if its own is closed, or the same once that is open again."""
        while (room := seat.room) is None or not room.is_open:
            self._leave(seat)
            await self._wait(self._waiting, seat)
        return room

    async def _begin(self, seat: Seat[Place], tokens: int, max_tokens: int) -> Place:
        while True:
            room = await self._sit(seat)
            seat.expected = tokens + self.typical_turn.growth(max_tokens)
            await self._wait(room.waiting_turns, seat)
            if seat.is_writing and room.is_open:
                seat.live = tokens
                return room.place
            seat.is_writing = False

    async def _wait(self, line: WaitingLine[Seat[Place]], seat: Seat[Place]) -> None:
        """Wait in `line`; what is given together with a cancellation is given back by `seat` or `turn`."""
        waiter = line.join(seat.ticket, seat)
        self._grant()
        await line.wait(waiter)

    def _leave(self, seat: Seat[Place]) -> None:
        if seat.room is not None:
            seat.room.seats.remove(seat)
            seat.room = None

    def _grant(self) -> None:
        """Grant what fits: turns to seats that are held, then new seats, each by ticket."""
        for room in self.rooms:
            while room.waiting_turns and room.has_turn(room.waiting_turns.first.item.expected):
                room.waiting_turns.call().is_writing = True
        while self._waiting and (best := self._best_room()) is not None:
            seat = self._waiting.call()
            seat.room = best
            best.seats.append(seat)

    def _best_room(self) -> EndpointCapacity[Place] | None:
        """The open room with most left, if a trajectory fits there."""
        typical = self.typical.tokens
        fitting = [room for room in self.rooms if room.has_seat(typical)]
        return min(fitting, key=lambda room: room.load(typical), default=None)
