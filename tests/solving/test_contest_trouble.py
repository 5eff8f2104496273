"""A contest in trouble: a loop that hangs, problems that come together or late, and what is told of it all."""

import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from drills.pauses import start_pause
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig, VoteWeights
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.ports import Cutoff, EngineStats
from numina_infer.core.records import Problem, Solution
from numina_infer.engines.scripted_engine import ScriptedDecoder, ScriptedEngine
from numina_infer.formats.fences import Fenced
from numina_infer.formats.fences import Parts as PromptParts
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.history import read_events, read_logged_problems, solved_problems
from numina_infer.runs.log import RunLog
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.solving.contest import Contest, Parts
from numina_infer.solving.solver import Solver
from numina_infer.voting.referee import Ledger, fold
from tests.solving.contests import PRESET, boxing, contest_in, two
from tests.waiting import wait_until

HASTY = replace(PRESET, contest=ContestConfig(problem_time_s=0.05, reply_grace_s=0.05))
FIVE = "The answer is $\\boxed{5}$."


def test_a_loop_that_is_stuck_costs_no_reply(tmp_path: Path) -> None:
    """Neither to the problem in work nor to the next, which it never takes on; what was said once stands."""
    stuck, is_free = threading.Event(), threading.Event()

    def block(context_text: str, seed: int) -> str:
        stuck.wait(20)
        is_free.set()
        return "The answer is $\\boxed{5}$."

    with contest_in(tmp_path, ScriptedEngine(block), HASTY) as contest:
        first, second = contest.answer(Problem("a", "?")), contest.answer(Problem("b", "?"))
        assert not is_free.is_set()
        stuck.set()
        assert contest.answer(Problem("a", "?")) == first == second == 7
    assert [event.solution.answer for event in read_events(tmp_path) if isinstance(event, Solved)] == [7, 7]


def test_a_loop_that_stays_stuck_keeps_nobody_from_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A kernel must end for its submission to be scored, whatever still hangs; what hangs is left and told."""
    monkeypatch.setattr("numina_infer.solving.contest._CLOSE_S", 0.05)
    stuck, before = threading.Event(), set(threading.enumerate())

    def block(context_text: str, seed: int) -> str:
        stuck.wait(60)
        return "The answer is $\\boxed{5}$."

    with contest_in(tmp_path, ScriptedEngine(block), HASTY) as contest:
        assert contest.answer(Problem("a", "?")) == 7
    left = set(threading.enumerate()) - before
    assert left
    assert not stuck.is_set()
    assert "don't close within" in caplog.text
    stuck.set()
    for thread in left:
        thread.join(60)
    assert set(threading.enumerate()) <= before


class Ailing(ScriptedEngine):
    """An engine that tells of one more incident whenever it is asked."""

    told = 0

    @property
    def stats(self) -> EngineStats:
        """What a server of ours would tell that was restarted all the time."""
        self.told += 1
        return EngineStats(incidents=tuple(f"restart {number}" for number in range(self.told)))


def test_every_incident_of_the_engine_is_told_by_one_verdict(tmp_path: Path) -> None:
    """By the first that comes after it, in the log too."""
    engine = Ailing([["The answer is $\\boxed{5}$."]])
    with contest_in(tmp_path, engine) as contest:
        solutions = [contest.solve(Problem(name, "?")) for name in "abc"]
        num_told = engine.told
    told = [incident for solution in solutions for incident in solution.incidents]
    assert told == [f"restart {number}" for number in range(num_told)]
    assert told
    assert list(solved_problems(tmp_path).values()) == solutions


class Patched(ScriptedSandbox):
    """A sandbox that tells of one more incident whenever it is asked."""

    told = 0

    @property
    def incidents(self) -> tuple[str, ...]:
        """What a zygote of ours would tell that died all the time."""
        self.told += 1
        return tuple(f"zygote {number}" for number in range(self.told))


def test_every_incident_of_the_sandbox_is_told_by_one_verdict(tmp_path: Path) -> None:
    """Beside the engine's, each in its order."""
    engine, sandbox = Ailing([["The answer is $\\boxed{5}$."]]), Patched(two)
    with RunLog(tmp_path) as log, Contest(Parts(PRESET, NUMINA, engine, sandbox), log) as contest:
        told = [each for name in "abc" for each in contest.solve(Problem(name, "?")).incidents]
        counts = {"restart": engine.told, "zygote": sandbox.told}
    for kind, count in counts.items():
        assert [each for each in told if kind in each] == [f"{kind} {number}" for number in range(count)]
        assert count


