"""One competition: any thread may ask, every problem gets an integer in range, and the same one when asked again.

Everything happens on one long-lived event loop thread (anyio's blocking portal), for a script, for Jupyter, and for
the worker thread on which Kaggle's relay calls `predict`.
The bank says until when a problem must be answered. A solver that isn't done by then gets some seconds of grace, then
the loop replies with the best known; the thread that waits has a time-out of its own besides, and waits for nothing
else, not even for the loop to take a problem on, since a wedged loop can't save itself.
A reply waits for no disk and no onlooker either: the verdict is set, then recorded, and log and onlookers have threads
of their own, which are given up where they hang.
Only the loop changes a problem's ledger; whoever else gives a verdict does so by what the ledger says then.
Here stands a broad `except`: whatever breaks in a problem costs that problem's vote and no submission.
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
from numina_infer.core.interrupt import deferred_interrupt
from numina_infer.core.ports import Engine, Format, Sandbox
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution, StopReason, plain_text
from numina_infer.runs.log import RunLog
from numina_infer.runs.onlooker import Observer, Witnesses
from numina_infer.solving.pending import Case, as_asked, as_logged
from numina_infer.solving.solver import MakeSolver, Solver
from numina_infer.voting.referee import RULES, Ledger, conclude, fold
from numina_infer.voting.time_bank import Bank

_log = logging.getLogger(__name__)

_CLOSE_S = 120.0
"""Real seconds that engine and sandbox have to close; what hangs then must not keep a kernel from its end."""

_CATCH_UP_S = 0.5
"""Real seconds that a reply in hand gives the log and the onlookers to take note of it, as far as its time allows."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a contest is put together from."""

    preset: Preset
    fmt: Format
    """The preset's."""
    engine: AbstractAsyncContextManager[Engine]
    """Not opened yet."""
    sandbox: AbstractAsyncContextManager[Sandbox]
    """Not opened yet."""
    make_solver: MakeSolver = Solver
    clock: Clock = field(default_factory=Clock)
    portal: BlockingPortal | None = None
    """A loop that runs already and outlives the contest, with an engine and a sandbox on it; None starts one."""
    began_at: float | None = None
    """The clock's time at which the contest began, such as a kernel's own start; None for its opening."""


