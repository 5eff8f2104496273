"""One problem: endings are exactly once, recorded before they count, and nothing is left behind."""

from collections.abc import Callable
from itertools import count

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import Policy, RolloutConfig, SamplingParams, StopRule
from numina_infer.core.events import Ended, Event, Opened, Started, Stopped
from numina_infer.core.ports import Cutoff
from numina_infer.core.presets import Preset
from numina_infer.core.records import Execution, ExecutionStatus, Outcome, Problem, Solution, StopReason
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.solving.solver import Solver
from numina_infer.voting.referee import Ledger, Stop, decide, fold
from tests.scripted_sandbox import ScriptedSandbox

PROBLEM = Problem("p", "What is $1+1$?")
PROGRAM = "We compute.\n```python\nprint(1 + 1)\n```\n```output\n"


def boxed(answer: int) -> str:
    """A last word."""
    return f"\nThe answer is $\\boxed{{{answer}}}$."


def two(code: str) -> Execution:
    """Every program prints 2."""
    return Execution(ExecutionStatus.OK, "2", stdout="2\n")


def preset(num_samples: int, stop_rule: StopRule = StopRule.DECIDED) -> Preset:
    """The numina format with short turns."""
    rollout = RolloutConfig(sampling=SamplingParams(max_tokens=200))
    return Preset("numina", rollout, Policy(num_samples=num_samples, stop_rule=stop_rule))


class Recorder:
    """Keeps the events of one problem and folds them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ledger: Ledger | None = None
        self.cutoff: Cutoff | None = None
        self.was_over: list[bool] = []
        """Whether the problem had been stopped by the time of each event."""

    def __call__(self, event: Event) -> Ledger:
        """Take one event in."""
        self.was_over.append(self.cutoff is not None and self.cutoff.reason is not StopReason.DEADLINE)
        self.events.append(event)
        self.ledger = fold(self.ledger, event)
        return self.ledger

    def indices(self, kind: type[Started] | type[Ended]) -> list[int]:
        """The trajectories that have an event of `kind`, in order of number."""
        found = [event.index for event in self.events if isinstance(event, Started) and kind is Started]
        found += [event.trajectory.index for event in self.events if isinstance(event, Ended) and kind is Ended]
        return sorted(found)


async def solve(
    engine: ScriptedEngine,
    chosen: Preset,
    recorder: Recorder,
    *,
    time_left: float = 100.0,
    meanwhile: Callable[[Cutoff], object] | None = None,
    ticks: int = 0,
) -> Solution:
    """Solve the problem, and call `meanwhile` after `ticks` turns of the loop."""
    cutoff = Cutoff(anyio.current_time() + time_left)
    recorder.cutoff = cutoff
    opened = recorder(Opened(PROBLEM, "", cutoff.at, chosen.policy.num_samples, anyio.current_time()))
    verdicts: list[Solution] = []

    async def work() -> None:
        solver = Solver(NUMINA, engine, sandbox, chosen, recorder, count())
        verdicts.append(await solver.solve(PROBLEM, opened, cutoff, attempts))
        attempts.cancel_scope.cancel()

    async with ScriptedSandbox(two) as sandbox, anyio.create_task_group() as attempts:
        attempts.start_soon(work)
        for _ in range(ticks):
            await checkpoint()
        if meanwhile:
            meanwhile(cutoff)
    assert sandbox.num_open_sessions == 0
    return verdicts[0]


async def count_free_slots(engine: ScriptedEngine) -> int:
    """How many trajectories the engine takes right now."""
    free = 0
    async with anyio.create_task_group() as group:

        async def hold() -> None:
            nonlocal free
            async with engine.slot(0):
                free += 1
                await anyio.sleep_forever()

        for _ in range(10):
            group.start_soon(hold)
        for _ in range(20):
            await checkpoint()
        group.cancel_scope.cancel()
    return free


@given(
    ticks=st.integers(0, 150),
    num_samples=st.integers(1, 7),
    capacity=st.integers(1, 4),
    reason=st.sampled_from([StopReason.DECIDED, StopReason.INTERRUPTED]),
)
def test_each_started_trajectory_ends_exactly_once_whatever_the_tick_of_the_cutoff(
    ticks: int, num_samples: int, capacity: int, reason: StopReason
) -> None:
    """And nothing is left in the engine or the sandbox."""

    async def scenario() -> None:
        engine = ScriptedEngine([[PROGRAM, boxed(2)], [boxed(3)], [PROGRAM, PROGRAM, boxed(2)]], max_num_seqs=capacity)
        recorder = Recorder()
        solution = await solve(
            engine,
            preset(num_samples, StopRule.NEVER),
            recorder,
            meanwhile=lambda cutoff: cutoff.move(anyio.current_time(), reason),
            ticks=ticks,
        )
        assert recorder.indices(Ended) == recorder.indices(Started)
        assert solution.num_ended == solution.num_started <= num_samples
        assert engine.stats.num_running == 0
        assert await count_free_slots(engine) == capacity

    anyio.run(scenario)


@given(ticks=st.integers(0, 80), num_samples=st.integers(1, 4))
def test_a_problem_that_was_interrupted_is_never_exhausted(ticks: int, num_samples: int) -> None:
    """All of its trajectories may hand over at once; a resumed run must still take it again."""

    async def go() -> tuple[Solution, Recorder]:
        engine, recorder = ScriptedEngine([[PROGRAM, boxed(2)]]), Recorder()
        solution = await solve(
            engine,
            preset(num_samples, StopRule.NEVER),
            recorder,
            meanwhile=lambda cutoff: cutoff.move(anyio.current_time(), StopReason.INTERRUPTED),
            ticks=ticks,
        )
        return solution, recorder

    solution, recorder = anyio.run(go)
    outcomes = {event.trajectory.outcome for event in recorder.events if isinstance(event, Ended)}
    if Outcome.CUTOFF in outcomes:
        assert solution.stop_reason is StopReason.INTERRUPTED


@pytest.mark.anyio
async def test_a_decided_problem_stops_the_rest() -> None:
    """Three of five agree; the two that talk on are ended and still recorded."""
    engine = ScriptedEngine([[boxed(2)], [boxed(2)], [boxed(2)], ["so " * 100_000], ["so " * 100_000]])
    chosen = Preset("numina", RolloutConfig(sampling=SamplingParams(max_tokens=10**6)), Policy(num_samples=5))
    recorder = Recorder()
    solution = await solve(engine, chosen, recorder)
    assert (solution.answer, solution.stop_reason) == (2, StopReason.DECIDED)
    outcomes = [event.trajectory.outcome for event in recorder.events if isinstance(event, Ended)]
    assert sorted(outcomes) == [Outcome.CUTOFF] * 2 + [Outcome.FINISHED] * 3


@pytest.mark.anyio
async def test_the_deadline_gives_the_votes_so_far() -> None:
    """Endless talkers don't keep a vote from counting."""
    engine = ScriptedEngine([[boxed(4)], ["so " * 10**5]])
    chosen = Preset("numina", RolloutConfig(sampling=SamplingParams(max_tokens=10**8)), Policy(num_samples=4))

    def time_is_up(cutoff: Cutoff) -> None:
        cutoff.move(anyio.current_time(), StopReason.DEADLINE)

    solution = await solve(engine, chosen, Recorder(), meanwhile=time_is_up, ticks=300)
    assert (solution.answer, solution.is_fallback, solution.stop_reason) == (4, False, StopReason.DEADLINE)
    assert solution.num_ended == 4