class SlowEngine(ScriptedEngine):
    """An engine that takes five seconds for a place, on the loop's clock."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
        """A place, after a while."""
        await anyio.sleep(5.0)
        async with super().slot(ticket) as decoder:
            yield decoder


def test_two_problems_under_one_id_at_the_same_time_are_told_apart_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets its own answer, and its own events under an id of its own."""

    def echo(context_text: str, seed: int) -> str:
        return f"It is $\\boxed{{{11 if 'eleven' in context_text else 22}}}$."

    problems = [Problem("same", "eleven?"), Problem("same", "twenty-two?")]
    both_are_there, prompt = threading.Barrier(2), type(NUMINA).prompt
    alone = {problem.statement for problem in problems}

    def hold(self: Fenced, statement: str) -> PromptParts:
        if statement in alone:  # on the threads that ask, before either is worked on
            alone.discard(statement)
            both_are_there.wait(20)
        return prompt(self, statement)

    monkeypatch.setattr(type(NUMINA), "prompt", hold)
    with contest_in(tmp_path, ScriptedEngine(echo)) as contest, ThreadPoolExecutor(2) as threads:
        assert list(threads.map(contest.answer, problems)) == [11, 22]
    attempts = read_logged_problems(tmp_path)
    assert {attempt.opened.problem.id for attempt in attempts} == {"same", "same (2)"}
    assert all(attempt.solution is not None and len(attempt.trajectories) == 3 for attempt in attempts)


