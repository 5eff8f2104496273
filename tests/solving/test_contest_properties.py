"""A contest under virtual time, with engines, sandboxes and gateways that do their worst.

Whatever they do: no reply after the hard end, every later problem keeps its floor, every reply is in range.
"""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from drills.pauses import start_pause
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig, Policy, RolloutConfig
from numina_infer.core.ports import Cutoff
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution, StopReason
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.history import read_logged_problems
from numina_infer.runs.log import RunLog
from numina_infer.solving.contest import Contest, Parts
from numina_infer.solving.paper.paper_solver import PaperSolver
from numina_infer.solving.solver import MakeSolver, Solver
from numina_infer.voting.referee import Ledger
from tests.examples import costly
from tests.mischief import KINDS, BadEngine, BadSandbox, Mischief


@costly(40)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    num_problems=st.integers(1, 12),
    is_told=st.booleans(),
    limit_s=st.floats(30.0, 4000.0),
    pauses=st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12),
    policy=st.builds(
        Policy, num_samples=st.integers(1, 9), width=st.integers(0, 4), epsilon=st.sampled_from([0, 0.05])
    ),
)
def test_no_reply_comes_after_the_hard_end_and_each_problem_keeps_its_floor(
    seed: int,
    kinds: list[str],
    num_problems: int,
    is_told: bool,
    limit_s: float,
    pauses: list[float],
    policy: Policy,
) -> None:
    """Whatever engine, sandbox and gateway do, asked twice included."""
    told = BankConfig.of_limit(limit_s)
    bank = BankConfig(limit_s, num_problems if is_told else None, told.reserve_s)
    preset = Preset("numina", RolloutConfig(), policy, ContestConfig(problem_time_s=600.0, bank=bank))
    mischief = Mischief(random.Random(seed), tuple(kinds))  # noqa: S311 (a test's luck)
    hard_end = limit_s - told.reserve_s
    least_s = min(bank.floor_s, hard_end / (num_problems if is_told else 50) / 4)
    clock = virtual_clock()
    with TemporaryDirectory() as folder, RunLog(Path(folder)) as log:
        parts = Parts(preset, NUMINA, BadEngine(mischief), BadSandbox(mischief), clock=clock)
        dawdled_s = 0.0
        with Contest(parts, log) as contest:
            for number, pause_s in zip(range(num_problems), pauses, strict=False):
                start_pause(contest._portal, clock, pause_s).result()
                dawdled_s += pause_s
                problem, asked_at = Problem(str(number), f"What is {number}?"), clock.now()
                solution = contest.solve(problem)
                assert solution == contest.solve(problem)
                assert 0 <= solution.answer <= 999
                assert clock.now() <= max(hard_end, asked_at) + 1e-6
                if solution.stop_reason is not StopReason.FAILED:
                    assert solution.num_ended == solution.num_started <= 2 * policy.num_samples
        for attempt in read_logged_problems(Path(folder)):
            cut = attempt.opened.slice
            assert cut is not None
            assert cut.seconds >= min(least_s, (cut.left_s or 0.0) / 50) - dawdled_s - 1e-6
            if dawdled_s == 0:
                assert cut.seconds >= least_s * (1 - 1e-9)


TWO_OF_100_S = Preset(
    "numina",
    RolloutConfig(),
    Policy(num_samples=2),
    ContestConfig(problem_time_s=100.0, bank=BankConfig(400.0, 2, 0.0)),
)


def asked_twice(make_solver: MakeSolver) -> list[tuple[Solution, float]]:
    """Two problems of a contest whose engine and sandbox hear no cutoff, each with the time of its reply."""
    mischief = Mischief(random.Random(1), ("ignores the cutoff",))  # noqa: S311 (a test's luck)
    clock = virtual_clock()
    parts = Parts(TWO_OF_100_S, NUMINA, BadEngine(mischief), BadSandbox(mischief), make_solver, clock)
    with TemporaryDirectory() as folder, RunLog(Path(folder)) as log, Contest(parts, log) as contest:
        return [(contest.solve(Problem(name, f"{name}?")), clock.now()) for name in ("a", "b")]


@pytest.mark.parametrize("make_solver", [Solver, PaperSolver])
def test_attempts_that_hear_no_cutoff_cost_their_problem_the_hand_over_and_no_more(make_solver: MakeSolver) -> None:
    """The verdict is that of what is written, and the next problem has its slice."""
    (first, first_at), (second, second_at) = asked_twice(make_solver)
    assert (first.stop_reason, first.num_ended, first.error) == (StopReason.DEADLINE, 2, "")
    assert (first_at, second.opened_at, second_at) == (103.0, 103.0, 206.0)


class DeafSolver(Solver):
    """One that hears no cutoff itself."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: TaskGroup) -> Solution:
        """Come to no verdict for an hour."""
        await anyio.sleep(3600.0)
        return await super().solve(problem, opened, cutoff, attempts)


def test_a_solver_that_hears_no_cutoff_costs_its_problem_the_grace_and_no_more() -> None:
    """The loop replies by itself at deadline and grace; the next problem has its slice."""
    (first, first_at), (second, second_at) = asked_twice(DeafSolver)
    assert (first.stop_reason, first.error) == (StopReason.FAILED, "no verdict in time")
    assert (first_at, second.opened_at, second_at) == (110.0, 110.0, 220.0)
