"""Who decides: recorded events in, start, wait or stop out. Pure: no I/O, no clock, no randomness.

Live solving and replay call the same `decide` on the same ledger, so the same policy gives the same verdict.
The ledger is a fold over the events of one problem, in the order in which the run log has them.

Places that come free take new trajectories of the same problem while it is undecided, up to the horizon, as long as
one that starts now would usually end in time; from then on only what runs can still vote.

An attempt that the engine or the sandbox lost before it could vote is replaced: the horizon grows by one, up to twice
its length. New attempts then wait for a pause that doubles while failures come in a row. The first behind the pause
goes alone, and the others follow when it has lived as long as the pause was. The idea is that of a circuit breaker
(Nygard, "Release It!"), with exponential backoff. What is still out counts an attempt and its replacement once, so the
exact rule stays lossless.
"""

import math
import statistics
from dataclasses import dataclass, field, replace

from numina_infer.core.config import Policy, StopRule, VoteWeights
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.records import ExtractedAnswer, NoAnswer, Outcome, Solution, StopReason, Trajectory
from numina_infer.voting.ballot import MILLI, Ballot, weigh

RULES = 2
"""Today's. By rules 1 a lost attempt isn't replaced, and a vote that weighs nothing counts as unfinished."""
LONGEST_PAUSE_S = 30.0
_LEARNT_FROM = 64
"""Trajectories of a problem, the last to end, whose durations say how long one takes."""
_PLAIN = VoteWeights()


@dataclass(frozen=True, slots=True)
class Losses:
    """Attempts at one problem that the engine or the sandbox lost before they could vote."""

    num: int = 0
    in_a_row: int = 0
    """How often new attempts were lost too, one loss behind another; 0 once a new one ended well."""
    last_at: float = -math.inf
    """Loop time of the last loss."""
    num_started: int = 0
    """Attempts that had started by then; those behind it are new."""
    num_before: int = 0
    """Attempts that had started when the row began; one behind it that ends well ends the row."""

    @property
    def pause_s(self) -> float:
        """How long no attempt starts after the last loss: 1 s, 2 s, 4 s, … `LONGEST_PAUSE_S`."""
        return min(2.0 ** min(self.in_a_row - 1, 10), LONGEST_PAUSE_S) if self.in_a_row else 0.0

    @property
    def resume_at(self) -> float:
        """Loop time from which on attempts may start again."""
        return self.last_at + self.pause_s

    def after(self, trajectory: Trajectory, num_started: int, at: float) -> "Losses":
        """The losses after `trajectory` has ended `at` loop time, when `num_started` attempts had started."""
        if trajectory.is_lost:
            in_a_row = max(1, self.in_a_row + (trajectory.index >= self.num_started))
            return Losses(self.num + 1, in_a_row, at, num_started, self.num_before if self.in_a_row else num_started)
        ended_well = not trajectory.outcome.is_failure and trajectory.outcome is not Outcome.CUTOFF
        return replace(self, in_a_row=0) if ended_well and trajectory.index >= self.num_before else self


@dataclass(frozen=True, slots=True)
class Ledger:
    """What has happened to one problem so far."""

    opened_at: float
    """Loop time in seconds."""
    deadline: float
    """Loop time in seconds."""
    grace_s: float = math.inf
    """Seconds from the deadline to the reply, whatever still runs."""
    rules: int = RULES
    num_started: int = 0
    num_ended: int = 0
    ballot: Ballot = field(default_factory=Ballot)
    printed: Ballot = field(default_factory=Ballot)
    """What the last programs printed, where that was an integer: no votes, but better than a constant."""
    durations: tuple[float, ...] = ()
    """Seconds from slot to end of the last trajectories that came to an end of their own."""
    at: float = 0.0
    """Loop time of the last event."""
    last_started_at: float = -math.inf
    losses: Losses = field(default_factory=Losses)

    def horizon(self, num_samples: int) -> int:
        """How many attempts there may be, where `num_samples` were wanted: lost ones are replaced once each."""
        return num_samples + min(self.losses.num, num_samples)

    @property
    def typical_s(self) -> float:
        """How long a trajectory takes: the median of those that have ended; 0 before one has."""
        return statistics.median(self.durations) if self.durations else 0.0

    @property
    def is_too_late_to_resume(self) -> bool:
        """Whether the pause behind a loss leaves no time for another attempt."""
        return self.losses.in_a_row > 0 and self.losses.resume_at + self.typical_s >= self.deadline

    @property
    def num_running(self) -> int:
        """Trajectories that have started and not ended."""
        return self.num_started - self.num_ended

    def started(self, at: float, count: int = 1) -> "Ledger":
        """The ledger after `count` more trajectories have started, the last one `at` loop time."""
        return replace(self, num_started=self.num_started + count, at=at, last_started_at=at)

    def ended(self, trajectory: Trajectory, at: float, weights: VoteWeights = _PLAIN) -> "Ledger":
        """The ledger after `trajectory` has ended; its vote counts what `weights` say."""
        printed = trajectory.printed
        weight = weigh(trajectory, weights)
        return replace(
            self,
            num_ended=self.num_ended + 1,
            ballot=self.ballot.add(trajectory.answer if weight else self._weightless(trajectory.answer), weight),
            printed=self.printed if printed is None else self.printed.cast(printed),
            durations=self._with_duration(trajectory),
            at=at,
            losses=self.losses.after(trajectory, self.num_started, at) if self.rules >= RULES else self.losses,
        )

    def _weightless(self, answer: ExtractedAnswer) -> ExtractedAnswer:
        """How an answer that weighs nothing stands on the ballot."""
        if self.rules < RULES:
            return ExtractedAnswer(None, NoAnswer.UNFINISHED)
        return answer if answer.value is None else ExtractedAnswer(None, NoAnswer.WEIGHTLESS)

    def _with_duration(self, trajectory: Trajectory) -> tuple[float, ...]:
        if trajectory.outcome is Outcome.CUTOFF or trajectory.outcome.is_failure:
            return self.durations
        return (*self.durations[1 - _LEARNT_FROM :], trajectory.ended_at - trajectory.started_at)


