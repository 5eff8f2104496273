"""Rounds as a schedule for comparisons (benchmarks/lockstep.py): who waits for whom, and that nobody waits in vain."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.lockstep import Barrier, LockstepEngine, LockstepSandbox
from numina_infer.core.config import Mode, Policy, RolloutConfig, SamplingParams, StopRule
from numina_infer.core.events import Ended, Event, Opened
from numina_infer.core.ports import Cutoff, Decoder, EngineStats, Session
from numina_infer.core.presets import Preset
from numina_infer.core.records import Completion, Execution, Part, Problem, StopReason, Trajectory
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.solving.solver import Solver
from numina_infer.voting.referee import Ledger, fold
from tests.examples import costly
from tests.scripted_sandbox import ScriptedSandbox

PROBLEM = Problem("p", "What is $1+1$?")
ASKS = "We compute.\n```python\nprint(1 + 1)\n```\n```output\n"
ANSWER = "\nThe answer is $\\boxed{2}$."


@dataclass
class Watch:
    """Notes what runs at each moment: an Engine around an Engine and a Sandbox around a Sandbox, inside of rounds."""

    engine: ScriptedEngine
    sandbox: ScriptedSandbox
    writing: int = 0
    running: int = 0
    overlaps: int = 0
    """Beginnings of a turn while a program ran, or the other way round."""
    waves: list[tuple[str, int]] = field(default_factory=list)
    """What began, in a row of the same kind, and how many."""

    def begin(self, kind: str) -> None:
        """Take note of a turn or a program."""
        self.overlaps += bool(self.running if kind == "turn" else self.writing)
        if self.waves and self.waves[-1][0] == kind:
            self.waves[-1] = (kind, self.waves[-1][1] + 1)
        else:
            self.waves.append((kind, 1))

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A slot of the engine inside."""
        async with self.engine.slot(ticket) as decoder:
            yield WatchedDecoder(decoder, self)

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A session of the sandbox inside."""
        async with self.sandbox.session(mode) as session:
            yield WatchedSession(session, self)

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside."""
        return self.engine.stats

    @property
    def incidents(self) -> tuple[str, ...]:
        """Those of the sandbox inside."""
        return self.sandbox.incidents

    def describe(self) -> dict[str, str | int | float]:
        """Nothing."""
        return {}


@dataclass
class WatchedDecoder:
    """A decoder inside of rounds."""

    decoder: Decoder
    watch: Watch

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Write, and be seen writing."""
        self.watch.begin("turn")
        self.watch.writing += 1
        try:
            return await self.decoder.generate(context, params, seed=seed, cutoff=cutoff)
        finally:
            self.watch.writing -= 1


@dataclass
class WatchedSession:
    """A session inside of rounds."""

    session: Session
    watch: Watch

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        """Run, and be seen running; some programs take longer than others."""
        self.watch.begin("program")
        self.watch.running += 1
        try:
            for _ in range(self.watch.waves[-1][1]):
                await checkpoint()
            return await self.session.execute(code, timeout_s=timeout_s, cutoff=cutoff)
        finally:
            self.watch.running -= 1


def script(num_programs: int, words: int) -> list[str]:
    """A trajectory that asks for so many programs, with so many words in front of each."""
    return [*["so " * words + ASKS] * num_programs, "so " * words + ANSWER]


async def solve(
    scripts: Sequence[Sequence[str]],
    *,
    meanwhile: Callable[[Cutoff], object] | None = None,
    ticks: int = 0,
) -> tuple[Watch, list[Trajectory]]:
    """Solve the problem in rounds with the real solver, and call `meanwhile` after `ticks` turns of the loop."""
    preset = Preset("numina", RolloutConfig(), Policy(num_samples=len(scripts), stop_rule=StopRule.NEVER))
    ended: list[Trajectory] = []
    ledger: Ledger | None = None

    def record(event: Event) -> Ledger:
        nonlocal ledger
        ended.extend([event.trajectory] if isinstance(event, Ended) else [])
        ledger = fold(ledger, event)
        return ledger

    async with ScriptedSandbox(lambda _code: "2") as sandbox, anyio.create_task_group() as group:
        watch, barrier = Watch(ScriptedEngine(scripts), sandbox), Barrier(len(scripts))
        rounds = LockstepEngine(watch, barrier), LockstepSandbox(watch, barrier)
        cutoff = Cutoff(anyio.current_time() + 100.0)
        opened = record(Opened(PROBLEM, "", cutoff.at, len(scripts), anyio.current_time()))
        group.start_soon(Solver(NUMINA, *rounds, preset, record, count()).solve, PROBLEM, opened, cutoff, group)
        for _ in range(ticks):
            await checkpoint()
        if meanwhile:
            meanwhile(cutoff)
    return watch, ended


SHAPES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=7)
"""Trajectories: how many programs, and how wordy."""


@costly(60)
@given(shapes=SHAPES)
def test_a_round_is_all_turns_and_then_all_programs_of_those_still_alive(shapes: list[tuple[int, int]]) -> None:
    """Nothing begins before all live ones have come; those that ended early aren't waited for."""
    watch, ended = anyio.run(solve, [script(*shape) for shape in shapes])
    alive = [sum(programs >= done for programs, _ in shapes) for done in range(5)]
    rounds = [wave for done in range(4) for wave in (("turn", alive[done]), ("program", alive[done + 1]))]
    assert watch.waves == [wave for wave in rounds if wave[1]]
    assert watch.overlaps == 0
    assert [each.answer.value for each in ended] == [2] * len(shapes)


