"""A contest whose engine and sandbox start late, break and are started again: replies in time, solved ones stay.

Virtual time: twenty minutes are a moment.
"""

import math
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.engines.faulty import Faults, FaultyEngine
from numina_infer.competitions.gateways import make_predict
from numina_infer.core.clock import Clock, virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig, Policy, RolloutConfig
from numina_infer.core.errors import ConfigError, EngineError, EngineGoneError, SandboxError
from numina_infer.core.ports import Engine, Sandbox
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution
from numina_infer.core.restarts import RestartPolicy
from numina_infer.engines.scripted_engine import ScriptedDecoder, ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.log import RunLog
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.solving.contest import Contest, Parts
from numina_infer.solving.supervised import SupervisedEngine, SupervisedSandbox
from tests.examples import costly

LIMIT_S = 9 * 3600.0
PROBLEMS = [Problem(f"p{number}", f"What is {number} + 100?") for number in range(1, 7)]
BANK = BankConfig(LIMIT_S, num_problems=len(PROBLEMS))
PRESET = Preset(
    "numina",
    RolloutConfig(),
    Policy(num_samples=6, width=3, epsilon=0.01),
    ContestConfig(problem_time_s=600.0, bank=BANK),
)


def right(context_text: str, seed: int) -> str:
    """The right answer to a problem of `PROBLEMS`."""
    asked = re.findall(r"What is (\d+) \+ 100\?", context_text)
    return f"It is $\\boxed{{{int(asked[-1]) + 100}}}$."


def answer_to(problem: Problem) -> int:
    """The reference."""
    return int(problem.id[1:]) + 100


@dataclass(frozen=True)
class Sitting:
    """One contest under faults."""

    contest: Contest
    clock: Clock
    lines: list[str]

    def solve_all(self) -> list[tuple[Problem, Solution, float]]:
        """Each problem with its verdict and when that came."""
        return [(problem, self.contest.solve(problem), self.clock.now()) for problem in PROBLEMS]


@contextmanager
def sitting(faults: Faults, preset: Preset = PRESET, policy: RestartPolicy | None = None) -> Iterator[Sitting]:
    """A contest with the engine that is right, behind `faults`."""
    clock, lines, inner = virtual_clock(), list[str](), ScriptedEngine(right)

    async def make() -> AbstractAsyncContextManager[Engine]:
        return FaultyEngine(inner, faults)

    engine = SupervisedEngine(make, policy=policy, report=lines.append)
    parts = Parts(preset, NUMINA, engine, ScriptedSandbox({}), clock=clock)
    with TemporaryDirectory() as folder, RunLog(Path(folder)) as log, Contest(parts, log) as contest:
        yield Sitting(contest, clock, lines)


def assert_in_time(seen: list[tuple[Problem, Solution, float]]) -> None:
    """Every reply is in range and before its slice and grace are over."""
    for _, solution, at in seen:
        assert 0 <= solution.answer <= 999
        assert at <= LIMIT_S - BANK.reserve_s
        assert at - solution.opened_at <= PRESET.contest.problem_time_s + PRESET.contest.reply_grace_s + 1e-6


def test_servers_that_never_start_cost_votes_and_no_reply() -> None:
    """Every problem gets the policy's constant in time, and the log says why."""
    with sitting(Faults(num_failed_starts=math.inf)) as contest:
        seen = contest.solve_all()
    assert_in_time(seen)
    assert all(solution.is_fallback for _, solution, _ in seen)
    incidents = [incident for _, solution, _ in seen for incident in solution.incidents]
    assert incidents == ["the engine didn't start: the server ended before it was ready"] * 5
    assert contest.lines[-1] == "the engine is given up after 5 starts in vain"


def test_a_problem_that_comes_before_the_engine_waits_for_it() -> None:
    """Its clock counts, and it is solved with what is left."""
    with sitting(Faults(start_s=500.0)) as contest:
        seen = contest.solve_all()
    assert [solution.answer for _, solution, _ in seen] == [answer_to(problem) for problem in PROBLEMS]
    assert seen[0][1].solved_at - seen[0][1].opened_at == pytest.approx(500.0)
    assert seen[1][1].solved_at - seen[1][1].opened_at < 1.0


def test_servers_that_start_after_twenty_minutes_cost_the_problems_of_those_twenty_minutes() -> None:
    """The others are answered right."""
    with sitting(Faults(start_s=1200.0)) as contest:
        seen = contest.solve_all()
    assert_in_time(seen)
    assert [solution.is_fallback for _, solution, _ in seen] == [True, True, False, False, False, False]
    assert all(solution.answer == answer_to(problem) for problem, solution, _ in seen[2:])