def fold(ledger: Ledger | None, event: Event, weights: VoteWeights = _PLAIN) -> Ledger:
    """The ledger after `event`, votes counted by `weights`; opening a problem starts a new one.

    Raises:
        ValueError: the problem was never opened.
    """
    if isinstance(event, Opened):
        grace_s = math.inf if event.slice is None else event.slice.grace_s
        return Ledger(event.at, event.deadline, grace_s, event.rules, at=event.at)
    if ledger is None:
        raise ValueError(f"problem {event.problem_id!r} has an event before it was opened")
    match event:
        case Started():
            return ledger.started(event.at)
        case Ended():
            return ledger.ended(event.trajectory, event.at, weights)
        case Stopped() | Solved():
            return ledger


@dataclass(frozen=True, slots=True)
class Start:
    """Start `count` more trajectories."""

    count: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before the next event or `until`."""

    until: float


@dataclass(frozen=True, slots=True)
class Stop:
    """No more attempts, and those in flight hand over what they have."""

    reason: StopReason


Decision = Start | Wait | Stop


def decide(policy: Policy, ledger: Ledger, now: float) -> Decision:
    """What to do about a problem at loop time `now`, given all that is recorded about it.

    What has started counts, even beyond the policy's horizon: a log may be replayed with a narrower one.
    """
    missing = max(0, ledger.horizon(policy.num_samples) - ledger.num_started)
    if missing == ledger.num_running == 0:
        return Stop(StopReason.EXHAUSTED)
    to_come = missing if now + ledger.typical_s < ledger.deadline else 0
    outstanding = (to_come + ledger.num_running) * MILLI
    if outstanding == 0:
        return Stop(StopReason.DEADLINE)
    if policy.stop_rule is StopRule.DECIDED and is_decided(ledger.ballot, outstanding, policy.epsilon):
        return Stop(StopReason.DECIDED)
    if now >= ledger.deadline or (not ledger.num_running and ledger.is_too_late_to_resume):
        return Stop(StopReason.DEADLINE)
    free = min(to_come, policy.at_once - ledger.num_running)
    return _fill(free, ledger, now) if free > 0 else Wait(until=ledger.deadline)


def _fill(free: int, ledger: Ledger, now: float) -> Decision:
    """Start attempts in `free` places, or wait until the engine and the sandbox can be trusted with them again."""
    losses = ledger.losses
    if losses.in_a_row == 0:
        return Start(free)
    if now < losses.resume_at:
        return Wait(min(losses.resume_at, ledger.deadline))
    if ledger.num_started == losses.num_started:
        return Start(1)
    trusted_at = ledger.last_started_at + losses.pause_s
    return Start(free) if now >= trusted_at else Wait(min(trusted_at, ledger.deadline))


def is_decided(ballot: Ballot, outstanding: int, epsilon: float) -> bool:
    """Whether `outstanding` more milli-votes can't change the winner, or do so with a chance below `epsilon`."""
    if not ballot.votes:
        return False
    return ballot.is_decided(outstanding) or (epsilon > 0 and ballot.changes_with_less(epsilon, outstanding))


def conclude(
    problem_id: str, policy: Policy, ledger: Ledger, reason: StopReason, now: float, error: str = ""
) -> Solution:
    """The verdict: the winner; without a vote what most programs printed; without that the policy's constant."""
    winner = ledger.ballot.winner
    printed = ledger.printed.winner
    fallback = policy.fallback_answer if printed is None else printed
    return Solution(
        problem_id=problem_id,
        answer=fallback if winner is None else winner,
        is_fallback=winner is None,
        stop_reason=reason,
        votes=dict(ledger.ballot.votes),
        invalid=dict(ledger.ballot.invalid),
        num_started=ledger.num_started,
        num_ended=ledger.num_ended,
        opened_at=ledger.opened_at,
        solved_at=now,
        error=error,
    )
