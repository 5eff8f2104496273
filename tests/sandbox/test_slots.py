"""The queue for slots."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.sandbox.host.program_slots import ProgramSlots


@given(st.lists(st.integers(0, 5), max_size=12))
def test_slots_go_to_whoever_is_due_first(dues: list[int]) -> None:
    """And in order of arrival among those that are due together."""

    async def run() -> list[tuple[int, int]]:
        slots, served = ProgramSlots(1), list[tuple[int, int]]()

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
    slots = ProgramSlots(1)

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