def test_an_engine_that_dies_at_the_third_problem_is_started_again() -> None:
    """Verdicts before it stay, the third is solved after the restart, and the rest are right."""
    with sitting(Faults(start_s=60.0, dies_on="What is 3 ")) as contest:
        before = contest.solve_all()
        again = [contest.contest.solve(problem) for problem in PROBLEMS]
    assert_in_time(before)
    assert [solution for _, solution, _ in before] == again
    assert [solution.answer for _, solution, _ in before] == [answer_to(problem) for problem in PROBLEMS]
    assert before[2][1].incidents[0].startswith("the engine broke: ")


def test_an_engine_that_is_beyond_its_own_help_is_made_anew() -> None:
    """It doesn't break by itself, it says so to whoever asks it for something; no problem is lost."""
    with sitting(Faults(start_s=60.0, wears_out_on="What is 3 ")) as contest:
        seen = contest.solve_all()
    assert_in_time(seen)
    assert [solution.answer for _, solution, _ in seen] == [answer_to(problem) for problem in PROBLEMS]
    assert seen[2][1].incidents == (
        "the engine broke: no server is left",
        "the engine was waited for, 60 s in its start",
    )
    assert seen[2][1].solved_at - seen[2][1].opened_at == pytest.approx(60.0 + RestartPolicy().pause_s)


class ClosesBadly(ScriptedEngine):
    """An engine that is beyond help from the start, and breaks once more when it is left."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
        """No place."""
        raise EngineGoneError("no server is left")
        yield

    async def __aexit__(self, *raised: object) -> None:
        raise OSError("leaving failed")


def test_an_engine_that_breaks_while_it_is_left_has_broken_once() -> None:
    """It counts as one start in vain, so the next is tried, and is told once."""
    engines = iter((ClosesBadly([["no"]]), ScriptedEngine(right)))

    async def make() -> ScriptedEngine:
        return next(engines)

    engine = SupervisedEngine(make, policy=RestartPolicy(max_starts=2))
    parts = Parts(PRESET, NUMINA, engine, ScriptedSandbox({}), clock=virtual_clock())
    with TemporaryDirectory() as folder, RunLog(Path(folder)) as log, Contest(parts, log) as contest:
        solution = contest.solve(PROBLEMS[0])
    assert solution.answer == answer_to(PROBLEMS[0])
    broken, waited = solution.incidents
    assert broken == "the engine broke: no server is left"
    assert waited.startswith("the engine was waited for")


def test_an_engine_that_wears_out_whenever_it_is_made_costs_the_problem_it_does_so_on() -> None:
    """Its trajectories end with an error each after some losses; the others are right."""
    with sitting(Faults(start_s=60.0, wears_out_on="What is 3 ", num_wears=math.inf)) as contest:
        seen = contest.solve_all()
    assert_in_time(seen)
    assert [problem.id for problem, solution, _ in seen if solution.answer != answer_to(problem)] == ["p3"]


def test_an_engine_beyond_help_that_nobody_makes_anew_costs_votes_and_no_time() -> None:
    """Every trajectory ends with the error at once, and so does every later problem."""
    engine = FaultyEngine(ScriptedEngine(right), Faults(wears_out_on="What is 3 "))
    parts = Parts(PRESET, NUMINA, engine, ScriptedSandbox({}), clock=virtual_clock())
    with TemporaryDirectory() as folder, RunLog(Path(folder)) as log, Contest(parts, log) as contest:
        seen = [contest.solve(problem) for problem in PROBLEMS]
    assert [solution.is_fallback for solution in seen] == [False, False, True, True, True, True]
    assert all(solution.solved_at - solution.opened_at < 1.0 for solution in seen)


def test_an_engine_that_hangs_costs_the_problem_it_hangs_on() -> None:
    """The loop replies by itself; the slots that hang are lost, the others go on."""
    with sitting(Faults(hangs_on="What is 3 ")) as contest:
        seen = contest.solve_all()
    assert_in_time(seen)
    touched = [problem.id for problem, solution, _ in seen if solution.answer != answer_to(problem)]
    assert touched == ["p3"]


def test_memory_that_runs_out_ends_trajectories_and_no_problem() -> None:
    """Those that still fit vote; places that come free are taken by new ones."""
    with sitting(Faults(max_batch=2)) as contest:
        seen = contest.solve_all()
    assert_in_time(seen)
    assert [solution.answer for _, solution, _ in seen] == [answer_to(problem) for problem in PROBLEMS]


@costly(40)
@given(
    start_s=st.floats(0, 2000),
    num_failed_starts=st.sampled_from([0, 1, 2, 4, 5, math.inf]),
    dies_on=st.sampled_from(["", "What is 1 ", "What is 4 "]),
    num_deaths=st.sampled_from([1, 3, math.inf]),
    hangs_on=st.sampled_from(["", "What is 2 ", "What is 5 "]),
    max_batch=st.sampled_from([0, 1, 3, math.inf]),
    calls=st.lists(st.sampled_from(PROBLEMS), min_size=1, max_size=12),
)
def test_whatever_breaks_predict_replies_with_one_row_in_range_and_the_same_when_asked_again(
    start_s: float,
    num_failed_starts: float,
    dies_on: str,
    num_deaths: float,
    hangs_on: str,
    max_batch: float,
    calls: list[Problem],
) -> None:
    """In any order, asked as often as Kaggle's relay may."""
    faults = Faults(start_s, num_failed_starts, dies_on, num_deaths, hangs_on, max_batch)
    replies: dict[str, int] = {}
    with sitting(faults) as contest:
        predict = make_predict(contest.contest.answer)
        for problem in calls:
            reply = predict(problem.id, problem.statement)
            assert (reply.columns, reply.height) == (["id", "answer"], 1)  # type: ignore[attr-defined]
            identifier, answer = reply.row(0)  # type: ignore[attr-defined]
            assert (identifier, str(reply.schema["answer"])) == (problem.id, "Int64")  # type: ignore[attr-defined]
            assert 0 <= answer <= 999
            assert replies.setdefault(problem.id, answer) == answer
        assert contest.clock.now() <= LIMIT_S - BANK.reserve_s


