"""Seats in rooms, and leave to decode."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.engines.admission import MARGIN, Admission, EndpointCapacity, Seat, TypicalContext, TypicalTurn

pytestmark = pytest.mark.anyio
WINDOW = 400
"""A quarter of it is what a context is taken for at first."""


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(30):
        await checkpoint()


class Trajectory:
    """Takes a seat, then begins and ends turns as it is told, or is cancelled."""

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.seat: Seat[str] | None = None
        self.place: str | None = None
        """Where it writes right now."""
        self.begun = 0
        """Tokens that its turn began with."""
        self.is_over = False
        self.is_asked = False
        """Whether it has a turn, or waits for one."""
        self._scope = anyio.CancelScope()
        self._end_turn, self._end = anyio.Event(), anyio.Event()
        self._turn = anyio.Event()
        self._tokens = 0

    async def run(self, admission: Admission[str]) -> None:
        """Live, in `admission`."""
        with self._scope:
            async with admission.seat(self.ticket) as self.seat:
                while not self._end.is_set():
                    await self._turn.wait()
                    self._turn = anyio.Event()
                    if not self._end.is_set():
                        await self._write(admission, self.seat)
        self.seat, self.is_over = None, True

    async def _write(self, admission: Admission[str], seat: Seat[str]) -> None:
        self._end_turn = anyio.Event()
        try:
            async with admission.turn(seat, self._tokens) as self.place:
                self.begun = self._tokens
                await self._end_turn.wait()
        finally:
            self.place, self.is_asked = None, False

    def begin(self, tokens: int) -> None:
        """Ask for a turn."""
        if self.seat is not None and not self.is_asked:
            self._tokens, self.is_asked = tokens, True
            self._turn.set()

    def grow(self, tokens: int) -> None:
        """Write some."""
        if self.place is not None and self.seat is not None:
            self.seat.live += tokens

    def finish_turn(self) -> None:
        """End the turn."""
        if self.place is not None:
            self._end_turn.set()

    def finish(self) -> None:
        """End, once the turn that is running has ended."""
        if self.seat is not None:
            self._end.set()
            self._end_turn.set()
            self._turn.set()

    def cancel(self) -> None:
        """End wherever it is."""
        self._scope.cancel()


class World:
    """An admission and those who use it."""

    def __init__(self, admission: Admission[str], group: TaskGroup) -> None:
        self.admission, self._group = admission, group
        self.everybody: list[Trajectory] = []

    def arrive(self, ticket: int) -> Trajectory:
        """One more trajectory."""
        trajectory = Trajectory(ticket)
        self.everybody.append(trajectory)
        self._group.start_soon(trajectory.run, self.admission)
        return trajectory

    def writing(self, room: EndpointCapacity[str]) -> list[Trajectory]:
        """Who has a turn there."""
        return [one for one in self.everybody if one.place is not None and one.seat and one.seat.room is room]

    def check(self) -> None:
        """What holds whenever everybody has gone as far as they can."""
        typical = self.admission.typical.tokens
        for room in self.admission.rooms:
            self._check_room(room)
            assert not (self.admission._waiting and room.has_seat(typical)), "a seat is free while somebody waits"
        held = [seat for room in self.admission.rooms for seat in room.seats]
        assert len(held) == len(set(map(id, held)))
        owned = {id(one.seat) for one in self.everybody if one.seat is not None}
        assert {id(seat) for seat in held} <= owned, "a seat is held by nobody"

    def _check_room(self, room: EndpointCapacity[str]) -> None:
        writing = self.writing(room)
        assert len(room.seats) <= room.max_num_seqs
        assert sum(seat.is_writing for seat in room.seats) == len(writing)
        if room.kv_tokens and len(writing) > 1:
            assert sum(one.begun + MARGIN for one in writing) <= room.kv_tokens
        if room.waiting_turns:
            assert room.is_open
            assert not room.has_turn(room.waiting_turns.first.item.expected), "the next turn fits and waits"
            assert room.waiting_turns.first.rank == min(waiter.rank for waiter in room.waiting_turns._heap)

    async def end(self) -> None:
        """Let everybody finish; nobody waits for ever and nothing is left."""
        for room in self.admission.rooms:
            self.admission.open(room, room.kv_tokens)
        for _ in range(3 * len(self.everybody) + 3):
            for one in self.everybody:
                one.finish()
            await settle()
            self.check()
        assert all(one.is_over for one in self.everybody)
        assert not self.admission._waiting
        assert not any(room.seats or room.waiting_turns for room in self.admission.rooms)


@asynccontextmanager
async def world(*rooms: EndpointCapacity[str]) -> AsyncIterator[World]:
    """An admission to `rooms`; in the end everybody must have been served."""
    async with anyio.create_task_group() as group:
        made = World(Admission(rooms, WINDOW), group)
        yield made
        await made.end()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("arrive", "begin", "begin", "begin", "grow", "finish_turn", "finish", "cancel", "door")),
        st.integers(0, 7),
        st.sampled_from((10, 100, 300)),
    ),
    min_size=10,
    max_size=40,
)


async def act(here: World, kind: str, number: int, tokens: int) -> None:
    """One step in the life of a world."""
    if kind == "arrive":
        here.arrive(number)
    elif kind == "door":
        room = here.admission.rooms[number % len(here.admission.rooms)]
        if room.is_open:
            here.admission.close(room)
        else:
            here.admission.open(room, room.kv_tokens)
    elif here.everybody:
        one = here.everybody[number % len(here.everybody)]
        getattr(one, kind)(*([tokens] if kind in {"begin", "grow"} else []))


@given(
    capacities=st.lists(st.tuples(st.integers(1, 4), st.sampled_from((None, 200, 500, 900))), min_size=1, max_size=2),
    actions=ACTIONS,
    settles=st.lists(st.sampled_from((True, True, False)), min_size=40, max_size=40),
)
def test_capacity_is_kept_nothing_leaks_and_everybody_is_served(
    capacities: list[tuple[int, int | None]], actions: list[tuple[str, int, int]], settles: list[bool]
) -> None:
    """Whoever comes, grows, ends or is cancelled, whichever rooms open and close, one upon the other or at leisure."""

    async def live() -> None:
        rooms = [EndpointCapacity(str(number), seqs, kv_tokens=kv) for number, (seqs, kv) in enumerate(capacities)]
        async with world(*rooms) as here:
            for ticket in range(4):
                here.arrive(ticket)
            for action, settles_now in zip(actions, settles, strict=False):
                await act(here, *action)
                if settles_now:
                    await settle()
                    here.check()

    anyio.run(live)


async def test_seats_are_given_in_order_of_tickets() -> None:
    """Whatever order they came in."""
    async with world(EndpointCapacity("a", 1)) as here:
        first = here.arrive(0)
        await settle()
        rest = {ticket: here.arrive(ticket) for ticket in (5, 2, 9)}
        await settle()
        for expected in (2, 5, 9):
            first.finish()
            await settle()
            assert [ticket for ticket, one in rest.items() if one.seat and one.seat.room] == [expected]
            first = rest[expected]


async def test_a_new_trajectory_goes_to_the_room_with_most_left() -> None:
    """By the share that is taken, of seats or of tokens."""
    async with world(EndpointCapacity("small", 2), EndpointCapacity("large", 4)) as here:
        for ticket in range(6):
            here.arrive(ticket)
            await settle()
        rooms = [one.seat.room.place for one in here.everybody if one.seat and one.seat.room]
    assert rooms == ["small", "large", "large", "small", "large", "large"]


async def test_seats_are_given_while_what_contexts_usually_hold_fits() -> None:
    """A quarter of the window each until it is known better; and one seat always is."""
    async with world(EndpointCapacity("a", 9, kv_tokens=WINDOW), EndpointCapacity("tiny", 9, kv_tokens=1)) as here:
        for ticket in range(8):
            here.arrive(ticket)
        await settle()
        assert [len(room.seats) for room in here.admission.rooms] == [4, 1]


async def test_a_turn_waits_until_its_tokens_fit_and_one_always_may() -> None:
    """Even a context that is larger than the cache is decoded, alone."""
    async with world(EndpointCapacity("a", 4, kv_tokens=500)) as here:
        large, other = here.arrive(0), here.arrive(1)
        await settle()
        large.begin(900)
        await settle()
        other.begin(10)
        await settle()
        assert (large.place, other.place) == ("a", None)
        large.finish_turn()
        await settle()
        assert (large.place, other.place) == (None, "a")


async def test_one_end_lets_all_turns_begin_that_fit_now() -> None:
    """Not just the next one."""
    async with world(EndpointCapacity("a", 4, kv_tokens=500)) as here:
        large, *small = (here.arrive(ticket) for ticket in range(4))
        await settle()
        large.begin(450)
        await settle()
        for one in small:
            one.begin(50)
        await settle()
        assert [one.place for one in small] == [None, None, None]
        large.finish_turn()
        await settle()
        assert [one.place for one in small] == ["a", "a", "a"]


async def test_a_turn_that_was_let_go_is_not_overtaken_before_it_wakes() -> None:
    """What it was given is reserved at once."""
    async with world(EndpointCapacity("a", 4, kv_tokens=500)) as here:
        first, waiting, late = here.arrive(0), here.arrive(1), here.arrive(2)
        await settle()
        first.begin(300)
        await settle()
        waiting.begin(300)
        await settle()
        first.finish_turn()
        late.begin(300)
        await settle()
        assert (waiting.place, late.place) == ("a", None)


async def test_the_lowest_ticket_begins_its_turn_first() -> None:
    """Also before one that has waited longer."""
    async with world(EndpointCapacity("a", 4, kv_tokens=500)) as here:
        first, high, low = here.arrive(0), here.arrive(9), here.arrive(3)
        await settle()
        first.begin(400)
        await settle()
        high.begin(400)
        await settle()
        low.begin(400)
        await settle()
        first.finish_turn()
        await settle()
        assert (low.place, high.place) == ("a", None)


async def test_seats_move_when_their_room_closes_and_who_writes_there_is_left_alone() -> None:
    """Those that wait for a turn go at once, the others with their next turn."""
    async with world(EndpointCapacity("a", 3, kv_tokens=500), EndpointCapacity("b", 4, is_open=False)) as here:
        writing, waiting, thinking = (here.arrive(ticket) for ticket in range(3))
        await settle()
        writing.begin(400)
        await settle()
        waiting.begin(400)
        await settle()
        room, other = here.admission.rooms
        here.admission.open(other, None)
        here.admission.close(room)
        await settle()
        assert (writing.place, waiting.place) == ("a", "b")
        thinking.begin(10)
        await settle()
        assert thinking.place == "b"
        assert [seat.ticket for seat in room.seats] == [0]


async def test_a_turn_never_begins_in_a_room_that_has_closed_meanwhile() -> None:
    """Not even when a seat, or leave to write, was given in the same moment."""
    async with world(EndpointCapacity("a", 2, kv_tokens=500), EndpointCapacity("b", 1, is_open=False)) as here:
        room, other = here.admission.rooms
        first, second = here.arrive(0), here.arrive(1)
        await settle()
        first.begin(400)
        await settle()
        second.begin(400)
        await settle()
        first.finish()
        await checkpoint()
        here.admission.close(room)
        here.admission.open(other, None)
        here.admission.close(other)
        await settle()
        assert second.place is None
        here.admission.open(other, None)
        await settle()
        assert second.place == "b"


async def test_a_cancelled_waiter_gives_back_what_it_was_given_in_the_same_moment() -> None:
    """A seat and a turn, to the next who waits."""
    async with world(EndpointCapacity("a", 2, kv_tokens=500)) as here:
        first, second = here.arrive(0), here.arrive(1)
        await settle()
        third, fourth = here.arrive(2), here.arrive(3)
        await settle()
        first.begin(400)
        await settle()
        second.begin(400)
        await settle()
        second.cancel()
        first.finish()
        third.cancel()
        await settle()
        here.check()
        assert second.is_over
        assert third.is_over
        fourth.begin(10)
        await settle()
        assert fourth.place == "a"


async def test_a_seat_that_lost_its_room_while_it_was_cancelled_counts_when_it_is_used_again() -> None:
    """A decoder that was cut off while it moved takes a place before its next turn."""
    admission = Admission([EndpointCapacity("a", 1)], WINDOW)
    (room,) = admission.rooms
    async with admission.seat(0) as seat:
        admission.close(room)
        with anyio.move_on_after(0):
            async with admission.turn(seat, 1):
                raise AssertionError("there is no room")
        admission.open(room, None)
        async with admission.turn(seat, 1) as place:
            assert (place, room.seats) == ("a", [seat])
    assert room.seats == []


def test_what_contexts_come_to_hold_is_learnt() -> None:
    """From the last ones, once there are a few."""
    typical = TypicalContext(1000)
    for _ in range(7):
        typical.learn(100)
    assert typical.tokens == 250
    typical.learn(100)
    assert typical.tokens == 100
    for _ in range(100):
        typical.learn(300)
    assert typical.tokens == 300


def test_a_turn_is_expected_to_grow_by_all_it_may_until_others_have_ended() -> None:
    """Then by what three of four stay below, and never by more than it may."""
    typical = TypicalTurn()
    assert typical.growth(2048) == 2048
    for length in (100, 100, 100, 100, 100, 100, 300, 900):
        typical.learn(length)
    assert typical.growth(2048) == 300
    assert typical.growth(50) == 50