@contextmanager
def open_portal(clock: Clock) -> Iterator[BlockingPortal]:
    """A loop on a thread of its own, that runs by `clock`."""
    with ExitStack() as opening:
        with deferred_interrupt():  # anyio waits for ever for a loop whose start was interrupted
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
        """Make a contest.

        Args:
            parts: what it is put together from.
            log: where events go.
            solved: verdicts of a run that is resumed: they are given again and never worked on, and the time they
                took is taken off the bank.
            observers: told of every event.
        """
        solved = solved or {}
        self._parts = parts
        self._preset, self._fmt, self._clock = parts.preset, parts.fmt, parts.clock
        self._run_log, self._witnesses = log, Witnesses(log, observers)
        began_at = self._clock.now() if parts.began_at is None else parts.began_at
        spent_s = sum(solution.solved_at - solution.opened_at for solution in solved.values())
        self._bank = Bank(self._preset.contest, began_at - spent_s, num_seen=len(solved))
        # A resumed run goes on counting where the killed one was.
        self._tickets = count(sum(solution.num_started for solution in solved.values()))
        self._lock = threading.RLock()
        self._cases = {
            Problem(as_asked(problem.id), problem.statement): Case.closed(problem, solution)
            for problem, solution in solved.items()
        }
        self._cases |= {case.problem: case for case in self._cases.values()}
        self._ids: set[str] = set()
        """Problems in work, by the ids that they have in the log."""
        self._closing = ExitStack()
        self._own_incidents: list[str] = []
        self._num_told = (0, 0, 0)
        """Of the incidents of engine, sandbox and the contest itself."""
        self._told_errors = {""}

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(self._witnesses.dismiss)
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
        except BaseException as error:  # noqa: BLE001 (whoever leaves the contest has it)
            closed.set_exception(error)
        else:
            closed.set_result(None)

    def _await_work(self) -> None:
        """Problems that were interrupted hand over what they have, and such as were answered at once are logged."""
        wait([case.left for case in tuple(self._cases.values())])

    def answer(self, problem: Problem) -> int:
        """An integer in range, within the problem's time; asked again, the same one. Never raises for what breaks."""
        return self.solve(problem).answer

    def solve(self, problem: Problem) -> Solution:
        """As `answer`, with the evidence."""
        case = self._case(problem)
        case.settled.wait(self._clock.real_s(max(0.0, case.reply_by - self._clock.now())))
        self._reply_late(case)
        self._catch_up(case)
        return case.verdict

    def _catch_up(self, case: Case) -> None:
        """Let log and onlookers take note of a verdict, as long as the reply has time."""
        left_s = min(_CATCH_UP_S, self._clock.real_s(max(0.0, case.reply_by - self._clock.now())))
        until = time.monotonic() + left_s
        if self._lock.acquire(timeout=left_s):  # whoever settled it may still hand it to them
            self._lock.release()
            self._witnesses.catch_up(max(0.0, until - time.monotonic()))

    def _reply_late(self, case: Case) -> None:
        if case.solution is not None:
            return
        with self._lock:  # no ending is recorded between what the verdict knows and the verdict
            is_late = self._settle(case, self._best_known(case, "no verdict in time"))
        if is_late:
            say = self._run_log.say
            say(_log.error, "problem %s has no verdict in time; the best known is submitted", case.problem.id)

    def interrupt(self) -> None:
        """End what is being worked on: attempts hand over what they have, and the waiting threads get replies."""
        self._portal.call(self._interrupt)

    def _interrupt(self) -> None:
        with self._lock:
            in_work = [case for case in self._cases.values() if not case.left.done()]
        for case in in_work:
            case.cutoff.move(anyio.current_time(), StopReason.INTERRUPTED)

    def _case(self, problem: Problem) -> Case:
        """The case of `problem`; the first to ask for it sets the work going."""
        problem = Problem(problem.id, problem.statement.encode("utf-8", "replace").decode())
        with self._lock:
            case = self._cases.get(problem)
            if case is not None:
                if case.was_asked:
                    self._own_incidents.append("the gateway asked for a problem again")
                case.was_asked = True
                return case
            case = self._cases[problem] = self._begin(problem)
        try:
            threading.Thread(target=self._hand_over, args=(case,), name="contest-asking", daemon=True).start()
        except RuntimeError:  # no thread is to be had
            self._hand_over(case)
        return case

    def _begin(self, problem: Problem) -> Case:
        self._clock.callers.come()  # before time is told, which could jump in between
        now = self._clock.now()
        cut, self._bank = self._bank.cut(now)
        names = (as_logged(problem.id, number) for number in count(1))
        case = Case.asked(replace(problem, id=next(name for name in names if name not in self._ids)), now, cut)
        self._ids.add(case.problem.id)
        return case

    def _hand_over(self, case: Case) -> None:
        """Let the loop have `case`; on a thread of its own, since a loop that hangs takes nothing."""
        try:
            opened = self._open(case)
            self._portal.start_task_soon(self._work, case, opened)
        except Exception as error:  # noqa: BLE001 (nothing may reach the thread that waits for a reply)
            # Not a verdict: whoever resumes the run will solve the problem.
            self._run_log.say(_log.error, "problem %s can't be begun: %r", case.problem.id, error)
            self._clock.callers.heard()
            self._settle(case, self._best_known(case, f"it can't be begun: {error}", StopReason.INTERRUPTED))
            self._leave(case)

    def _open(self, case: Case) -> Ledger:
        event = self._opened(case)
        with self._lock:
            opened = self._record(case, event)
            if case.solution is not None and case.is_owed:
                self._note_verdict(case, case.solution, is_final=True)
        return opened

    def _leave(self, case: Case) -> None:
        with self._lock:
            self._ids.discard(case.problem.id)
        case.left.set_result(None)

    def _opened(self, case: Case) -> Opened:
        return Opened(
            problem=case.problem,
            prompt=plain_text(self._fmt.prompt(case.problem.statement)),
            deadline=case.deadline,
            num_samples=self._preset.policy.num_samples,
            at=case.asked_at,
            slice=case.slice,
            rules=RULES,
        )

    async def _work(self, case: Case, opened: Ledger) -> None:
        self._clock.callers.heard()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, case)
                self._settle_with_incidents(case, await self._solve(case, opened, tasks))
                tasks.cancel_scope.cancel()
        finally:
            if case.solution is None:
                self._settle(case, self._best_known(case, "the work on it broke off"))
            self._leave(case)

    async def _watch(self, case: Case) -> None:
        await anyio.sleep_until(case.reply_by)
        self._reply_late(case)

    async def _solve(self, case: Case, opened: Ledger, attempts: TaskGroup) -> Solution:
        record = partial(self._record, case)
        solver = self._parts.make_solver(self._fmt, self.engine, self.sandbox, self._preset, record, self._tickets)
        try:
            return await solver.solve(case.problem, opened, case.cutoff, attempts)
        except Exception as error:  # noqa: BLE001 (no submission is lost)
            text = "problem %s broke off; the best known is submitted"
            self._run_log.say(partial(_log.error, exc_info=error), text, case.problem.id)
            return self._best_known(case, repr(error))

    def _new_incidents(self) -> tuple[str, ...]:
        """What engine, sandbox and contest tell of that no verdict has told yet."""
        try:
            told = (self.engine.stats.incidents, self.sandbox.incidents, tuple(self._own_incidents))
        except Exception as error:  # noqa: BLE001 (no reply is lost for what is told beside it)
            self._run_log.say(_log.error, "engine and sandbox don't tell what happened to them: %r", error)
            return ()
        new = [incidents[num_told:] for incidents, num_told in zip(told, self._num_told, strict=True)]
        self._num_told = (len(told[0]), len(told[1]), len(told[2]))
        return tuple(chain.from_iterable(new))

    def _record(self, case: Case, event: Event) -> Ledger:
        """Note `event`, and fold it into the ledger of its problem; on the loop, but for the opening."""
        with self._lock:
            self._note(case, event)
            ledger = case.ledger = fold(case.ledger, event, self._preset.policy.weights)
        if isinstance(event, Ended) and event.trajectory.error not in self._told_errors:
            self._told_errors.add(event.trajectory.error)
            self._run_log.say(_log.warning, "a trajectory ended with an error: %s", event.trajectory.error)
        return ledger

    def _note(self, case: Case, event: Event) -> None:
        """Have the log and the onlookers take note; the log says once that a problem is stopped."""
        if isinstance(event, Stopped):
            if case.is_stopped:
                return
            case.is_stopped = True
        self._witnesses.note(event)

    def _settle(self, case: Case, solution: Solution) -> bool:
        """Make `solution` the verdict unless there is one; what the user interrupted stays open for a resumed run."""
        with self._lock:
            if case.solution is not None:
                return False
            is_final = solution.stop_reason is not StopReason.INTERRUPTED
            case.solution = solution
            case.settled.set()
            self._clock.callers.leave()
            case.is_owed = is_final and case.ledger is None
            if case.ledger is not None:
                self._note_verdict(case, case.solution, is_final=is_final)
            return True

    def _settle_with_incidents(self, case: Case, solution: Solution) -> None:
        """The same, with what has happened; on the loop alone, since engine and sandbox are its own."""
        num_told = self._num_told
        if solution.stop_reason is not StopReason.INTERRUPTED:
            solution = replace(solution, incidents=self._new_incidents())
        if not self._settle(case, solution):
            self._num_told = num_told  # the next verdict tells it

    def _note_verdict(self, case: Case, solution: Solution, *, is_final: bool) -> None:
        """Record a verdict, and before it, where nothing did, that the problem is stopped."""
        self._note(case, Stopped(case.problem.id, solution.stop_reason, solution.solved_at))
        if is_final:
            self._note(case, Solved(solution, solution.solved_at))

    def _best_known(self, case: Case, error: str, reason: StopReason = StopReason.FAILED) -> Solution:
        now = self._clock.now()
        ledger = case.ledger or Ledger(opened_at=case.asked_at, deadline=now)
        return conclude(case.problem.id, self._preset.policy, ledger, reason, now, error)
