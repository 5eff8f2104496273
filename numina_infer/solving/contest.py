"""One competition: any thread may ask, and gets an integer in range, the same one when it asks again.

All work happens on one event loop, on a thread of its own (anyio's blocking portal). A script, a notebook and the
worker thread on which Kaggle's relay calls `predict` ask it alike.
The time bank sets each problem's deadline. A solver that isn't done by then gets some seconds of grace; then the loop
replies with the best known answer. A loop that hangs can't do that, so the thread that asks has a time-out of its own
and waits for nothing else, not even for the loop to accept the problem.
A reply doesn't wait for the disk or an observer either: the verdict is set first, and recorded by other threads, which
are given up where they hang.
Only the loop changes a problem's ledger; another thread that gives a verdict reads it off the ledger as it stands.
The `except` clauses are broad on purpose: an error costs its own problem's votes, and no submission.
"""

import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count
from typing import Self

import anyio
from anyio.abc import TaskGroup
from anyio.from_thread import BlockingPortal, start_blocking_portal

from numina_infer.core.clock import Clock
from numina_infer.core.events import Ended, Event, Opened, Solved, Stopped
from numina_infer.core.ports import Cutoff, Engine, Format, Sandbox
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution, StopReason, plain_text
from numina_infer.core.terminal import deferred_interrupt
from numina_infer.runs.log import Observer, Recorders, RunLog
from numina_infer.solving.pending import PendingProblem, as_asked, as_logged
from numina_infer.solving.solver import MakeSolver, Solver
from numina_infer.voting.referee import RULES, Ledger, conclude, fold
from numina_infer.voting.time_bank import Bank

_log = logging.getLogger(__name__)

_CLOSE_S = 120.0
"""Real seconds that engine and sandbox have to close; a close that hangs must not keep a kernel from ending."""

_CATCH_UP_S = 0.5
"""Real seconds, at most, that a finished reply waits for the log and the observers to record it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a contest; engine and sandbox aren't opened yet."""

    preset: Preset
    fmt: Format
    """The one that the preset names."""
    engine: AbstractAsyncContextManager[Engine]
    sandbox: AbstractAsyncContextManager[Sandbox]
    make_solver: MakeSolver = Solver
    clock: Clock = field(default_factory=Clock)
    portal: BlockingPortal | None = None
    """A running loop that outlives the contest, with an engine and a sandbox on it; None starts one."""
    began_at: float | None = None
    """The clock's time at which the contest began, such as a kernel's own start; None for its opening."""


@contextmanager
def open_portal(clock: Clock) -> Iterator[BlockingPortal]:
    """An event loop that runs by `clock`, on a thread of its own."""
    with ExitStack() as opening:
        with deferred_interrupt():  # anyio would wait for ever for a loop whose start was interrupted
            options = dict(clock.backend_options)
            portal: BlockingPortal = opening.enter_context(start_blocking_portal(backend_options=options))
        yield portal


