"""Admission."""

import anyio
import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.engines.slots import Slots

pytestmark = pytest.mark.anyio


async def test_a_slot_granted_to_a_waiter_that_is_cancelled_meanwhile_goes_on_to_the_next() -> None:
    """No slot is lost between grant and cancellation."""
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


async def test_a_waiter_that_gives_up_leaves_the_queue() -> None:
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


async def test_every_holder_has_a_number_of_its_own() -> None:
    """Numbers index caches."""
    slots = Slots(3)
    async with slots.hold(0) as first, slots.hold(1) as second, slots.hold(2) as third:
        assert {first, second, third} == {0, 1, 2}


async def test_no_slots_at_all_is_refused() -> None:
    """Nothing could ever run."""
    with pytest.raises(ConfigError, match="max_num_seqs is 0"):
        Slots(0)
