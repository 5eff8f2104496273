"""The drill itself is tested: with a safety of the contest taken out, it fails, and at the right check."""

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import anyio
import pytest

from drills.catalogue import FAULTS
from drills.contest_plan import ContestPlan
from drills.fault import Drill, together
from drills.judge import Check, judge
from drills.play import play
from drills.real_faults import ATTACKS, WORKED
from drills.report import Tally, run
from drills.scaled_clock import _HastySelector
from drills.seen import Seen
from numina_infer.core.clock import Clock, TimedLoop
from numina_infer.core.config import BankConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Bound, Execution, ExecutionStatus, Outcome, Problem, Slice, Solution, Trajectory
from numina_infer.runs.background import Background
from numina_infer.sandbox.child.channel import Message, Resume, Signal, opened_programs
from numina_infer.sandbox.host.forkserver import ForkServer, Outbox
from numina_infer.sandbox.host.process import Process
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.sandbox.simulated_sandbox import pretend
from numina_infer.solving.contest import Contest
from numina_infer.solving.rollout import Draft
from numina_infer.voting.time_bank import Bank

pytestmark = pytest.mark.slow


def drill(name: str, num_problems: int) -> Drill:
    """The drill of one fault in a contest of that size, for which its words of the summary aren't made."""
    fault = FAULTS[name]
    return together(
        [replace(fault, expected=replace(fault.expected, says=(), says_once=()))], ContestPlan(num_problems), play
    )


def failed(played: Drill) -> set[Check]:
    """The checks that fail."""
    return {finding.check for finding in judge(played, played.play())}


def test_without_the_watchdog_of_the_waiting_thread_a_blocked_loop_makes_a_reply_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop's own watch comes when the loop does."""

    def solve(self: Contest, problem: Problem) -> Solution:
        case = self._find(problem)
        case.settled.wait()
        assert case.solution is not None
        return case.solution

    assert failed(drill("loop-blocked", 10)) == set()
    monkeypatch.setattr(Contest, "solve", solve)
    assert failed(drill("loop-blocked", 10)) == {Check.TIME}


def test_without_threads_that_hand_problems_over_a_blocked_loop_makes_the_next_reply_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks for it waits for the loop to take it on, and not for its time."""

    class Inline:
        def __init__(self, target: Callable[..., None], args: tuple[object, ...], **_named: object) -> None:
            self.start = partial(target, *args)

    threads = SimpleNamespace(Thread=Inline, RLock=threading.RLock)
    monkeypatch.setattr("numina_infer.solving.contest.threading", threads)
    assert Check.TIME in failed(drill("loop-blocked", 10))


def test_a_contest_by_the_wall_clock_is_lost_when_that_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day ahead every deadline has passed."""

    def wall_clock(speed: float) -> Clock:
        def now() -> float:
            return time.time() * speed

        return Clock({"loop_factory": lambda: TimedLoop(_HastySelector(speed), now)}, now, speed=speed)

    assert failed(drill("wall-clock-jumps", 10)) == set()
    monkeypatch.setattr("drills.play.scaled_clock", wall_clock)
    assert Check.RIGHT in failed(drill("wall-clock-jumps", 10))


def test_without_the_cache_of_replies_a_problem_that_is_asked_again_is_worked_on_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its evidence is another one, the log has it twice, and it may take until after its time."""
    with_cache = Contest._find

    def case(self: Contest, problem: Problem) -> object:
        self._problems.pop(problem, None)
        return with_cache(self, problem)

    assert failed(drill("asks-twice", 10)) == set()
    monkeypatch.setattr(Contest, "_find", case)
    assert {Check.SAME, Check.ONCE} <= failed(drill("asks-twice", 10))


def test_without_the_floors_of_the_bank_the_last_problems_pass_the_hard_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem then takes more than is left."""

    def cut(self: Bank, bank: BankConfig, now: float) -> Slice:
        left_s = max(0.0, self.started_at + bank.time_limit_s - bank.reserve_s - now)
        num_left = self._num_left(bank)
        share_s = bank.most_of_fair_share * left_s / num_left
        bounds = [(self.config.problem_time_s, Bound.MOST), (share_s, Bound.SHARE)]
        return Slice(*min(bounds)[:1], self.config.reply_grace_s, min(bounds)[1], left_s, num_left)

    whole = drill("servers-hang-for-good", 50)
    assert failed(whole) == set()
    monkeypatch.setattr(Bank, "_slice", cut)
    assert failed(whole) == {Check.TIME}


