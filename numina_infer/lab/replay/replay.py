"""Replays a run: its recorded events go to the same referee again, under the run's own policy or another.

Under the run's own policy every problem gets the same verdict, votes and stop as it had, bit for bit: solving live and
replaying call the same `decide` on the same ledger, and a decision depends on nothing that isn't recorded.
Under another policy a problem gets the verdict that it would have had, as far as the log reaches:

- Attempts that the policy wouldn't have started (a smaller N) are passed over. Endings keep their recorded times.
- Where it stops before the run did, the attempts in flight have nothing to hand over: their texts up to that moment
  aren't recorded. Under the exact rule that can't change a verdict.
- Where it would have gone on when the run had stopped, the verdict isn't recorded.
- For another answer range the integers are read again from the texts that the log keeps of answers.

Logs of the preset `collect` never stop short, unless a policy wants more samples than there are.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from numina_infer.answers.expression import read_integer
from numina_infer.core.config import BankConfig, Policy, require
from numina_infer.core.events import Ended, Stopped
from numina_infer.core.records import AnswerRange, ExtractedAnswer, NoAnswer, Solution, StopReason, Trajectory
from numina_infer.lab.replay.recording import RecordedProblem, Recording
from numina_infer.lab.replay.replay_referee import ReplayReferee
from numina_infer.lab.replay.variant import Change, Variant, make_variant
from numina_infer.solving.paper.paper_solver import papers_verdict
from numina_infer.solving.rollout import read_printed
from numina_infer.voting.referee import Ledger, conclude
from numina_infer.voting.time_bank import Bank


@dataclass(frozen=True, slots=True)
class Replayed:
    """One problem in a replay."""

    recorded: RecordedProblem
    ledger: Ledger
    """As far as the replay went."""
    solution: Solution | None
    """The verdict; None where the policy would have gone on after the log ends."""
    num_tokens: int = 0
    """Sampled by the trajectories that ended."""

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
        """Whether verdict, votes and stop are those of the run; incidents of its engine aren't compared."""
        was = self.recorded.solution
        return was == self.solution or (was is not None and replace(was, incidents=()) == self.solution)


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """A run replayed, problem by problem, in the order of their openings."""

    recording: Recording
    variant: Variant
    problems: tuple[Replayed, ...]

    def __repr__(self) -> str:
        return f"<Replay: {self._sentence}>"

    def _repr_html_(self) -> str:
        from numina_infer.lab.cells import html_table
        from numina_infer.lab.replay.replay_table import problem_table

        return html_table(problem_table(self, {}), self._sentence)

    @property
    def _sentence(self) -> str:
        return f"{self.num_as_recorded} of {len(self.problems)} verdicts are as recorded."

    @property
    def num_as_recorded(self) -> int:
        """Problems with the verdict, the votes and the stop that the run had."""
        return sum(replayed.is_as_recorded for replayed in self.problems)

    @property
    def num_unrecorded(self) -> int:
        """Problems on which the policy would have gone on after the log ends."""
        return sum(not replayed.is_recorded for replayed in self.problems)

    @property
    def num_changed(self) -> int:
        """Problems with another answer than the run gave, where both are known."""
        known = [(one.recorded.solution, one.solution) for one in self.problems]
        return sum(was.answer != now.answer for was, now in known if was is not None and now is not None)


def replay_run(recording: Recording, change: Change | None = None) -> Replay:
    """Every problem of a run, under its own policy or with `change` in it.

    Raises:
        ConfigError: the change can't be made, or a time bank is asked for a run whose problems weren't one after
            another in one session.
    """
    return next(replay_all(recording, [change or Change()]))


def replay_all(recording: Recording, changes: Iterable[Change]) -> Iterator[Replay]:
    """A replay for each of `changes`; answers are read once for each range."""
    own = recording.preset.rollout.answer_range
    read: dict[AnswerRange, tuple[RecordedProblem, ...]] = {}
    for change in changes:
        variant = make_variant(recording, change)
        wanted = variant.answer_range
        if wanted not in read:
            read[wanted] = tuple(_in_answer_range(one, own, wanted) for one in recording.problems)
        yield _replay_variant(recording, variant, read[wanted])


def _replay_variant(recording: Recording, variant: Variant, problems: Sequence[RecordedProblem]) -> Replay:
    """Replay `problems`, whose answers were read for the variant's range."""
    if variant.bank is not None and problems:
        return Replay(recording, variant, _with_bank(recording, variant, variant.bank, problems))
    replay = _replay_papers if recording.is_papers else _replay_problem
    return Replay(recording, variant, tuple(replay(recorded, variant.policy) for recorded in problems))