def test_a_sandbox_that_never_comes_leaves_the_votes_of_those_that_run_no_program() -> None:
    """Programs are refused, since nothing would hold them back."""
    clock, lines = virtual_clock(), list[str]()

    async def make() -> AbstractAsyncContextManager[Sandbox]:
        raise SandboxError("no rung holds")

    def half(context_text: str, seed: int) -> str:
        return right(context_text, seed) if seed % 2 else "```python\nprint(1)\n```\n```output\n"

    sandbox = SupervisedSandbox(make, report=lines.append, policy=RestartPolicy(max_starts=2, pause_s=5.0))
    parts = Parts(PRESET, NUMINA, ScriptedEngine(half), sandbox, clock=clock)
    with TemporaryDirectory() as folder, RunLog(Path(folder)) as log, Contest(parts, log) as contest:
        solution = contest.solve(PROBLEMS[0])
    assert solution.answer == answer_to(PROBLEMS[0])
    assert sum(solution.votes.values()) < solution.num_ended * 1000
    assert "the sandbox didn't start: no rung holds" in solution.incidents
    assert lines == ["the sandbox is given up after 2 starts in vain"]
    assert "no rung holds" in contest._logged_errors.pop() or "no rung holds" in " ".join(contest._logged_errors)


@pytest.mark.anyio
async def test_what_is_left_while_it_is_used_is_closed() -> None:
    """The engine inside is left with the one around it, in the order of entering."""
    steps: list[str] = []

    class Noted(ScriptedEngine):
        async def __aenter__(self) -> Self:
            steps.append("in")
            return self

        async def __aexit__(self, *raised: object) -> None:
            steps.append("out")

    async def make() -> AbstractAsyncContextManager[Engine]:
        steps.append("made")
        return Noted(right)

    ready: list[str] = []
    late = SupervisedEngine(
        make, report=steps.append, on_ready=lambda engine: ready.append(str(engine.describe()["engine"]))
    )
    assert late.describe() == {"engine": "late", "state": "starting"}
    async with late as engine, engine.slot(0):
        assert engine.describe()["engine"] == "scripted"
    assert steps == ["made", "in", "the engine is ready after 0 s", "out"]
    assert ready == ["scripted"]


@pytest.mark.anyio
async def test_who_waits_for_what_is_given_up_is_told_why() -> None:
    """The error has the last cause."""

    async def make() -> AbstractAsyncContextManager[Engine]:
        raise ConfigError("no such model")

    async with SupervisedEngine(make, policy=RestartPolicy(max_starts=1)) as engine:
        with pytest.raises(EngineError, match="no such model"):
            async with engine.slot(0):
                pass
        assert engine.describe() == {"engine": "late", "state": "given up"}


@pytest.mark.parametrize(("name", "value"), [("max_starts", 0), ("pause_s", 0.0)])
def test_a_config_that_would_never_start_is_refused(name: str, value: float) -> None:
    """The error names it."""
    with pytest.raises(ConfigError, match=name):
        RestartPolicy(**{name: value})  # type: ignore[arg-type]
