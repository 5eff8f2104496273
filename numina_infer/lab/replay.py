"""Replay: the recorded events of a run before the same referee, under its own policy or another.

Under the run's own policy every problem gets the same verdict, votes and stop as it had, bit for bit: solving live and
replaying call the same `decide` on the same ledger, and a decision depends on nothing that isn't recorded.
Under another policy a problem gets the verdict that it would have had, as far as the log reaches:

- What the policy wouldn't have started (a smaller N) is passed over. Endings keep their recorded times.
- Where it stops before the run did, the attempts in flight have nothing to hand over: their texts up to that moment
  aren't recorded. Under the exact rule that can't change a verdict.
- Where it would have gone on when the run had stopped, the verdict isn't recorded.

Logs of the preset `collect` never stop short, unless a policy wants more samples than there are.
"""

from dataclasses import dataclass, replace

from numina_infer.config import Policy
from numina_infer.events import Ended, Stopped
from numina_infer.lab.hearing import Hearing
from numina_infer.lab.ranges import in_range
from numina_infer.lab.recording import Recorded, Recording
from numina_infer.referee import Ledger, conclude
from numina_infer.rounds import papers_verdict
from numina_infer.trajectory import AnswerRange, Solution, StopReason


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one problem in a replay."""

    recorded: Recorded
    ledger: Ledger
    """As far as the replay went."""
    solution: Solution | None
    """The verdict; None where the log stops short of what the policy would have wanted."""
    num_tokens: int = 0
    """Sampled by the trajectories that ended."""
    num_unknown: int = 0
    """Attempts that were in flight at a stop before the run's own: what they had to hand over isn't known."""

    @property
    def is_recorded(self) -> bool:
        """Whether there is a verdict."""
        return self.solution is not None

    @property
    def seconds(self) -> float:
        """From the problem's arrival to its verdict, or as far as the log goes."""
        end = self.ledger.at if self.solution is None else self.solution.solved_at
        return end - self.recorded.opened.at

    @property
    def is_as_recorded(self) -> bool:
        """Whether verdict, votes and stop are those of the run: everything but what it said of its engine."""
        was = self.recorded.solution
        return was == self.solution or (was is not None and replace(was, incidents=()) == self.solution)


def replay(recording: Recording) -> tuple[Replayed, ...]:
    """Every problem of a run under its own policy, in the order of their openings."""
    if recording.is_papers:
        return tuple(_replay_papers(recorded, recording.preset.policy) for recorded in recording.problems)
    return tuple(replay_problem(recorded, recording.preset.policy) for recorded in recording.problems)


def replay_problem(recorded: Recorded, policy: Policy, *, deadline: float | None = None) -> Replayed:
    """One problem under `policy`, and by `deadline` (loop time) instead of its own."""
    events = recorded.events
    hearing = Hearing(recorded.opened, policy, deadline)
    heard, reason = hearing.until_stop(events)
    is_own_end = heard == len(events) or isinstance(events[heard], Stopped)
    forced = _forced(recorded) if is_own_end else None
    if reason is None and forced is None:
        return Replayed(recorded, hearing.ledger, None, hearing.num_tokens)
    num_unknown = 0 if is_own_end else hearing.ledger.num_running
    if is_own_end:
        hearing.take(events[heard:])
    solution = conclude(
        recorded.problem.id,
        policy,
        hearing.ledger,
        forced.stop_reason if forced else reason or StopReason.DEADLINE,
        recorded.solution.solved_at if is_own_end and recorded.solution else hearing.ledger.at,
        forced.error if forced else "",
    )
    return Replayed(recorded, hearing.ledger, solution, hearing.num_tokens, num_unknown)


def _replay_papers(recorded: Recorded, policy: Policy) -> Replayed:
    """The paper's way has rules of its own: no stop, and ties by the order of endings."""
    hearing = Hearing(recorded.opened, policy)
    hearing.take(recorded.events)
    return Replayed(recorded, hearing.ledger, _papers_solution(recorded, policy, hearing.ledger), hearing.num_tokens)


def _papers_solution(recorded: Recorded, policy: Policy, ledger: Ledger) -> Solution | None:
    was, problem_id = recorded.solution, recorded.problem.id
    if was is None:
        return None
    if (forced := _forced(recorded)) is not None:
        return conclude(problem_id, policy, ledger, forced.stop_reason, was.solved_at, forced.error)
    return papers_verdict(problem_id, policy, ledger, recorded.trajectories, StopReason.DEADLINE, was.solved_at)


def in_answer_range(recorded: Recorded, was: AnswerRange, wanted: AnswerRange) -> Recorded:
    """`recorded`, made for the range `was`, with its answers as they are in `wanted`."""
    if was is wanted:
        return recorded
    events = tuple(
        replace(event, trajectory=in_range(event.trajectory, was, wanted)) if isinstance(event, Ended) else event
        for event in recorded.events
    )
    return replace(recorded, events=events)


def _forced(recorded: Recorded) -> Solution | None:
    """The verdict where something broke, which no referee has a say in."""
    was = recorded.solution
    return was if was is not None and was.stop_reason is StopReason.FAILED else None