class Contest:
    """A competition being answered; open it with `with`, then ask `answer` from any thread.

    The engine and the sandbox are opened on the contest's own loop and closed with it.
    """

    def __init__(
        self,
        parts: Parts,
        log: RunLog,
        *,
        solved: Mapping[Problem, Solution] | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Events go to `log` and to `observers`.

        `solved` has the verdicts of a resumed run: they are given again without work, and their time is off the bank.
        """
        solved = solved or {}
        self._parts = parts
        self._preset, self._fmt, self._clock = parts.preset, parts.fmt, parts.clock
        self._run_log, self._recorders = log, Recorders(log, observers)
        began_at = self._clock.now() if parts.began_at is None else parts.began_at
        spent_s = sum(solution.solved_at - solution.opened_at for solution in solved.values())
        self._bank = Bank(self._preset.contest, began_at - spent_s, num_seen=len(solved))
        # A resumed run goes on with the ticket after the last one used.
        self._tickets = count(sum(solution.num_started for solution in solved.values()))
        self._lock = threading.RLock()
        self._problems = {
            Problem(as_asked(problem.id), problem.statement): PendingProblem.closed(problem, solution)
            for problem, solution in solved.items()
        }
        self._problems |= {pending.problem: pending for pending in self._problems.values()}
        self._ids: set[str] = set()
        """The logged ids of problems in work."""
        self._closing = ExitStack()
        self._own_incidents: list[str] = []
        self._num_listed = (0, 0, 0)
        """How many incidents of the engine, the sandbox and the contest the verdicts have listed so far."""
        self._logged_errors = {""}

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(self._recorders.close)
            self._portal = self._parts.portal or opening.enter_context(open_portal(self._clock))
            self.engine, self.sandbox = opening.enter_context(
                self._portal.wrap_async_context_manager(self._open_parts())
            )
            opening.callback(self._await_work)
            opening.callback(self.interrupt)
            self._closing = opening.pop_all()
        return self

    @asynccontextmanager
    async def _open_parts(self) -> AsyncIterator[tuple[Engine, Sandbox]]:
        async with self._parts.engine as engine, self._parts.sandbox as sandbox:
            self._clock.callers.open()
            yield engine, sandbox

    def __exit__(self, *_: object) -> None:
        self._clock.callers.close()
        closed = Future[None]()
        threading.Thread(target=self._close, args=(closed,), name="contest-closing", daemon=True).start()
        try:
            closed.result(_CLOSE_S)
        except TimeoutError:
            if closed.done():
                return closed.result()
            _log.error("engine and sandbox don't close within %.0f s; they are left as they are", _CLOSE_S)

    def _close(self, closed: Future[None]) -> None:
        try:
            self._closing.close()
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that leaves the contest)
            closed.set_exception(error)
        else:
            closed.set_result(None)

    def _await_work(self) -> None:
        """Wait until no problem is in work: interrupted attempts hand over, and late openings reach the log."""
        wait([pending.left for pending in tuple(self._problems.values())])

    def answer(self, problem: Problem) -> int:
        """An integer in range, within the problem's time; the same one when asked again. No failure is raised."""
        return self.solve(problem).answer

    def solve(self, problem: Problem) -> Solution:
        """The same as `answer`, with the evidence."""
        pending = self._find(problem)
        pending.settled.wait(self._clock.real_s(max(0.0, pending.reply_by - self._clock.now())))
        self._reply_late(pending)
        self._catch_up(pending)
        return pending.verdict

    def _catch_up(self, pending: PendingProblem) -> None:
        """Let the log and the observers record a verdict, as long as the reply has time."""
        left_s = min(_CATCH_UP_S, self._clock.real_s(max(0.0, pending.reply_by - self._clock.now())))
        until = time.monotonic() + left_s
        if self._lock.acquire(timeout=left_s):  # the thread that settled it may still be passing it on
            self._lock.release()
            self._recorders.catch_up(max(0.0, until - time.monotonic()))

    def _reply_late(self, pending: PendingProblem) -> None:
        if pending.solution is not None:
            return
        with self._lock:  # so that no ending is recorded between reading the ledger and setting the verdict
            is_late = self._settle(pending, self._best_known(pending, "no verdict in time"))
        if is_late:
            text = "problem %s has no verdict in time; the best known is submitted"
            self._run_log.say(_log.error, text, pending.problem.id)

    def interrupt(self) -> None:
        """End all problems in work: attempts hand over what they have, and the waiting threads get replies."""
        self._portal.call(self._interrupt)

    def _interrupt(self) -> None:
        with self._lock:
            in_work = [pending for pending in self._problems.values() if not pending.left.done()]
        for pending in in_work:
            pending.cutoff.move(anyio.current_time(), StopReason.INTERRUPTED)

    def _find(self, problem: Problem) -> PendingProblem:
        """The pending problem; the first thread that asks for it starts the work."""
        problem = Problem(problem.id, problem.statement.encode("utf-8", "replace").decode())
        with self._lock:
            pending = self._problems.get(problem)
            if pending is not None:
                if pending.was_asked:
                    self._own_incidents.append("the gateway asked for a problem again")
                pending.was_asked = True
                return pending
            pending = self._problems[problem] = self._begin(problem)
        try:
            threading.Thread(target=self._hand_over, args=(pending,), name="contest-asking", daemon=True).start()
        except RuntimeError:  # the system gives no thread
            self._hand_over(pending)
        return pending

    def _begin(self, problem: Problem) -> PendingProblem:
        self._clock.callers.come()  # before the time is read, which could jump in between
        now = self._clock.now()
        cut, self._bank = self._bank.cut(now)
        names = (as_logged(problem.id, number) for number in count(1))
        logged_id = next(name for name in names if name not in self._ids)
        self._ids.add(logged_id)
        return PendingProblem(replace(problem, id=logged_id), now, cut, Cutoff(now + cut.seconds))

    def _hand_over(self, pending: PendingProblem) -> None:
        """Pass `pending` to the loop, on a thread of its own, since a loop that hangs takes nothing."""
        try:
            opened = self._open(pending)
            self._portal.start_task_soon(self._work, pending, opened)
        except Exception as error:  # noqa: BLE001 (no error may reach the thread that waits for a reply)
            # Settled as interrupted, which isn't final: a resumed run solves the problem.
            self._run_log.say(_log.error, "problem %s can't be begun: %r", pending.problem.id, error)
            self._clock.callers.heard()
            self._settle(pending, self._best_known(pending, f"it can't be begun: {error}", StopReason.INTERRUPTED))
            self._leave(pending)

    def _open(self, pending: PendingProblem) -> Ledger:
        event = Opened(
            problem=pending.problem,
            prompt=plain_text(self._fmt.prompt(pending.problem.statement)),
            deadline=pending.deadline,
            num_samples=self._preset.policy.num_samples,
            at=pending.asked_at,
            slice=pending.slice,
            rules=RULES,
        )
        with self._lock:
            opened = self._record(pending, event)
            if pending.solution is not None and pending.is_owed:
                self._note_verdict(pending, pending.solution, is_final=True)
        return opened

    def _leave(self, pending: PendingProblem) -> None:
        with self._lock:
            self._ids.discard(pending.problem.id)
        pending.left.set_result(None)

    async def _work(self, pending: PendingProblem, opened: Ledger) -> None:
        self._clock.callers.heard()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, pending)
                self._settle_with_incidents(pending, await self._solve(pending, opened, tasks))
                tasks.cancel_scope.cancel()
        finally:
            if pending.solution is None:
                self._settle(pending, self._best_known(pending, "the work on it broke off"))
            self._leave(pending)

    async def _watch(self, pending: PendingProblem) -> None:
        await anyio.sleep_until(pending.reply_by)
        self._reply_late(pending)

    async def _solve(self, pending: PendingProblem, opened: Ledger, attempts: TaskGroup) -> Solution:
        record = partial(self._record, pending)
        solver = self._parts.make_solver(self._fmt, self.engine, self.sandbox, self._preset, record, self._tickets)
        try:
            return await solver.solve(pending.problem, opened, pending.cutoff, attempts)
        except Exception as error:  # noqa: BLE001 (an error costs no submission)
            text = "problem %s broke off; the best known is submitted"
            self._run_log.say(partial(_log.error, exc_info=error), text, pending.problem.id)
            return self._best_known(pending, repr(error))

    def _new_incidents(self) -> tuple[str, ...]:
        """The incidents of engine, sandbox and contest that no verdict has listed yet."""
        try:
            known = (self.engine.stats.incidents, self.sandbox.incidents, tuple(self._own_incidents))
        except Exception as error:  # noqa: BLE001 (a list of incidents is worth no reply)
            self._run_log.say(_log.error, "engine and sandbox don't tell what happened to them: %r", error)
            return ()
        new = [incidents[num_listed:] for incidents, num_listed in zip(known, self._num_listed, strict=True)]
        self._num_listed = (len(known[0]), len(known[1]), len(known[2]))
        return tuple(chain.from_iterable(new))

    def _record(self, pending: PendingProblem, event: Event) -> Ledger:
        """Record `event` and fold it into its problem's ledger; on the loop, except for the opening."""
        with self._lock:
            self._note(pending, event)
            ledger = pending.ledger = fold(pending.ledger, event, self._preset.policy.weights)
        if isinstance(event, Ended) and event.trajectory.error not in self._logged_errors:
            self._logged_errors.add(event.trajectory.error)
            self._run_log.say(_log.warning, "a trajectory ended with an error: %s", event.trajectory.error)
        return ledger

    def _note(self, pending: PendingProblem, event: Event) -> None:
        """Pass `event` to the log and the observers, a problem's stop only once."""
        if isinstance(event, Stopped):
            if pending.is_stopped:
                return
            pending.is_stopped = True
        self._recorders.note(event)

    def _settle(self, pending: PendingProblem, solution: Solution) -> bool:
        """Make `solution` the verdict, unless there is one. An interrupted problem stays open for a resumed run."""
        with self._lock:
            if pending.solution is not None:
                return False
            is_final = solution.stop_reason is not StopReason.INTERRUPTED
            pending.solution = solution
            pending.settled.set()
            self._clock.callers.leave()
            pending.is_owed = is_final and pending.ledger is None
            if pending.ledger is not None:
                self._note_verdict(pending, pending.solution, is_final=is_final)
            return True

    def _settle_with_incidents(self, pending: PendingProblem, solution: Solution) -> None:
        """The same with the new incidents; only on the loop, which engine and sandbox belong to."""
        num_listed = self._num_listed
        if solution.stop_reason is not StopReason.INTERRUPTED:
            solution = replace(solution, incidents=self._new_incidents())
        if not self._settle(pending, solution):
            self._num_listed = num_listed  # the next verdict lists them

    def _note_verdict(self, pending: PendingProblem, solution: Solution, *, is_final: bool) -> None:
        """Record a verdict, and before it the problem's stop, where that isn't recorded yet."""
        self._note(pending, Stopped(pending.problem.id, solution.stop_reason, solution.solved_at))
        if is_final:
            self._note(pending, Solved(solution, solution.solved_at))

    def _best_known(self, pending: PendingProblem, error: str, reason: StopReason = StopReason.FAILED) -> Solution:
        now = self._clock.now()
        ledger = pending.ledger or Ledger(opened_at=pending.asked_at, deadline=now)
        return conclude(pending.problem.id, self._preset.policy, ledger, reason, now, error)