@pytest.mark.anyio
async def test_a_deadline_in_the_past_starts_nothing() -> None:
    """The problem still gets a verdict, marked as a fallback."""
    recorder = Recorder()
    solution = await solve(ScriptedEngine([[boxed(2)]]), preset(3), recorder, time_left=-1.0)
    assert (solution.is_fallback, solution.num_started) == (True, 0)
    assert [type(event) for event in recorder.events] == [Opened, Stopped]


@pytest.mark.anyio
async def test_an_engine_error_costs_one_vote() -> None:
    """The others decide."""

    def fail_one(context_text: str, seed: int) -> str:
        return boxed(2)

    engine = ScriptedEngine(fail_one)
    solution = await solve(engine, preset(3, StopRule.NEVER), Recorder())
    assert (solution.answer, solution.stop_reason, solution.votes) == (2, StopReason.EXHAUSTED, {2: 3000})


@pytest.mark.anyio
async def test_verdicts_are_the_same_whatever_the_capacity() -> None:
    """Seeds and requests depend on no scheduling, so votes don't either."""

    def by_seed(context_text: str, seed: int) -> str:
        return boxed(seed % 5)

    verdicts = [
        await solve(ScriptedEngine(by_seed, max_num_seqs=capacity), preset(9, StopRule.NEVER), Recorder())
        for capacity in (1, 3, 9)
    ]
    assert len({tuple(sorted(verdict.votes.items())) for verdict in verdicts}) == 1


@pytest.mark.anyio
async def test_replaying_the_record_decides_as_the_live_run_did() -> None:
    """The referee was asked after every ending: it says stop at the same one, with the same winner."""
    recorder, chosen = Recorder(), preset(9)
    solution = await solve(ScriptedEngine([[boxed(1)], [boxed(2)], [boxed(2)]]), chosen, recorder)
    replayed = []
    ledger: Ledger | None = None
    for event in recorder.events:
        ledger = fold(ledger, event)
        replayed.append(isinstance(decide(chosen.policy, ledger, event.at), Stop))
    stopped_at = [isinstance(event, Stopped) for event in recorder.events].index(True)
    assert stopped_at == replayed.index(True) + 1
    assert recorder.was_over.index(True) == stopped_at + 1
    assert solution.stop_reason is StopReason.DECIDED
    assert ledger is not None
    assert dict(ledger.ballot.votes) == dict(solution.votes)