def _with_bank(
    recording: Recording, variant: Variant, bank: BankConfig, problems: Sequence[RecordedProblem]
) -> tuple[Replayed, ...]:
    """A problem that takes longer or shorter than it did moves all later ones, and their slices with them."""
    till = Bank(replace(recording.preset.contest, bank=bank), _began_at(recording))
    done: list[Replayed] = []
    moved_s = 0.0
    last = -math.inf
    for recorded in problems:
        opened_at = recorded.opened.at
        require(opened_at >= last, _NOT_ONE_AFTER_ANOTHER)
        cut, till = till.cut(opened_at + moved_s)
        done.append(_replay_problem(recorded, variant.policy, deadline=opened_at + cut.seconds))
        last = opened_at if recorded.solution is None else recorded.solution.solved_at
        moved_s += opened_at + done[-1].seconds - last
    return tuple(done)


_NOT_ONE_AFTER_ANOTHER = (
    "a time limit for a run whose problems weren't asked one after another in one session; leave it out"
)


def _began_at(recording: Recording) -> float:
    """Loop time at which the contest began, as its first slice tells; without a bank, with the first problem."""
    opened, bank = recording.problems[0].opened, recording.preset.contest.bank
    if bank is None or opened.slice is None or opened.slice.left_s is None:
        return opened.at
    return opened.at - (bank.time_limit_s - bank.reserve_s - opened.slice.left_s)


def _replay_problem(recorded: RecordedProblem, policy: Policy, *, deadline: float | None = None) -> Replayed:
    """One problem under `policy`, and by `deadline` (loop time) instead of its own."""
    events = recorded.events
    referee = ReplayReferee(recorded.opened, policy, deadline)
    num_seen, reason = referee.until_stop(events)
    is_own_end = num_seen == len(events) or isinstance(events[num_seen], Stopped)
    forced = _forced(recorded) if is_own_end else None
    if reason is None and forced is None:
        return Replayed(recorded, referee.ledger, None, referee.num_tokens)
    if is_own_end:
        referee.take(events[num_seen:])
    solution = conclude(
        recorded.problem.id,
        policy,
        referee.ledger,
        forced.stop_reason if forced else reason or StopReason.DEADLINE,
        recorded.solution.solved_at if is_own_end and recorded.solution else referee.ledger.at,
        forced.error if forced else "",
    )
    return Replayed(recorded, referee.ledger, solution, referee.num_tokens)


def _replay_papers(recorded: RecordedProblem, policy: Policy) -> Replayed:
    """The paper's way has rules of its own: no stop, and ties by the order of endings."""
    referee = ReplayReferee(recorded.opened, policy)
    referee.take(recorded.events)
    solution, problem_id, ledger = recorded.solution, recorded.problem.id, referee.ledger
    if (forced := _forced(recorded)) is not None:
        solution = conclude(problem_id, policy, ledger, forced.stop_reason, forced.solved_at, forced.error)
    elif solution is not None:
        ended, end = recorded.trajectories, solution.solved_at
        solution = papers_verdict(problem_id, policy, ledger, ended, StopReason.DEADLINE, end)
    return Replayed(recorded, ledger, solution, referee.num_tokens)


def _forced(recorded: RecordedProblem) -> Solution | None:
    """The verdict of a problem that failed: the referee didn't decide it."""
    was = recorded.solution
    return was if was is not None and was.stop_reason is StopReason.FAILED else None


def _in_answer_range(recorded: RecordedProblem, was: AnswerRange, wanted: AnswerRange) -> RecordedProblem:
    """`recorded`, made for the range `was`, with its answers as they are in `wanted`."""
    if was is wanted:
        return recorded
    events = tuple(
        replace(event, trajectory=_read_again(event.trajectory, was, wanted)) if isinstance(event, Ended) else event
        for event in recorded.events
    )
    return replace(recorded, events=events)


def _read_again(trajectory: Trajectory, was: AnswerRange, wanted: AnswerRange) -> Trajectory:
    """`trajectory` with the vote that it would have had in `wanted`, or the reason why there is none."""
    answer = trajectory.answer
    if answer.value is not None or answer.reason is NoAnswer.OUT_OF_RANGE:
        integer = _stated_integer(answer, was)
        vote = NoAnswer.OUT_OF_RANGE if integer is None else wanted.place(integer)
        value, reason = (None, vote) if isinstance(vote, NoAnswer) else (vote, None)
        answer = replace(answer, value=value, reason=reason)
    return replace(trajectory, answer=answer, printed=read_printed(list(trajectory.turns), wanted))


def _stated_integer(answer: ExtractedAnswer, was: AnswerRange) -> int | None:
    """The integer that was stated, before any range; None where all that is known is that it was out of one.

    It is read again from the text that the log keeps, the one in the box or after the answer sentence, as prose or
    not: the log doesn't say. Where neither gives what was recorded, the record counts.
    """
    recorded = answer.reason if answer.value is None else answer.value
    for prose in (False, True):
        integer = read_integer(answer.raw, prose=prose)
        if isinstance(integer, int) and was.place(integer) == recorded:
            return integer
    return answer.value
