"""The contest: every problem gets an integer in range, in time, and the same one when asked again."""

import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.events import Ended, Event, Opened, Solved
from numina_infer.core.ports import Engine
from numina_infer.core.records import Outcome, Problem, Solution, StopReason
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.history import read_events, solved_problems
from tests.solving.contests import PRESET, boxing, contest_in

ENDLESS = "so " * 10**6


def test_asked_again_it_gives_the_same_answer_without_working_again(tmp_path: Path) -> None:
    """Kaggle's relay may repeat a call."""
    with contest_in(tmp_path, boxing(5)) as contest:
        answers = {contest.answer(Problem("a", "?")) for _ in range(3)}
    assert answers == {5}
    assert sum(isinstance(event, Opened) for event in read_events(tmp_path)) == 1


def test_it_answers_from_many_threads_at_once(tmp_path: Path) -> None:
    """Each problem is worked on once, whoever asks."""
    problems = [Problem(str(number), f"{number}?") for number in range(6)] * 3
    with contest_in(tmp_path, boxing(5)) as contest, ThreadPoolExecutor(max_workers=9) as threads:
        assert set(threads.map(contest.answer, problems)) == {5}
    assert sum(isinstance(event, Solved) for event in read_events(tmp_path)) == 6


def test_what_breaks_costs_one_problem_and_no_reply(tmp_path: Path) -> None:
    """A bug in an engine that ends all attempts gives the fallback, is logged, and the next problem is solved."""

    def break_on_b(context_text: str, seed: int) -> str:
        if "bad" in context_text:
            raise ZeroDivisionError("a bug")
        return "The answer is $\\boxed{5}$."

    with contest_in(tmp_path, ScriptedEngine(break_on_b)) as contest:
        broken = contest.solve(Problem("b", "bad"))
        assert contest.answer(Problem("a", "good")) == 5
    assert (broken.answer, broken.is_fallback, broken.stop_reason) == (7, True, StopReason.EXHAUSTED)
    endings = [event.trajectory for event in read_events(tmp_path) if isinstance(event, Ended)]
    assert [one.error for one in endings if one.outcome is Outcome.FAILED] == ["ZeroDivisionError('a bug')"] * 3


def test_resumed_problems_are_answered_from_the_log(tmp_path: Path) -> None:
    """What has a verdict is never worked on again."""
    with contest_in(tmp_path / "first", boxing(5)) as contest:
        contest.answer(Problem("a", "?"))
    solved = solved_problems(tmp_path / "first")
    with contest_in(tmp_path / "second", boxing(9), solved=solved) as contest:
        assert contest.answer(Problem("a", "?")) == 5
        assert contest.answer(Problem("b", "?")) == 9
        assert contest.answer(Problem("a", "another statement")) == 9


def test_an_interrupted_problem_gets_a_reply_and_stays_open_in_the_log(tmp_path: Path) -> None:
    """A resumed run solves it."""
    opened = threading.Event()

    def tell(event: Event) -> None:
        opened.set()

    interruptible = contest_in(tmp_path, ScriptedEngine([[ENDLESS]]), observers=(tell,))
    with interruptible as contest, ThreadPoolExecutor() as threads:
        reply = threads.submit(contest.solve, Problem("a", "?"))
        assert opened.wait(20)
        contest.interrupt()
        assert reply.result(20).stop_reason is StopReason.INTERRUPTED
    assert solved_problems(tmp_path) == {}


def test_half_a_character_in_a_statement_breaks_nothing(tmp_path: Path) -> None:
    """Lone surrogates come from broken JSON; tokenizers can't take them."""
    with contest_in(tmp_path, boxing(5)) as contest:
        assert contest.answer(Problem("a", "what \ud83d?\x00")) == 5


def test_a_contest_that_is_closed_still_replies(tmp_path: Path) -> None:
    """With the fallback, since no submission is lost."""
    with contest_in(tmp_path, boxing(5)) as contest:
        pass
    assert contest.answer(Problem("a", "?")) == 7
    assert solved_problems(tmp_path) == {}


def test_an_engine_that_does_not_start_is_told_at_once(tmp_path: Path) -> None:
    """Whoever opens the contest learns the cause, and nothing is left running."""

    @asynccontextmanager
    async def broken() -> AsyncIterator[Engine]:
        raise RuntimeError("no model")
        yield boxing(1)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no model"), contest_in(tmp_path, broken()):
        pass
    assert threading.active_count() == before


def test_an_error_that_ends_trajectories_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not only in the log of the run."""

    def failing(context_text: str, seed: int) -> str:
        raise EngineError("no such token")

    with contest_in(tmp_path, ScriptedEngine(failing)) as contest:
        assert contest.answer(Problem("a", "?")) == 7
    assert [record.getMessage() for record in caplog.records].count(
        "a trajectory ended with an error: no such token"
    ) == 1


def test_what_a_run_took_before_it_was_resumed_is_taken_off_its_bank(tmp_path: Path) -> None:
    """A hundred seconds of five hundred, and one problem of four."""
    bank = BankConfig(500.0, num_problems=4, reserve_s=0.0)
    preset = replace(PRESET, contest=ContestConfig(problem_time_s=1000.0, bank=bank))
    before = Solution("a", 5, is_fallback=False, stop_reason=StopReason.DECIDED, opened_at=7.0, solved_at=107.0)
    solved = {Problem("a", "?"): before}
    with contest_in(tmp_path, boxing(5), preset, solved, clock=virtual_clock()) as contest:
        assert contest.answer(Problem("b", "?")) == 5
    (opened,) = [event for event in read_events(tmp_path) if isinstance(event, Opened)]
    assert opened.slice is not None
    assert (opened.slice.left_s, opened.slice.num_left) == (400.0, 3)
    assert opened.deadline == opened.at + opened.slice.seconds


def test_an_observer_that_breaks_costs_no_reply(tmp_path: Path) -> None:
    """Who only looks on isn't needed; asked again the answer is the same."""

    def broken(event: Event) -> None:
        raise RuntimeError(f"no screen for {type(event).__name__}")

    with contest_in(tmp_path, boxing(5), observers=(broken,)) as contest:
        assert [contest.answer(Problem("a", "?")) for _ in range(2)] == [5, 5]
    assert [type(event) for event in read_events(tmp_path)][-1] is Solved


def test_a_problem_that_can_not_be_begun_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that breaks at one statement costs that problem, in no time, and the next is solved."""

    def prompt(self: object, statement: str) -> tuple[str, ...]:
        if "odd" in statement:
            raise LookupError("a template broke")
        return (statement,)

    monkeypatch.setattr(type(NUMINA), "prompt", prompt)
    with contest_in(tmp_path, boxing(5)) as contest:
        odd = [contest.solve(Problem("a", "odd")) for _ in range(2)]
        assert [(solution.answer, solution.is_fallback) for solution in odd] == [
            (PRESET.policy.fallback_answer, True)
        ] * 2
        assert "a template broke" in odd[0].error
        assert contest.answer(Problem("b", "even")) == 5
