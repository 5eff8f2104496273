"""The attempt is the failure domain: whatever one of them raises, and wherever it hangs, the others vote."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import anyio
import anyio.abc
import pytest

from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import ContestConfig, Mode, Policy, RolloutConfig, SamplingParams, StopRule
from numina_infer.core.errors import EngineError, EngineGoneError, SandboxError, SandboxGoneError
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.ports import Cutoff, Decoder, EngineStats, Format, Session
from numina_infer.core.presets import Preset
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    FinishReason,
    Outcome,
    Part,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
    plain_text,
)
from numina_infer.formats.fences import Fenced
from numina_infer.formats.numina import NUMINA
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.replay.replay import replay_run
from numina_infer.runs.history import read_events
from numina_infer.runs.log import RunLog
from numina_infer.solving.contest import Contest, Parts
from numina_infer.solving.paper.paper_solver import PaperSolver
from numina_infer.solving.solver import MakeSolver, Solver
from numina_infer.voting.referee import Ledger
from tests.run_folders import described

NUM = 6
FIRST = "It is $\\boxed{52}$. Let me check.\n```python\nprint(52)\n```\n```output\n"
LAST = "Yes, $\\boxed{52}$."
PRESET = Preset(
    "numina",
    RolloutConfig(),
    Policy(num_samples=NUM, stop_rule=StopRule.NEVER, fallback_answer=7),
    ContestConfig(problem_time_s=600.0),
)


class Odd(BaseException):
    """An exception that isn't even an `Exception`."""


class MuteError(Exception):
    """An exception that can't even say what it is."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("a bug in a bug")

    __str__ = __repr__


RAISED = (
    KeyError("a token that nobody thought of"),
    RuntimeError("CUDA error"),
    MemoryError(),
    RecursionError(),
    SystemExit(3),
    KeyboardInterrupt(),
    Odd("odd"),
    MuteError(),
    asyncio.CancelledError("from within a package"),
    BaseExceptionGroup("several", [Odd("odd"), KeyError("x")]),
)
PLACES = ("slot", "generate", "session", "execute", "leave slot", "leave session", "program", "observation", "said")


@dataclass
class Trap:
    """Raises `error` where the third attempt comes to `place`; without an error it hangs there, deaf to the cutoff."""

    place: str
    error: BaseException | None

    async def spring(self, place: str, index: int) -> None:
        """Do so, or take a second."""
        if (place, index) == (self.place, 2):
            if self.error is not None:
                raise self.error
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5000.0)

    def spring_at_once(self, place: str) -> None:
        """Raise for the only attempt that gets here in the text's own words."""
        if place == self.place and self.error is not None:
            raise self.error


class TrappedEngine:
    """Every attempt states 52, checks it by a program and states it again; a ticket is an attempt's index."""

    def __init__(self, trap: Trap) -> None:
        self.trap = trap

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Nothing to end."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place."""
        await self.trap.spring("slot", ticket)
        yield _Decoder(self.trap, ticket)
        await self.trap.spring("leave slot", ticket)

    @property
    def stats(self) -> EngineStats:
        """None are kept."""
        return EngineStats()

    def describe(self) -> dict[str, str | int | float]:
        """What it is."""
        return {"engine": "trapped"}


@dataclass
class _Decoder:
    trap: Trap
    index: int

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        is_first = "```output\n" not in plain_text(context[1:])
        await anyio.sleep(1.0 + self.index)
        if not is_first:
            await self.trap.spring("generate", self.index)
            return Completion(LAST, (), FinishReason.EOS, num_tokens=9)
        mark = " trap" if self.index == 2 else ""
        return Completion(FIRST.replace("check.", f"check{mark}."), (), FinishReason.STOP, "```output\n", num_tokens=9)


class TrappedSandbox:
    """Every program prints 52; sessions are counted, since they come in the attempts' order."""

    incidents: tuple[str, ...] = ()

    def __init__(self, trap: Trap) -> None:
        self.trap, self.num_sessions = trap, 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Nothing to end."""

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A place."""
        index, self.num_sessions = self.num_sessions, self.num_sessions + 1
        await self.trap.spring("session", index)
        yield _Session(self.trap, index)
        await self.trap.spring("leave session", index)

    def describe(self) -> dict[str, str | int | float]:
        """What it is."""
        return {"sandbox": "trapped"}


@dataclass
class _Session:
    trap: Trap
    index: int

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        await self.trap.spring("execute", self.index)
        return Execution(ExecutionStatus.OK, "52")