def test_virtual_time_waits_for_a_problem_that_is_just_coming_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is in work, and would let its seconds or hours go by before the loop hears of it."""
    clock, times, is_coming = virtual_clock(), list[float](), threading.Event()
    prompt = type(NUMINA).prompt

    def slow_prompt(self: Fenced, statement: str) -> PromptParts:
        if statement == "second" and not times:
            is_coming.set()
            for _ in range(50):  # the loop may look for its next timer as often
                contest._portal.call(checkpoint)
            times.append(clock.now())
        return prompt(self, statement)

    class HeldEngine(SlowEngine):
        @asynccontextmanager
        async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
            assert is_coming.wait(20)
            async with super().slot(ticket) as decoder:
                yield decoder

    monkeypatch.setattr(type(NUMINA), "prompt", slow_prompt)
    opened = contest_in(tmp_path, HeldEngine([["The answer is $\\boxed{5}$."]]), clock=clock)
    with opened as contest, ThreadPoolExecutor() as threads:
        first = threads.submit(contest.answer, Problem("a", "first"))
        wait_until(lambda: contest._problems)
        assert contest.answer(Problem("b", "second")) == 5
        assert first.result(20) == 5
    assert times == [0.0]


class Dawdling(ScriptedEngine):
    """An engine whose places on `late` problems come after an hour, and heed nothing; it tells of that then."""

    told: tuple[str, ...] = ()

    @property
    def stats(self) -> EngineStats:
        """What it told."""
        return EngineStats(incidents=self.told)

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
        """A place; the first three come late."""
        if ticket < PRESET.policy.num_samples:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3600.0)
            self.told = ("the first place took an hour",)
        async with super().slot(ticket) as decoder:
            yield decoder


def test_what_is_told_when_a_problem_has_its_reply_is_told_by_the_next(tmp_path: Path) -> None:
    """The attempts that came too late are nobody's, and what the engine tells of them is the log's all the same."""
    with contest_in(tmp_path, Dawdling([[FIVE]]), clock=(clock := virtual_clock())) as contest:
        late = contest.solve(Problem("a", "late?"))
        start_pause(contest._portal, clock, 7200.0).result()
        others = [contest.solve(Problem(name, "?")) for name in "bcd"]
    assert (late.is_fallback, late.incidents) == (True, ())
    assert [solution.incidents for solution in others] == [("the first place took an hour",), (), ()]


def test_an_id_is_its_problems_until_nobody_works_on_it(tmp_path: Path) -> None:
    """Another one under the same id that comes while late attempts still end has another in the log."""
    with contest_in(tmp_path, Dawdling([[FIVE]]), clock=virtual_clock()) as contest:
        assert contest.solve(Problem("same", "late?")).is_fallback
        assert contest.solve(Problem("same", "next?")).problem_id == "same (2)"
    assert {attempt.opened.problem.id for attempt in read_logged_problems(tmp_path)} == {"same", "same (2)"}


def test_a_problem_that_the_log_calls_otherwise_is_known_again(tmp_path: Path) -> None:
    """By a resumed run, under the id that it was asked by, and is not worked on again."""
    with contest_in(tmp_path / "first", Dawdling([[FIVE]]), clock=virtual_clock()) as contest:
        contest.solve(Problem("same", "late?"))
        contest.solve(Problem("same", "next?"))
    solved = solved_problems(tmp_path / "first")
    with contest_in(tmp_path / "second", boxing(9), solved=solved) as contest:
        assert [contest.answer(Problem("same", text)) for text in ("late?", "next?", "third?")] == [7, 5, 9]
    assert [event.problem.id for event in read_events(tmp_path / "second") if isinstance(event, Opened)] == ["same"]


def test_whoever_asks_again_is_told_of_by_the_next_verdict(tmp_path: Path) -> None:
    """Once for each time; a resumed run that is asked for verdicts of old is none."""
    with contest_in(tmp_path / "first", boxing(5)) as contest:
        solutions = [contest.solve(Problem(name, "?")) for name in "aababb"]
        last = contest.solve(Problem("c", "?"))
    again = "the gateway asked for a problem again"
    assert [solution.incidents for solution in solutions] == [(), (), (again,), (), (again,), (again,)]
    assert last.incidents == (again,) * 3
    with contest_in(tmp_path / "second", boxing(5), solved=solved_problems(tmp_path / "first")) as contest:
        contest.solve(Problem("a", "?"))
        assert contest.solve(Problem("d", "?")).incidents == ()


class Mute(ScriptedEngine):
    """An engine that can't tell what happened to it."""

    @property
    def stats(self) -> EngineStats:
        """A bug."""
        raise ZeroDivisionError("a bug")


def test_an_engine_that_cannot_tell_costs_no_reply(tmp_path: Path) -> None:
    """What happened is told beside a reply, and never in its place."""
    with contest_in(tmp_path, Mute([[FIVE]])) as contest:
        assert [contest.answer(Problem(name, "?")) for name in "ab"] == [5, 5]


def test_a_problem_for_which_no_time_is_left_is_answered_whenever_the_log_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the hard end its thread replies at once, which may be before the problem is opened; the log has both."""
    bank = BankConfig(1.0, num_problems=3, reserve_s=0.5)
    preset = replace(PRESET, contest=ContestConfig(problem_time_s=30.0, bank=bank))
    first_is_answered, prompt = threading.Event(), type(NUMINA).prompt

    def slow_prompt(self: Fenced, statement: str) -> PromptParts:
        assert statement != "first" or first_is_answered.wait(20)
        return prompt(self, statement)

    monkeypatch.setattr(type(NUMINA), "prompt", slow_prompt)
    with contest_in(tmp_path, boxing(5), preset, began_at=-100.0) as contest:
        assert contest.answer(Problem("a", "first")) == 7
        first_is_answered.set()
        assert contest.answer(Problem("b", "second")) == 7
    for attempt in read_logged_problems(tmp_path):
        assert attempt.solution is not None
        assert attempt.solution.answer == 7
    assert {event.problem.id for event in read_events(tmp_path) if isinstance(event, Opened)} == {"a", "b"}


def test_a_verdict_that_can_not_be_recorded_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the thread that waits, too, which may have to record it."""
    stuck = threading.Event()

    def block(context_text: str, seed: int) -> str:
        stuck.wait(20)
        return FIVE

    def broken(self: RunLog, event: Event) -> None:
        if isinstance(event, Solved):
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(RunLog, "write", broken)
    with contest_in(tmp_path, ScriptedEngine(block), HASTY) as contest:
        assert [contest.answer(Problem("a", "?")) for _ in range(2)] == [7, 7]
        stuck.set()


