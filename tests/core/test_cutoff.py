"""The deadline that can move."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.ports import Cutoff
from numina_infer.core.records import StopReason

pytestmark = pytest.mark.anyio


@given(st.lists(st.floats(0, 100), min_size=1))
def test_a_cutoff_only_moves_earlier(times: list[float]) -> None:
    """Whatever it is told, it stands at the earliest time, with that time's reason."""
    cutoff = Cutoff(50.0)
    for at in times:
        cutoff.move(at, StopReason.DECIDED)
    assert cutoff.at == min([50.0, *times])
    assert cutoff.reason is (StopReason.DECIDED if min(times) < 50.0 else StopReason.DEADLINE)


async def test_everyone_under_a_cutoff_is_told_when_it_moves() -> None:
    """Scopes that were opened before, and those opened after."""
    cutoff = Cutoff(anyio.current_time() + 1000)
    caught: list[bool] = []

    async def wait() -> None:
        with cutoff.scope() as scope:
            await anyio.sleep_forever()
        caught.append(scope.cancelled_caught)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        cutoff.move(anyio.current_time(), StopReason.INTERRUPTED)
        group.start_soon(wait)
    assert caught == [True, True, True]
    assert cutoff.has_passed
