"""Kills of idle children: a few at a time, in order, and none holds up the others for long."""

from collections.abc import Awaitable, Callable

import pytest

from numina_infer.sandbox.host.idle_kills import _AT_ONCE, IdleKills

pytestmark = pytest.mark.anyio
Eventually = Callable[[Callable[[], bool]], Awaitable[bool]]
NUM = 20


async def test_no_more_than_a_few_die_at_once_and_all_do_in_order() -> None:
    """The next is killed when one has ended."""
    killed: list[int] = []
    kills = IdleKills(killed.append)
    for number in range(NUM):
        kills.add(number)
    for number in range(NUM):
        assert killed == list(range(min(NUM, number + _AT_ONCE)))
        kills.remove(number)


async def test_one_that_ends_by_itself_is_not_killed() -> None:
    """Its number may mean nothing by then."""
    killed: list[int] = []
    kills = IdleKills(killed.append)
    for number in range(NUM):
        kills.add(number)
    kills.remove(NUM - 1)
    for number in range(NUM):
        kills.remove(number)
    assert killed == list(range(NUM - 1))


async def test_ends_that_do_not_come_hold_the_others_up_for_a_while_only(
    eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process can be where no signal reaches it."""
    monkeypatch.setattr("numina_infer.sandbox.host.idle_kills._PATIENCE_S", 0.01)
    killed: list[int] = []
    kills = IdleKills(killed.append)
    for number in range(NUM):
        kills.add(number)
    assert await eventually(lambda: killed == list(range(NUM)))


async def test_what_is_cleared_is_forgotten() -> None:
    """Their zygote is gone, and they with it."""
    killed: list[int] = []
    kills = IdleKills(killed.append)
    for number in range(NUM):
        kills.add(number)
    kills.clear()
    kills.remove(0)
    assert killed == list(range(_AT_ONCE))