def trapped(trap: Trap) -> Format:
    """The numina format, which breaks over the third attempt's text."""

    class TrappedFormat(Fenced):
        def program(self, completion: Completion) -> str | None:
            if "trap" in completion.text:
                trap.spring_at_once("program")
            return super().program(completion)

        def observation(self, completion: Completion, execution: Execution) -> str:
            if "trap" in completion.text:
                trap.spring_at_once("observation")
            return super().observation(completion, execution)

        def said(self, turn: Turn) -> str:
            if "trap" in turn.completion.text:
                trap.spring_at_once("said")
            return super().said(turn)

    return TrappedFormat(**{name: getattr(NUMINA, name) for name in NUMINA.__dataclass_fields__})


def play(folder: Path, trap: Trap, preset: Preset = PRESET, make_solver: MakeSolver = Solver) -> Solution:
    """The verdict of a contest of one problem."""
    clock = virtual_clock()
    parts = Parts(preset, trapped(trap), TrappedEngine(trap), TrappedSandbox(trap), make_solver, clock)
    with RunLog(described(folder, preset), resume=True) as log, Contest(parts, log) as contest:
        return contest.solve(Problem("a", "?"))


def endings_in(folder: Path) -> dict[int, Trajectory]:
    """The recorded attempts, by index."""
    ended = [event.trajectory for event in read_events(folder) if isinstance(event, Ended)]
    assert len({trajectory.index for trajectory in ended}) == len(ended)
    return {trajectory.index: trajectory for trajectory in ended}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_an_attempt_raises_ends_that_attempt_alone(tmp_path: Path, place: str, error: BaseException) -> None:
    """The others vote; its own ending has the error, its turns, and the answer that it had stated."""
    solution = play(tmp_path, Trap(place, error))
    endings = endings_in(tmp_path)
    assert sorted(endings) == list(range(NUM))
    third = endings.pop(2)
    assert {(one.outcome, one.answer.value, one.error) for one in endings.values()} == {(Outcome.FINISHED, 52, "")}
    has_stated = place not in {"slot", "session", "said"}
    assert solution.votes == {52: 1000 * (NUM - 1 + has_stated)}
    assert (solution.stop_reason, solution.error) == (StopReason.EXHAUSTED, "")
    assert len(third.turns) == {"slot": 0, "session": 0, "leave slot": 2, "leave session": 2, "said": 2}.get(place, 1)
    assert third.outcome is (Outcome.FINISHED if place.startswith("leave") else Outcome.FAILED)
    first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    assert third.error == ("MuteError" if isinstance(first, MuteError) else repr(first))
    assert replay_run(read_recording(tmp_path)).num_as_recorded == 1


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "52",
        Completion("x", (b"x",), FinishReason.EOS),  # type: ignore[arg-type] # what somebody's engine may give
        Completion("x", None, FinishReason.EOS),  # type: ignore[arg-type] # the same
        Completion(b"x", (), FinishReason.EOS),  # type: ignore[arg-type] # the same
        Completion("x", (), "eos"),  # type: ignore[arg-type] # the same
        Completion("x", (), FinishReason.EOS, num_tokens=1.5),  # type: ignore[arg-type] # the same
    ],
    ids=repr,
)
def test_a_completion_that_no_log_can_hold_costs_its_attempt_alone(tmp_path: Path, odd: Completion) -> None:
    """The log goes on, and the attempt keeps what it had stated."""

    class OddDecoder(_Decoder):
        async def generate(
            self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
        ) -> Completion:
            said = await super().generate(context, params, seed=seed, cutoff=cutoff)
            return odd if self.index == 2 and said.text == LAST else said

    class OddEngine(TrappedEngine):
        @asynccontextmanager
        async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
            yield OddDecoder(self.trap, ticket)

    trap = Trap("nowhere", None)
    parts = Parts(PRESET, NUMINA, OddEngine(trap), TrappedSandbox(trap), clock=virtual_clock())
    with RunLog(described(tmp_path, PRESET), resume=True) as log, Contest(parts, log) as contest:
        solution = contest.solve(Problem("a", "?"))
    assert (log.trouble, solution.votes) == ("", {52: 1000 * NUM})
    third = endings_in(tmp_path)[2]
    assert (third.outcome, len(third.turns)) == (Outcome.FAILED, 1)
    assert replay_run(read_recording(tmp_path)).num_as_recorded == 1


