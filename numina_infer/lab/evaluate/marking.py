"""Marks the samples of a problem: which answers were given, which of them are the same, and which are right.

Integers are the votes of the run itself, compared with the votes that the reference accepts.
General answers are the texts in the last box or after the last answer sentence, whatever the run's range made of them.
Two of them are the same if their texts are; if both are integers by our own reader, and equal; or else if math-verify
says so, which compares with the first, most frequent text of a group. All that equal the reference are one group. A
text that can't be compared is a group of its own and counts as wrong.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from numina_infer.answers.expression import read_integer
from numina_infer.answers.references import Accepted, read_integers
from numina_infer.core.records import AnswerSource, NoAnswer, Outcome, StopReason, Trajectory
from numina_infer.lab.evaluate.grading import Grade, Grader, GradeVerdict
from numina_infer.lab.evaluate.metrics import MOST_SAMPLES, Tally
from numina_infer.lab.replay.recording import RecordedProblem


class GraderName(StrEnum):
    """How answers are compared with references."""

    AUTO = "auto"
    """`integer` where every reference can be voted for in the run's range, else `general`."""
    INTEGER = "integer"
    GENERAL = "general"


@dataclass(frozen=True, slots=True)
class Marks:
    """What each sample answered, and which answers are right."""

    answers: tuple[str | None, ...]
    """By sample, in the order of their ends; None for no vote. Answers that count as the same have the same text."""
    right: frozenset[str] = frozenset()
    undecided: Mapping[str, str] = field(default_factory=dict)
    """Answers that can't be compared with the reference, and why."""

    @property
    def tally(self) -> Tally:
        """As the metrics count them; a problem without a sample counts as one that had no vote."""
        counts = Counter(answer for answer in self.answers if answer is not None)
        return Tally(
            right=tuple(count for answer, count in counts.items() if answer in self.right),
            wrong=tuple(count for answer, count in counts.items() if answer not in self.right),
            num_blank=self.answers.count(None) if self.answers else 1,
        )


def samples_of(recorded: RecordedProblem) -> tuple[Trajectory, ...]:
    """The trajectories that count as samples, in the order of their ends, 1,000 at most.

    Those that were broken off because the problem was decided don't count, nor do those that the engine or the sandbox
    lost and that others replaced.
    """
    is_decided = recorded.solution is not None and recorded.solution.stop_reason is StopReason.DECIDED
    wanted = [one for one in recorded.trajectories if not (is_decided and one.outcome is Outcome.CUTOFF)]
    num_replaced = max(0, len(recorded.trajectories) - recorded.opened.num_samples)
    replaced = {one.index for one in [one for one in wanted if one.is_lost][:num_replaced]}
    return tuple(one for one in wanted if one.index not in replaced)[:MOST_SAMPLES]


def mark_integers(samples: Iterable[Trajectory], accepted: Accepted) -> Marks:
    """The votes of `samples`, of which those for one of `accepted` are right."""
    votes = [sample.answer.value for sample in samples]
    return Marks(tuple(None if vote is None else str(vote) for vote in votes), frozenset(map(str, accepted)))


def mark_general(samples: Iterable[Trajectory], reference: str, grader: Grader) -> Marks:
    """What `samples` state, compared with `reference` and with each other.

    Raises:
        ConfigError: math-verify is needed and isn't installed.
        GradingError: its processes don't start.
    """
    stated = [_stated(sample) for sample in samples]
    counts = Counter(text for text in stated if text is not None)
    right, wrong = "", list[str]()
    undecided: dict[str, str] = {}
    group_of: dict[str, str] = {}
    for text in sorted(counts, key=lambda text: (-counts[text], text)):
        group_of[text] = text
        grade = _grade(reference, text, grader)
        match grade.verdict:
            case GradeVerdict.RIGHT:
                group_of[text] = right = right or text
            case GradeVerdict.UNDECIDED:
                undecided[text] = grade.reason
            case GradeVerdict.WRONG:
                group_of[text] = next((first for first in wrong if _is_same(first, text, grader)), text)
                if group_of[text] == text:
                    wrong.append(text)
    answers = tuple(None if text is None else group_of[text] for text in stated)
    return Marks(answers, frozenset({right} - {""}), undecided)


_LOST = {NoAnswer.CUT_OFF, NoAnswer.UNFINISHED, NoAnswer.NOT_STATED}


def _stated(sample: Trajectory) -> str | None:
    answer = sample.answer
    is_stated = answer.source is not AnswerSource.NOWHERE and answer.reason not in _LOST
    return answer.raw.strip() or None if is_stated else None


def _grade(reference: str, text: str, grader: Grader) -> Grade:
    integers, integer = read_integers(reference), read_integer(text)
    if integers and not isinstance(integer, NoAnswer):
        return Grade(GradeVerdict.RIGHT if integer in integers else GradeVerdict.WRONG)
    return grader.grade(reference, text)


def _is_same(first: str, text: str, grader: Grader) -> bool:
    one, other = read_integer(first), read_integer(text)
    if not isinstance(one, NoAnswer) and not isinstance(other, NoAnswer):
        return one == other
    return grader.grade(first, text).verdict is GradeVerdict.RIGHT