class Tardy(Future[None]):
    """A future that is done in the very moment in which whoever waits for it gives up."""

    def result(self, timeout: float | None = None) -> None:
        """What it came to, for those who wait without a limit."""
        super().result(20)
        if timeout is not None:
            raise TimeoutError


def test_a_contest_that_closes_at_the_last_moment_has_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No error comes of it, and nothing is said to be left."""
    with contest_in(tmp_path, boxing(5)) as contest:
        assert contest.answer(Problem("a", "?")) == 5
        monkeypatch.setattr("numina_infer.solving.contest.Future", Tardy)
    assert "don't close" not in caplog.text


class HangingLog(RunLog):
    """A log whose disk hangs from the first event of a kind on, until it is released."""

    def __init__(self, folder: Path, kind: type[Event], released: threading.Event) -> None:
        super().__init__(folder, patience_s=0.1)
        self.kind, self.released = kind, released

    def write(self, event: Event) -> None:
        """Append one event, behind work that hangs."""
        if isinstance(event, self.kind):
            self._disk.do(lambda: self.released.wait(60))
        super().write(event)


@pytest.mark.parametrize("kind", [Opened, Started, Ended, Stopped, Solved])
def test_a_disk_that_hangs_costs_no_reply_and_no_vote(tmp_path: Path, kind: type[Event]) -> None:
    """Whatever is being written when it does; the summary is told."""
    released = threading.Event()
    parts = Parts(PRESET, NUMINA, boxing(5), ScriptedSandbox(two), clock=virtual_clock())
    with HangingLog(tmp_path, kind, released) as log:
        with Contest(parts, log) as contest:
            solutions = [contest.solve(Problem(name, "?")) for name in "abc"]
        assert [(one.answer, one.is_fallback, one.error) for one in solutions] == [(5, False, "")] * 3
        assert [one.solved_at for one in solutions] == [0.0] * 3
    assert "and the log is given up" in log.trouble
    released.set()
    wait_until(lambda: "run-log" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.parametrize("kind", [Opened, Started, Ended, Stopped, Solved])
def test_an_observer_that_hangs_costs_no_reply_and_no_vote(
    tmp_path: Path, kind: type[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others see all, and the summary is told."""
    monkeypatch.setattr("numina_infer.runs.log._OBSERVER_PATIENCE_S", 0.1)
    released, seen = threading.Event(), list[Event]()

    def hang(event: Event) -> None:
        if isinstance(event, kind):
            released.wait(60)

    parts = Parts(PRESET, NUMINA, boxing(5), ScriptedSandbox(two), clock=virtual_clock())
    with RunLog(tmp_path) as log:
        with Contest(parts, log, observers=(hang, seen.append)) as contest:
            assert [contest.answer(Problem(name, "?")) for name in "abc"] == [5] * 3
        assert log.trouble == "an observer took longer than 0.1 s over an event, and is told no more"
    assert seen == list(read_events(tmp_path))
    released.set()
    wait_until(lambda: "contest-observer" not in {thread.name for thread in threading.enumerate()})