@pytest.mark.parametrize("place", [place for place in PLACES if place not in {"program", "observation", "said"}])
@pytest.mark.parametrize("stop_rule", StopRule)
def test_an_attempt_that_hangs_is_read_from_what_it_has_written(
    tmp_path: Path, place: str, stop_rule: StopRule
) -> None:
    """However the problem ends, and though it doesn't even hear that it is cancelled."""
    preset = replace(PRESET, policy=replace(PRESET.policy, stop_rule=stop_rule))
    solution = play(tmp_path, Trap(place, None), preset)
    third = endings_in(tmp_path)[2]
    is_known = place not in {"slot", "session"}
    assert third.outcome is (Outcome.FINISHED if place.startswith("leave") else Outcome.CUTOFF)
    assert (third.answer.value, len(third.turns) > 0) == ((52, True) if is_known else (None, False))
    assert (solution.answer, solution.error) == (52, "")
    reason = StopReason.DECIDED if stop_rule is StopRule.DECIDED else StopReason.DEADLINE
    assert solution.stop_reason is reason
    assert solution.solved_at <= 600.0 + PRESET.contest.reply_grace_s
    assert replay_run(read_recording(tmp_path)).num_as_recorded == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (EngineError("out of memory"), Outcome.ENGINE_ERROR),
        (EngineGoneError("no server is left"), Outcome.ENGINE_GONE),
        (SandboxError("no descriptor"), Outcome.SANDBOX_ERROR),
        (SandboxGoneError("given up"), Outcome.SANDBOX_GONE),
        (ExceptionGroup("of a task group", [EngineError("out of memory")]), Outcome.ENGINE_ERROR),
    ],
)
def test_what_engine_and_sandbox_raise_has_outcomes_of_its_own(
    tmp_path: Path, error: Exception, outcome: Outcome
) -> None:
    """One that may pass is replaced where it cost the vote; who is gone for good is not."""
    solution = play(tmp_path, Trap("session", error))
    endings = endings_in(tmp_path)
    first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
    assert (endings[2].outcome, endings[2].error) == (outcome, str(first))
    assert len(endings) == NUM + outcome.may_pass
    assert solution.votes == {52: 1000 * (NUM - 1 + outcome.may_pass)}


@pytest.mark.parametrize("place", ["generate", "execute", "program", "observation"])
def test_a_sample_of_the_papers_way_breaks_alone(tmp_path: Path, place: str) -> None:
    """Its rounds go on with the others."""
    preset = replace(PRESET, policy=replace(PRESET.policy, stop_rule=StopRule.DECIDED))
    solution = play(tmp_path, Trap(place, KeyError("x")), preset, PaperSolver)
    assert (solution.answer, solution.error) == (52, "")
    assert len(endings_in(tmp_path)) == NUM


class BrokenSolver(Solver):
    """A solver of ours that breaks in the middle."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: anyio.abc.TaskGroup) -> Solution:
        """Break at the fourth event, once."""
        num_events = 0

        def record(event: Event) -> Ledger:
            nonlocal num_events
            num_events += 1
            if num_events == NUM + 4:
                raise ZeroDivisionError("a fault of ours")
            return self.record(event)

        broken = Solver(self.fmt, self.engine, self.sandbox, self.preset, record, self.tickets)
        return await broken.solve(problem, opened, cutoff, attempts)


@pytest.mark.parametrize("way", ["decided", "exhausted", "deadline", "broken", "late", "paper"])
def test_the_log_says_in_every_way_that_a_problem_is_stopped(tmp_path: Path, way: str) -> None:
    """Once, with the verdict's reason, before whatever attempts hand over then; so the replay is exact."""
    stop_rule = StopRule.DECIDED if way == "decided" else StopRule.NEVER
    seconds = {"deadline": 4.5, "late": 4.5}.get(way, 600.0)
    contest = ContestConfig(problem_time_s=seconds)
    preset = replace(PRESET, policy=replace(PRESET.policy, stop_rule=stop_rule), contest=contest)
    solvers: dict[str, MakeSolver] = {"broken": BrokenSolver, "paper": PaperSolver, "late": LateSolver}
    solution = play(tmp_path, Trap("nowhere", None), preset, solvers.get(way, Solver))
    events = list(read_events(tmp_path))
    (stopped,) = [event for event in events if isinstance(event, Stopped)]
    assert stopped.reason is solution.stop_reason
    wanted = {"broken": "failed", "late": "failed", "paper": "exhausted"}.get(way, way)
    assert stopped.reason == wanted
    before = events[: events.index(stopped)]
    assert all(isinstance(event, Opened | Started | Ended) for event in before)
    (solved,) = [event for event in events if isinstance(event, Solved)]
    assert all(isinstance(event, Ended) for event in events[events.index(stopped) + 1 : events.index(solved)])
    assert solution.answer == 52 or way in {"deadline", "late"}
    if way != "paper":  # this run.json doesn't say that it is one
        assert replay_run(read_recording(tmp_path)).num_as_recorded == 1


class LateSolver(Solver):
    """One that comes to its verdict an hour after everybody else."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: anyio.abc.TaskGroup) -> Solution:
        """Solve, and keep it."""
        await anyio.sleep(3600.0)
        return await super().solve(problem, opened, cutoff, attempts)
