"""The referee decides from a problem's recorded events whether to start attempts, to wait, or to stop.

It is pure: no I/O, no clock, no randomness. Live solving and replay call the same `decide` on the same ledger, so the
same policy gives the same verdict. The ledger is a fold over the problem's events, in the order of the run log.

While a problem is undecided, a new attempt starts for each that ends, up to the horizon, as long as one that starts
now would usually end in time; after that only running attempts can still vote.

An attempt that an error of engine or sandbox cost its vote is replaced: the horizon grows by one, up to twice its
length. New attempts then wait for a pause, which doubles while failures come in a row. The first one after the pause
starts alone, and the others follow once it has lasted as long as the pause. The idea is a circuit breaker (Nygard,
"Release It!") with exponential backoff. A lost attempt and its replacement count once among the votes to come, so the
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
"""The current rules. By rules 1 a lost attempt isn't replaced, and a vote without weight counts as unfinished."""
LONGEST_PAUSE_S = 30.0
_LEARNT_FROM = 64
"""The last trajectories of a problem to end, whose durations tell how long one takes."""
_PLAIN = VoteWeights()


@dataclass(frozen=True, slots=True)
class Losses:
    """Attempts at one problem that an error of engine or sandbox cost their vote."""

    num: int = 0
    in_a_row: int = 0
    """Losses of attempts that started after the loss before; 0 after a new attempt ended well."""
    last_at: float = -math.inf
    """Loop time of the last loss."""
    num_started: int = 0
    """Attempts that had started before the last loss; later ones are new."""
    num_before: int = 0
    """Attempts that had started before the row; the row ends when a later one ends well."""

    @property
    def pause_s(self) -> float:
        """Seconds after the last loss in which no attempt starts: 1, 2, 4, … `LONGEST_PAUSE_S`."""
        return min(2.0 ** min(self.in_a_row - 1, 10), LONGEST_PAUSE_S) if self.in_a_row else 0.0

    @property
    def resume_at(self) -> float:
        """Loop time from which on attempts may start again."""
        return self.last_at + self.pause_s

    def after(self, trajectory: Trajectory, num_started: int, at: float) -> "Losses":
        """The losses after `trajectory` has ended at loop time `at`, when `num_started` attempts had started."""
        if trajectory.is_lost:
            in_a_row = max(1, self.in_a_row + (trajectory.index >= self.num_started))
            return Losses(self.num + 1, in_a_row, at, num_started, self.num_before if self.in_a_row else num_started)
        ended_well = not trajectory.outcome.is_failure and trajectory.outcome is not Outcome.CUTOFF
        return replace(self, in_a_row=0) if ended_well and trajectory.index >= self.num_before else self


@dataclass(frozen=True, slots=True)
class Ledger:
    """The state of one problem: its time, its attempts and their votes."""

    opened_at: float
    """Loop time in seconds."""
    deadline: float
    """Loop time in seconds."""
    grace_s: float = math.inf
    """Seconds from the deadline to the reply."""
    rules: int = RULES
    num_started: int = 0
    num_ended: int = 0
    ballot: Ballot = field(default_factory=Ballot)
    printed: Ballot = field(default_factory=Ballot)
    """Integers that last programs printed: no votes, but better than a constant."""
    durations: tuple[float, ...] = ()
    """Seconds from slot to end of the last trajectories that neither failed nor were cut off."""
    at: float = 0.0
    """Loop time of the last event."""
    last_started_at: float = -math.inf
    losses: Losses = field(default_factory=Losses)

    def horizon(self, num_samples: int) -> int:
        """The most attempts, if `num_samples` are wanted: lost ones are replaced, up to twice as many in all."""
        return num_samples + min(self.losses.num, num_samples)

    @property
    def typical_s(self) -> float:
        """Seconds that a trajectory takes: the median of `durations`, 0 without any."""
        return statistics.median(self.durations) if self.durations else 0.0

    @property
    def is_too_late_to_resume(self) -> bool:
        """Whether the pause after a loss leaves no time for another attempt."""
        return self.losses.in_a_row > 0 and self.losses.resume_at + self.typical_s >= self.deadline

    @property
    def num_running(self) -> int:
        """Trajectories that have started and not ended."""
        return self.num_started - self.num_ended

    def started(self, at: float, count: int = 1) -> "Ledger":
        """The ledger after `count` more trajectories have started, the last one at loop time `at`."""
        return replace(self, num_started=self.num_started + count, at=at, last_started_at=at)

    def ended(self, trajectory: Trajectory, at: float, weights: VoteWeights = _PLAIN) -> "Ledger":
        """The ledger after `trajectory` has ended at loop time `at`; `weights` set the weight of its vote."""
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
        """An answer without weight, as the ballot counts it."""
        if self.rules < RULES:
            return ExtractedAnswer(None, NoAnswer.UNFINISHED)
        return answer if answer.value is None else ExtractedAnswer(None, NoAnswer.WEIGHTLESS)

    def _with_duration(self, trajectory: Trajectory) -> tuple[float, ...]:
        if trajectory.outcome is Outcome.CUTOFF or trajectory.outcome.is_failure:
            return self.durations
        return (*self.durations[1 - _LEARNT_FROM :], trajectory.ended_at - trajectory.started_at)


def fold(ledger: Ledger | None, event: Event, weights: VoteWeights = _PLAIN) -> Ledger:
    """The ledger after `event`, with votes weighed by `weights`; an opening starts a new one.

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
    """Wait for the next event, until loop time `until` at most."""

    until: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Start no more attempts, and have running ones hand over their text."""

    reason: StopReason


Decision = Start | Wait | Stop


def decide(policy: Policy, ledger: Ledger, now: float) -> Decision:
    """What to do about a problem at loop time `now`.

    Attempts that have started count even beyond the policy's horizon, since a log may be replayed with a narrower one.
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
    """Start `free` attempts, or wait until engine and sandbox can be trusted with them again."""
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
    """The verdict: the winner, else the integer that most programs printed, else the policy's constant."""
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
