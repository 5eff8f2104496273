"""One problem: start trajectories, record each ending, ask the referee again, stop when it says so.

Every trajectory waits for its own slot and moves alone; the solver only listens for endings.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from numina_infer.errors import EngineError, SandboxError
from numina_infer.events import Ended, Event, Started, Stopped
from numina_infer.ports import Cutoff, Decoder, Engine, Format, Sandbox, Session
from numina_infer.presets import Preset
from numina_infer.referee import Ledger, Start, Stop, Wait, conclude, decide
from numina_infer.rollout import rollout, unbegun
from numina_infer.trajectory import Outcome, Problem, Solution, StopReason, Trajectory

Record = Callable[[Event], Ledger]
"""Writes an event down and returns the problem's ledger with it."""

HAND_OVER_S = 2.0
"""How long trajectories have to hand over what they have once a problem is over."""


class Solves(Protocol):
    """What works out one problem and records its events: `Solver`, or `rounds.PaperSolver`."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff) -> Solution:
        """The verdict on `problem`, at `cutoff` or before."""
        ...


MakeSolver = Callable[[Format, Engine, Sandbox, Preset, Record, Iterator[int]], Solves]
"""Makes a solver of what a contest has; the last are the numbers of its trajectories."""


class _Endings:
    """Trajectories that have ended and aren't recorded yet; unlike a queue's, its wait can't lose one."""

    def __init__(self) -> None:
        self._ended: deque[Trajectory] = deque()
        self._news = anyio.Event()

    def put(self, trajectory: Trajectory) -> None:
        self._ended.append(trajectory)
        self._news.set()

    async def wait(self) -> None:
        """Return when there is one."""
        if not self._ended:
            self._news = anyio.Event()
            await self._news.wait()

    def __iter__(self) -> Iterator[Trajectory]:
        """Take them out, in the order in which they ended."""
        while self._ended:
            yield self._ended.popleft()


@dataclass(frozen=True, slots=True)
class Solver:
    """Solves problems with one format, one engine, one sandbox and one preset."""

    fmt: Format
    engine: Engine
    sandbox: Sandbox
    preset: Preset
    record: Record
    tickets: Iterator[int]
    """Numbers of trajectories over the whole contest: what is started first has priority."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff) -> Solution:
        """The verdict on `problem`, at `cutoff` or before; every trajectory it started has ended and is recorded.

        `opened` is the ledger that recording the problem's opening gave.
        """
        run = _Run(self, problem, cutoff, opened)
        reason = await run.play()
        return conclude(problem.id, self.preset.policy, run.ledger, reason, anyio.current_time())


@dataclass(slots=True)
class _Run:
    """One problem being solved."""

    solver: Solver
    problem: Problem
    cutoff: Cutoff
    ledger: Ledger
    endings: _Endings = field(default_factory=_Endings)

    async def play(self) -> StopReason:
        try:
            async with anyio.create_task_group() as trajectories:
                reason = await self._referee_loop(trajectories)
                now = anyio.current_time()
                self.ledger = self.solver.record(Stopped(self.problem.id, reason, now))
                self.cutoff.move(now, reason)
                await self._hand_over()
                trajectories.cancel_scope.cancel()
        finally:
            for trajectory in self.endings:
                self._record(trajectory)
        return reason

    async def _hand_over(self) -> None:
        with anyio.move_on_after(HAND_OVER_S):
            while self.ledger.num_running:
                await self._next_ending()

    async def _referee_loop(self, trajectories: TaskGroup) -> StopReason:
        """Ask at the time of the last event, or of the deadline where that was waited for.

        So what is decided depends on nothing but what is recorded, and a replay decides the same.
        """
        now = self.ledger.at
        while True:
            match decide(self.solver.preset.policy, self.ledger, now):
                case Start(count):
                    self._start(count, trajectories)
                    now = self.ledger.at
                case Stop(reason):
                    # All may have handed over at once: they are exhausted then, and not by what was asked for.
                    is_interrupted = self.cutoff.reason is StopReason.INTERRUPTED
                    return StopReason.INTERRUPTED if is_interrupted else reason
                case Wait(until):
                    with self.cutoff.scope() as waiting:
                        await self._next_ending()
                    if waiting.cancelled_caught and self.cutoff.at < until:
                        return self.cutoff.reason
                    now = until if waiting.cancelled_caught else self.ledger.at

    def _start(self, count: int, trajectories: TaskGroup) -> None:
        for index in range(self.ledger.num_started, self.ledger.num_started + count):
            self.ledger = self.solver.record(Started(self.problem.id, index, anyio.current_time()))
            trajectories.start_soon(self._trajectory, index, next(self.solver.tickets))

    async def _next_ending(self) -> None:
        await self.endings.wait()
        self._record(next(iter(self.endings)))

    def _record(self, trajectory: Trajectory) -> None:
        self.ledger = self.solver.record(Ended(trajectory, anyio.current_time()))

    async def _trajectory(self, index: int, ticket: int) -> None:
        """One attempt, which hands in exactly one ending whatever happens to it."""
        ending = unbegun(self.problem, index, Outcome.CUTOFF, anyio.current_time())
        try:
            ending = await self._attempt(index, ticket)
        except EngineError as error:
            ending = unbegun(self.problem, index, Outcome.ENGINE_ERROR, anyio.current_time(), str(error))
        except SandboxError as error:
            ending = unbegun(self.problem, index, Outcome.SANDBOX_ERROR, anyio.current_time(), str(error))
        finally:
            self.endings.put(ending)

    async def _attempt(self, index: int, ticket: int) -> Trajectory:
        async with AsyncExitStack() as places:
            place = await self._take_places(ticket, places)
            if place is None:
                return unbegun(self.problem, index, Outcome.CUTOFF, anyio.current_time())
            decoder, session = place
            return await rollout(
                self.problem,
                index,
                decoder=decoder,
                session=session,
                fmt=self.solver.fmt,
                config=self.solver.preset.rollout,
                run_seed=self.solver.preset.contest.seed,
                cutoff=self.cutoff,
            )

    async def _take_places(self, ticket: int, places: AsyncExitStack) -> tuple[Decoder, Session] | None:
        """A slot in the engine and one in the sandbox, or None when the cutoff comes first."""
        with self.cutoff.scope():
            decoder = await places.enter_async_context(self.solver.engine.slot(ticket))
            return decoder, await places.enter_async_context(self.solver.sandbox.session(self.solver.fmt.mode))
        return None
