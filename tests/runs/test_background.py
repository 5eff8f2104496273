"""Work that nobody waits for: in order, to its end, and given up where it hangs."""

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.runs.background import Background
from tests.waiting import wait_until


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What work may hang on until the test is over."""
    released = threading.Event()
    yield released
    released.set()


@given(st.lists(st.integers(0, 3), max_size=20))
def test_work_is_done_in_order_and_before_the_end(kinds: list[int]) -> None:
    """Whatever some of it raises."""
    done: list[int] = []

    def piece(number: int, kind: int) -> Callable[[], None]:
        def work() -> None:
            done.append(number)
            if kind == 0:
                raise ZeroDivisionError("a bug")
            if kind == 2:
                raise SystemExit

        return work

    background = Background("test", 20.0)
    for number, kind in enumerate(kinds):
        background.do(piece(number, kind))
        if kind == 1:
            assert background.flush(20.0)
            assert done[-1] == number
    background.close()
    assert done == list(range(len(kinds)))
    assert not background.is_given_up


def test_work_that_hangs_keeps_nobody_and_is_given_up(hanging: threading.Event) -> None:
    """What waits behind it is never done, even when it returns at last."""
    done: list[int] = []
    background = Background("test", 0.05)
    background.do(hanging.wait)
    background.do(lambda: done.append(1))
    assert not background.flush(0.0)
    wait_until(lambda: background.is_given_up)
    background.do(lambda: done.append(2))
    assert not background.flush(20.0)
    background.close(lambda: done.append(3))
    assert done == []
    hanging.set()
    wait_until(lambda: done)
    assert done == [3]


def test_closing_waits_no_longer_than_there_is_patience(hanging: threading.Event) -> None:
    """Whoever ends a contest isn't held up by a disk."""
    background = Background("test", 0.05)
    background.do(hanging.wait)
    background.close()
    assert background.is_given_up


def test_a_closed_one_leaves_no_thread_and_takes_no_work() -> None:
    """Its thread begins with the first piece of work, too."""
    done: list[int] = []

    def is_there() -> bool:
        return "brief" in {thread.name for thread in threading.enumerate()}

    background = Background("brief", 20.0)
    assert not is_there()
    background.do(lambda: done.append(1))
    assert is_there()
    background.close(lambda: done.append(3))
    background.do(lambda: done.append(2))
    assert (is_there(), done) == (False, [1, 3])


def test_without_a_thread_to_be_had_the_work_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever gives it, since it would be lost else."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done: list[int] = []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    background = Background("test", 20.0)
    background.do(lambda: done.append(1))
    assert done == [1]
    monkeypatch.undo()
    background.close()


def test_too_much_that_waits_is_given_up(hanging: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that crawls would fill the memory else."""
    monkeypatch.setattr("numina_infer.runs.background._MOST_WAITING", 10)
    background = Background("test", 20.0)
    for _ in range(13):
        background.do(hanging.wait)
    assert background.is_given_up
    hanging.set()
    background.close()
