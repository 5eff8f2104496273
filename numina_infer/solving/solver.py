"""One problem: start attempts, record each ending, ask the referee again, and stop when it says so.

Every attempt waits for its own slot and runs alone; the solver only waits for endings.
The verdict waits for no attempt: one that doesn't hand over in time is read from its draft.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from numina_infer.core.events import Ended, Event, Started, Stopped
from numina_infer.core.ports import Cutoff, Engine, Format, Sandbox
from numina_infer.core.presets import Preset
from numina_infer.core.records import Outcome, Problem, Solution, StopReason, Trajectory
from numina_infer.solving.rollout import Draft, end_of, rollout
from numina_infer.voting.referee import Ledger, Start, Stop, Wait, conclude, decide

Record = Callable[[Event], Ledger]
"""Records an event and returns the problem's ledger after it."""

_BEYOND_KILLS_S = 1.0
"""Seconds for handing over beyond the kill of a program."""
_OF_GRACE = 0.8
"""Share of a problem's grace for handing over; the rest is for the reply."""
_NOT_HANDED_OVER = "an attempt didn't hand over in time; what it had written by then counts"


def hand_over_s(preset: Preset, ledger: Ledger) -> float:
    """Seconds that attempts have to hand over their text, once a problem is over."""
    return min(preset.sandbox.kill_grace_s + _BEYOND_KILLS_S, _OF_GRACE * ledger.grace_s)


@dataclass(frozen=True, slots=True)
class Solver:
    """Solves problems with one format, one engine, one sandbox and one preset."""

    fmt: Format
    engine: Engine
    sandbox: Sandbox
    preset: Preset
    record: Record
    tickets: Iterator[int]
    """Numbers of attempts over the whole contest; the engine serves lower ones first."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: TaskGroup) -> Solution:
        """The verdict on `problem`, at `cutoff` or before; `opened` is its ledger after its opening.

        Attempts run in the task group `attempts`, and all of them are recorded when this returns. The group's owner
        then cancels it, and waits for attempts that ignore the cutoff.
        """
        run = ProblemRun(self, problem, cutoff, opened, attempts)
        reason = await run.play()
        return conclude(problem.id, self.preset.policy, run.ledger, reason, anyio.current_time())


MakeSolver = Callable[[Format, Engine, Sandbox, Preset, Record, Iterator[int]], Solver]
"""Makes a solver; the last argument gives attempts their tickets."""


@dataclass(slots=True)
class ProblemRun:
    """One problem being solved."""

    solver: Solver
    problem: Problem
    cutoff: Cutoff
    ledger: Ledger
    attempts: TaskGroup
    drafts: dict[int, Draft] = field(default_factory=dict)
    """Drafts of the attempts that aren't recorded yet, by index."""
    ended: deque[Trajectory] = field(default_factory=deque)
    """Trajectories that have ended and aren't recorded yet; a wait that is cancelled loses none, unlike a queue's."""
    news: anyio.Event = field(default_factory=anyio.Event)
    """Set when a trajectory ends."""

    async def play(self) -> StopReason:
        """Make attempts until the problem is over, and return why it is."""
        reason = StopReason.FAILED
        try:
            reason = await self._until_over()
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
        """Record the attempts that have ended meanwhile, and those still out by their drafts."""
        while self.ended:
            self._record(self.ended.popleft())
        now = anyio.current_time()
        for draft in tuple(self.drafts.values()):
            self._record(draft.ended(Outcome.CUTOFF, now, _NOT_HANDED_OVER))

    async def _until_over(self) -> StopReason:
        """Ask the referee after every event, and at the time for which it asked.

        It gets the event's time, not the clock's, so that a replay of the log decides the same.
        """
        now = self.ledger.at
        while True:
            match decide(self.solver.preset.policy, self.ledger, now):
                case Start(count):
                    self._start(count)
                    now = self.ledger.at
                case Stop(reason):
                    # After an interrupt all attempts may hand over at once, which looks exhausted.
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
        """Record the next ending; False if the cutoff or loop time `until` came first."""
        with self.cutoff.scope(), anyio.CancelScope(deadline=until):
            await self._next_ending()
            return True
        return False

    async def _next_ending(self) -> None:
        if not self.ended:
            self.news = anyio.Event()
            await self.news.wait()
        self._record(self.ended.popleft())

    def _record(self, trajectory: Trajectory) -> None:
        del self.drafts[trajectory.index]
        self.ledger = self.solver.record(Ended(trajectory, anyio.current_time()))

    async def _trajectory(self, draft: Draft, ticket: int) -> None:
        """Make one attempt and hand in its ending; it is cancelled only after its draft was read."""
        self.ended.append(await end_of(draft, self._attempt(draft, ticket), self.cutoff))
        self.news.set()

    async def _attempt(self, draft: Draft, ticket: int) -> Outcome:
        """Make the attempt once it has a slot in the engine and one in the sandbox, unless the cutoff comes first."""
        solver, places = self.solver, None
        async with AsyncExitStack() as stack:
            with self.cutoff.scope():
                decoder = await stack.enter_async_context(solver.engine.slot(ticket))
                places = decoder, await stack.enter_async_context(solver.sandbox.session(solver.fmt.mode))
            if places is None:
                return Outcome.CUTOFF
            return await rollout(
                draft,
                decoder=places[0],
                session=places[1],
                config=solver.preset.rollout,
                run_seed=solver.preset.contest.seed,
                cutoff=self.cutoff,
            )
