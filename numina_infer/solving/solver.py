"""One problem: start trajectories, record each ending, ask the referee again, stop when it says so.

Every trajectory waits for its own slot and moves alone; the solver only listens for endings.
The verdict waits for no attempt: what is still out when the time to hand over is up is read from its draft.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from numina_infer.core.events import Ended, Event, Started, Stopped
from numina_infer.core.ports import Cutoff, Decoder, Engine, Format, Sandbox, Session
from numina_infer.core.presets import Preset
from numina_infer.core.records import Outcome, Problem, Solution, StopReason, Trajectory
from numina_infer.solving.draft import Draft, end_of
from numina_infer.solving.rollout import rollout
from numina_infer.voting.referee import Ledger, Start, Stop, Wait, conclude, decide

Record = Callable[[Event], Ledger]
"""Writes an event down and returns the problem's ledger with it."""

_BEYOND_KILLS_S = 1.0
"""How much longer than the kill of a program the handing over may take."""
_OF_GRACE = 0.8
"""The share of a problem's grace that handing over may take; the rest is for the reply."""
_NOT_HANDED_OVER = "an attempt didn't hand over in time; what it had written by then counts"


def hand_over_s(preset: Preset, ledger: Ledger) -> float:
    """Seconds that attempts have to hand over what they have, once a problem is over."""
    return min(preset.sandbox.kill_grace_s + _BEYOND_KILLS_S, _OF_GRACE * ledger.grace_s)


class Solves(Protocol):
    """What works out one problem and records its events: `Solver`, or `rounds.PaperSolver`."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: TaskGroup) -> Solution:
        """The verdict on `problem`, at `cutoff` or before.

        Attempts run in `attempts`. All of them are recorded when this returns; whoever owns the group cancels it, and
        waits there for those that don't heed the cutoff.
        """
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

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: TaskGroup) -> Solution:
        """The verdict on `problem`, as `Solves.solve` says; `opened` is the ledger that recording its opening gave."""
        run = _Run(self, problem, cutoff, opened, attempts)
        reason = await run.play()
        return conclude(problem.id, self.preset.policy, run.ledger, reason, anyio.current_time())


@dataclass(slots=True)
class _Run:
    """One problem being solved."""

    solver: Solver
    problem: Problem
    cutoff: Cutoff
    ledger: Ledger
    attempts: TaskGroup
    drafts: dict[int, Draft] = field(default_factory=dict)
    """What the attempts have written that aren't recorded yet, by index."""
    endings: _Endings = field(default_factory=_Endings)

    async def play(self) -> StopReason:
        reason = StopReason.FAILED
        try:
            reason = await self._referee_loop()
        finally:
            self._stop(reason)
            try:
                await self._hand_over()
            finally:
                self._record_rest()
        return reason

    def _stop(self, reason: StopReason) -> None:
        now = anyio.current_time()
        self.ledger = self.solver.record(Stopped(self.problem.id, reason, now))
        self.cutoff.move(now, reason)

    async def _hand_over(self) -> None:
        with anyio.move_on_after(hand_over_s(self.solver.preset, self.ledger)):
            while self.drafts:
                await self._next_ending()

    def _record_rest(self) -> None:
        """Record what has ended meanwhile, and what is still out by its draft."""
        for trajectory in self.endings:
            self._record(trajectory)
        now = anyio.current_time()
        for draft in tuple(self.drafts.values()):
            self._record(draft.ended(Outcome.CUTOFF, now, _NOT_HANDED_OVER))

    async def _referee_loop(self) -> StopReason:
        """Ask at the time of the last event, or of what was waited for where nothing came before that.

        So what is decided depends on nothing but what is recorded, and a replay decides the same.
        """
        now = self.ledger.at
        while True:
            match decide(self.solver.preset.policy, self.ledger, now):
                case Start(count):
                    self._start(count)
                    now = self.ledger.at
                case Stop(reason):
                    # All may have handed over at once: they are exhausted then, and not by what was asked for.
                    is_interrupted = self.cutoff.reason is StopReason.INTERRUPTED
                    return StopReason.INTERRUPTED if is_interrupted else reason
                case Wait(until):
                    is_heard = await self._ending_before(until)
                    if not is_heard and self.cutoff.at < until:
                        return self.cutoff.reason
                    now = self.ledger.at if is_heard else until

    def _start(self, count: int) -> None:
        for _ in range(count):
            index = self.ledger.num_started
            self.ledger = self.solver.record(Started(self.problem.id, index, anyio.current_time()))
            answer_range = self.solver.preset.rollout.answer_range
            draft = self.drafts[index] = Draft(self.problem, index, self.solver.fmt, answer_range)
            self.attempts.start_soon(self._trajectory, draft, next(self.solver.tickets))

    async def _ending_before(self, until: float) -> bool:
        """Record the next ending; False where the cutoff or loop time `until` came first."""
        with self.cutoff.scope(), anyio.CancelScope(deadline=until):
            await self._next_ending()
            return True
        return False

    async def _next_ending(self) -> None:
        await self.endings.wait()
        self._record(next(iter(self.endings)))

    def _record(self, trajectory: Trajectory) -> None:
        del self.drafts[trajectory.index]
        self.ledger = self.solver.record(Ended(trajectory, anyio.current_time()))

    async def _trajectory(self, draft: Draft, ticket: int) -> None:
        """One attempt, which hands in one ending, unless it is cancelled, when its draft has been read."""
        self.endings.put(await end_of(draft, self._attempt(draft, ticket), self.cutoff))

    async def _attempt(self, draft: Draft, ticket: int) -> Outcome:
        async with AsyncExitStack() as places:
            place = await self._take_places(ticket, places)
            if place is None:
                return Outcome.CUTOFF
            decoder, session = place
            return await rollout(
                draft,
                decoder=decoder,
                session=session,
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