def test_the_loop_alone_changes_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the opening, which whoever hands the problem over writes before the loop has it."""
    threads: dict[type[Event], set[str]] = {}

    def watched(ledger: Ledger | None, event: Event, weights: VoteWeights) -> Ledger:
        threads.setdefault(type(event), set()).add(threading.current_thread().name)
        return fold(ledger, event, weights)

    monkeypatch.setattr("numina_infer.solving.contest.fold", watched)
    stuck = threading.Event()

    def block(context_text: str, seed: int) -> str:
        stuck.wait(0.3)
        return FIVE

    with contest_in(tmp_path, ScriptedEngine(block), HASTY) as contest:
        contest.answer(Problem("a", "late?"))
        stuck.set()
        contest.answer(Problem("b", "?"))
    assert threads.pop(Opened) == {"contest-asking"}
    loops = set[str]().union(*threads.values())
    assert len(loops) == 1
    assert loops.isdisjoint({"contest-asking", threading.main_thread().name})


class BreakingSolver(Solver):
    """One that has its group end by what it starts there, as no solver should."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: TaskGroup) -> Solution:
        """Start something that breaks, and wait."""

        async def break_off() -> None:
            raise ZeroDivisionError("a bug")

        attempts.start_soon(break_off)
        await anyio.sleep_forever()
        return await super().solve(problem, opened, cutoff, attempts)


def test_work_that_breaks_off_beside_the_solver_costs_no_reply(tmp_path: Path) -> None:
    """Nobody waits until the problem's time is over."""
    parts = Parts(PRESET, NUMINA, boxing(5), ScriptedSandbox(two), BreakingSolver, virtual_clock())
    with RunLog(tmp_path) as log, Contest(parts, log) as contest:
        solution = contest.solve(Problem("a", "?"))
    assert (solution.answer, solution.is_fallback, solution.solved_at) == (7, True, 0.0)
    assert solution.error == "the work on it broke off"


class HangingHandler(logging.Handler):
    """What standard error is when nobody reads it any more."""

    def __init__(self, released: threading.Event) -> None:
        super().__init__()
        self.released = released

    def emit(self, record: logging.LogRecord) -> None:
        """Hang."""
        self.released.wait(60)


@pytest.fixture
def hung_logging() -> Iterator[threading.Event]:
    """Everything that the library logs hangs until the event is set."""
    released, logger = threading.Event(), logging.getLogger("numina_infer")
    handler = HangingHandler(released)
    logger.addHandler(handler)
    yield released
    released.set()
    logger.removeHandler(handler)
    wait_until(lambda: not {thread.name for thread in threading.enumerate()} & {"run-log-voice"})


@pytest.mark.parametrize("does_disk_hang", [False, True])
def test_a_reply_waits_for_nothing_that_is_logged(
    tmp_path: Path, does_disk_hang: bool, hung_logging: threading.Event
) -> None:
    """Whether an attempt breaks, the disk hangs, or a reply is late."""

    def fail_once(context_text: str, seed: int) -> str:
        if "late" in context_text:
            hung_logging.wait(0.5)
        if seed % 2:
            raise ZeroDivisionError("a bug")
        return FIVE

    log: RunLog = HangingLog(tmp_path, Ended, hung_logging) if does_disk_hang else RunLog(tmp_path, patience_s=0.1)
    preset = replace(HASTY, contest=ContestConfig(problem_time_s=0.2, reply_grace_s=0.2))
    with log:
        parts = Parts(preset, NUMINA, ScriptedEngine(fail_once), ScriptedSandbox(two))
        with Contest(parts, log) as contest, ThreadPoolExecutor() as threads:
            replies = [threads.submit(contest.answer, Problem(text, text)).result(20) for text in ("a", "late?", "b")]
        assert set(replies) <= {5, 7}
    hung_logging.set()
    wait_until(lambda: "run-log" not in {thread.name for thread in threading.enumerate()})


class StuckStats(ScriptedEngine):
    """An engine that hangs where it is asked what it has done."""

    released = threading.Event()

    @property
    def stats(self) -> EngineStats:
        """Nothing for a long time."""
        self.released.wait(60)
        return EngineStats()


def test_a_reply_waits_for_nothing_that_is_told_beside_it(tmp_path: Path) -> None:
    """The thread that waits has the votes that were cast by then."""
    with contest_in(tmp_path, StuckStats([[FIVE]]), HASTY) as contest:
        assert contest.answer(Problem("a", "?")) == 5
        StuckStats.released.set()