@costly(60)
@given(shapes=SHAPES, ticks=st.integers(0, 150))
def test_at_the_cutoff_nobody_waits_on(shapes: list[tuple[int, int]], ticks: int) -> None:
    """Whenever it comes, every trajectory that was started ends."""

    async def scenario() -> None:
        with anyio.fail_after(60):
            _, ended = await solve(
                [script(*shape) for shape in shapes],
                meanwhile=lambda cutoff: cutoff.move(anyio.current_time(), StopReason.INTERRUPTED),
                ticks=ticks,
            )
        assert len(ended) in {0, len(shapes)}

    anyio.run(scenario)


@costly(60)
@given(phases=st.lists(st.integers(0, 4), min_size=2, max_size=6), victim=st.integers(0, 5), ticks=st.integers(0, 30))
def test_one_that_is_cancelled_holds_nobody_up(phases: list[int], victim: int, ticks: int) -> None:
    """Whether it waits or not when it is cancelled; and its own arrival lets nobody through too early."""
    passed: list[tuple[int, int]] = []

    async def take_part(barrier: Barrier, index: int, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                for phase in range(phases[index]):
                    for _ in range(index):
                        await checkpoint()
                    await barrier.wait()
                    passed.append((phase, index))
            finally:
                barrier.leave()

    async def scenario() -> None:
        barrier, scopes = Barrier(len(phases)), [anyio.CancelScope() for _ in phases]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for index, scope in enumerate(scopes):
                    group.start_soon(take_part, barrier, index, scope)
                for _ in range(ticks):
                    await checkpoint()
                scopes[victim % len(phases)].cancel()

    anyio.run(scenario)
    unharmed = [index for index in range(len(phases)) if index != victim % len(phases)]
    of_unharmed = [(phase, index) for phase, index in passed if index in unharmed]
    assert sorted(of_unharmed) == sorted((phase, index) for index in unharmed for phase in range(phases[index]))
    assert [phase for phase, _ in passed] == sorted(phase for phase, _ in passed)


@pytest.mark.anyio
async def test_the_last_to_come_opens_for_all() -> None:
    """Two of three wait however long; the third lets them through."""
    barrier, passed = Barrier(3), []

    async def come(name: str) -> None:
        await barrier.wait()
        passed.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(come, "first")
        group.start_soon(come, "second")
        for _ in range(50):
            await checkpoint()
        assert not passed
        await barrier.wait()
    assert sorted(passed) == ["first", "second"]


@pytest.mark.anyio
async def test_the_cutoff_ends_a_wait_and_takes_the_arrival_back() -> None:
    """One that went on at its cutoff doesn't count as waiting when the next one comes."""
    barrier, passed = Barrier(2), []
    await barrier.wait(Cutoff(anyio.current_time()))

    async def come() -> None:
        await barrier.wait()
        passed.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(come)
        for _ in range(50):
            await checkpoint()
        assert not passed
        barrier.leave()
    assert passed


@pytest.mark.anyio
async def test_a_later_wave_begins_once_the_one_before_has_ended() -> None:
    """Two and then two, whoever comes first; one of the second that is cancelled before holds nobody up."""
    barrier, begun = Barrier(2, 2), list[int]()
    engine = LockstepEngine(ScriptedEngine([["x"]]), barrier)
    scope = anyio.CancelScope()

    async def live(ticket: int, ends: anyio.Event | None = None) -> None:
        with scope if ticket == 3 else anyio.CancelScope():
            async with engine.slot(ticket):
                begun.append(ticket)
                if ends is not None:
                    await ends.wait()
                await barrier.wait()

    ends = anyio.Event()
    async with anyio.create_task_group() as group:
        for ticket in (2, 3):
            group.start_soon(live, ticket)
        for ticket in (0, 1):
            group.start_soon(live, ticket, ends)
        await anyio.wait_all_tasks_blocked()
        assert sorted(begun) == [0, 1]
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        ends.set()
    assert begun[2:] == [2]