def test_without_anything_kept_for_them_the_last_problems_have_no_time_for_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is in time even so, but fair shares alone leave the last less than those before."""
    kept = Bank._kept

    def no_floor(self: Bank, bank: BankConfig, fair_s: float) -> tuple[float, float]:
        return kept(self, replace(bank, floor_s=0.0), fair_s)

    whole = drill("hardly-any-time", 50)
    assert failed(whole) == set()
    monkeypatch.setattr(Bank, "_kept", no_floor)
    assert failed(whole) == {Check.FALLBACKS}


def test_without_fair_shares_the_first_problems_leave_nothing_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each then may take all that there is, as long as it is in time."""

    def cut(self: Bank, bank: BankConfig, now: float) -> Slice:
        left_s = max(0.0, self.started_at + bank.time_limit_s - bank.reserve_s - now)
        most_s = max(0.0, min(left_s - self.config.reply_grace_s, self.config.problem_time_s))
        return Slice(most_s, self.config.reply_grace_s, Bound.MOST, left_s, self._num_left(bank))

    whole = drill("servers-crawl", 50)
    assert failed(whole) == set()
    monkeypatch.setattr(Bank, "_slice", cut)
    assert {Check.RIGHT, Check.FALLBACKS} <= failed(whole)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_that_works_once_fails_its_drill(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, and though the other attempts at its problem outvote it."""
    worked = iter([Execution(ExecutionStatus.OK, WORKED, f"{WORKED}\n")])

    def leaky(code: str) -> Execution:
        held = Execution(ExecutionStatus.ERROR, "PermissionError: not permitted")
        if WORKED in code:
            return next(worked, held) if code.startswith(attack) else held
        return replace(pretend(code), wall_s=0.0)  # it is played in real time

    monkeypatch.setattr("drills.real_faults.Sandbox", lambda: ScriptedSandbox(leaky))
    assert Check.RIGHT in failed(drill("attacks", 10))
    assert failed(drill("attacks", 10)) == set()  # it has no second time


def test_without_attempts_that_fail_alone_one_exception_takes_all_votes_of_its_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task group ends all its tasks by what one of them raises."""

    async def end_of(draft: Draft, work: Awaitable[Outcome], cutoff: Cutoff) -> Trajectory:
        try:
            return draft.ended(await work, anyio.current_time())
        except SystemExit as raised:
            raise RuntimeError("it would end the loop, and this process with it") from raised

    assert failed(drill("attempt-raises", 10)) == set()
    monkeypatch.setattr("numina_infer.solving.solver.end_of", end_of)
    assert {Check.RIGHT, Check.FALLBACKS} <= failed(drill("attempt-raises", 10))


def test_without_a_thread_of_the_logs_own_a_disk_that_hangs_takes_the_replies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop waits for every write, and nobody gets a reply meanwhile."""

    def wait_for(self: Background, work: Callable[[], None]) -> None:
        writing = threading.Thread(target=work, daemon=True)
        writing.start()
        writing.join(2.0)

    assert failed(drill("disk-hangs", 10)) == set()
    monkeypatch.setattr("drills.play._PATIENCE_S", 1.0)
    monkeypatch.setattr("drills.leftovers._PATIENCE_S", 20.0)
    monkeypatch.setattr("numina_infer.solving.contest._CLOSE_S", 0.1)
    monkeypatch.setattr(Background, "do", wait_for)
    assert Check.REPLIES in failed(drill("disk-hangs", 10))


def test_without_its_mend_a_block_without_descriptors_is_no_error_of_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever catches the sandbox's errors doesn't know of it."""

    def start_block(self: Process, code: str, timeout_s: float) -> None:
        with opened_programs([code]) as file:
            self._begin_block()
            assert self._control is not None
            self._order(Resume(self.number, timeout_s), [self._control.fileno(), file])

    whole = together([FAULTS["session-no-descriptor"]], ContestPlan(10), play)
    assert failed(whole) == set()
    monkeypatch.setattr(Process, "start_block", start_block)
    assert Check.SAID in failed(whole)


def send_or_give_up(self: Outbox, message: Message, fds: Sequence[int] = ()) -> None:
    """Take a socket that is full for the zygote's death."""
    try:
        self._control.send(message, fds)
    except OSError as error:
        raise BrokenPipeError(str(error)) from error


def order_and_count(self: ForkServer, message: Signal | Resume, fds: Sequence[int]) -> None:
    """Take every kill that isn't confirmed in time for that of a slot."""

    def look() -> None:
        if self.is_alive and message.number in self._children:
            self.abandon()

    self._send(message, fds)
    if isinstance(message, Signal) and message.signum == signal.SIGKILL:
        asyncio.get_running_loop().call_later(self._config.kill_grace_s, look)


@pytest.mark.parametrize(
    ("of", "name", "without"),
    [(Outbox, "send", send_or_give_up), (ForkServer, "_order", order_and_count)],
    ids=["orders-wait", "slots-are-counted"],
)
def test_without_its_mends_a_crowd_that_leaves_costs_the_zygote(
    of: type, name: str, without: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of them ended at once, or what waits in the queue would be no more than its socket takes."""
    monkeypatch.setattr("drills.session_faults._OPENING_S", 0.0)  # no more than are needed
    monkeypatch.setattr("numina_infer.sandbox.host.idle_kills._AT_ONCE", 10_000)
    whole = together([FAULTS["sessions-left-at-once"]], ContestPlan(10), play)
    assert failed(whole) == set()
    monkeypatch.setattr(of, name, without)
    assert failed(whole) == {Check.SAID}


def test_a_contest_that_raises_or_never_replies_fails_its_drill_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it came to is told, and whoever plays the next drill gets to it."""
    solve, never = Contest.solve, threading.Event()

    def broken(self: Contest, problem: Problem) -> Solution:
        if problem.id == "p2":
            raise ZeroDivisionError("a bug")
        return solve(self, problem)

    def silent(self: Contest, problem: Problem) -> Solution:
        never.wait(60 if problem.id == "p2" else 0)
        return solve(self, problem)

    monkeypatch.setattr(Contest, "solve", broken)
    (finding,) = run(drill("asks-late", 3)).findings
    assert finding.line == "every call has a reply: 4 replies to 6 calls: problem 2: ZeroDivisionError('a bug')"
    monkeypatch.setattr("drills.play._PATIENCE_S", 0.2)
    monkeypatch.setattr("drills.leftovers._PATIENCE_S", 0.0)
    monkeypatch.setattr(Contest, "solve", silent)
    assert Check.REPLIES in {finding.check for finding in run(drill("asks-late", 3)).findings}
    never.set()
    for thread in threading.enumerate():
        if thread.name == "drill-asking":
            thread.join(20)


def test_a_drill_that_breaks_off_has_failed() -> None:
    """In one line, as any other."""

    def break_off() -> Seen:
        raise EngineError("what the drill waits for doesn't come")

    result = run(replace(drill("asks-late", 3), play=break_off))
    assert result.has_failed
    assert 'it broke off: EngineError("what the drill waits for doesn\'t come")' in result.line
    assert Tally.of([result]).num_failed == 1
