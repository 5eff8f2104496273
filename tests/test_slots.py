"""Queues for slots, by deadline and by ticket."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.slots import Slots


@given(st.lists(st.integers(0, 5), max_size=12))
def test_slots_go_to_whoever_is_due_first(dues: list[int]) -> None:
    """And in order of arrival among those that are due together."""

    async def run() -> list[tuple[int, int]]:
        slots, served = Slots(1), list[tuple[int, int]]()

        async def wait(number: int, due: int) -> None:
            await slots.acquire(due)
            served.append((due, number))
            slots.release()

        await slots.acquire(0)
        async with anyio.create_task_group() as tasks:
            for number, due in enumerate(dues):
                tasks.start_soon(wait, number, due)
            await anyio.wait_all_tasks_blocked()
            slots.release()
        return served

    assert anyio.run(run) == sorted((due, number) for number, due in enumerate(dues))


@pytest.mark.anyio
async def test_one_that_gives_up_waiting_loses_no_slot() -> None:
    """Before it is called, and when it has just been called."""
    slots = Slots(1)

    async def wait(due: int) -> None:
        await slots.acquire(due)
        slots.release()

    await slots.acquire(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, 1)
        tasks.start_soon(wait, 2)
        await anyio.wait_all_tasks_blocked()
        slots.release()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(10):
        await slots.acquire(0)


@pytest.mark.anyio
async def test_a_slot_handed_to_a_waiter_that_is_cancelled_meanwhile_goes_on_to_the_next() -> None:
    """No slot is lost between the call and the cancellation."""
    slots, served = Slots(1), list[int]()

    async def queue(ticket: int, scope: anyio.CancelScope) -> None:
        with scope:
            async with slots.hold(ticket):
                served.append(ticket)

    scopes = [anyio.CancelScope(), anyio.CancelScope()]
    async with anyio.create_task_group() as group, slots.hold(0):
        for ticket, scope in enumerate(scopes, 1):
            group.start_soon(queue, ticket, scope)
        await anyio.wait_all_tasks_blocked()
        # The cancellation is on its way to the first waiter when the slot is given to it.
        scopes[0].cancel()
    assert served == [2]


@pytest.mark.anyio
async def test_a_waiter_that_gives_up_leaves_the_line() -> None:
    """The slot goes to those who still wait."""
    slots, served = Slots(1), list[int]()

    async def queue(ticket: int) -> None:
        async with slots.hold(ticket):
            served.append(ticket)

    async with anyio.create_task_group() as group, slots.hold(0):
        with anyio.move_on_after(0):
            await queue(1)
        group.start_soon(queue, 2)
        await anyio.wait_all_tasks_blocked()
    assert served == [2]
