"""Decides whether a trajectory can be training data: right and wrong ones can, all others are left out and counted."""

from enum import StrEnum

from numina_infer.answers.references import Accepted
from numina_infer.core.records import Outcome, Trajectory


class ExportStatus(StrEnum):
    """Whether a trajectory is exported, or why it isn't."""

    RIGHT = "right"
    """Its own answer is the reference, whatever the vote said."""
    WRONG = "wrong"
    """It states another answer."""
    UNFINISHED = "unfinished"
    """A limit, the cutoff or an error ended it, so its text breaks off."""
    NO_ANSWER = "no_answer"
    """It came to its end without an integer in range."""
    NO_REFERENCE = "no_reference"
    """There is no reference for its problem."""
    NO_TOKENS = "no_tokens"
    """Token ids were asked for, and the log has none for it."""
    SAME_TEXT = "same_text"
    """Another trajectory of the problem has the same text."""
    BEYOND_MAX = "beyond_max"
    """Its problem has as many rows as were asked for."""

    @property
    def reason(self) -> str:
        """Why it was left out, in words for a card."""
        return _REASONS[self]


_REASONS = {
    ExportStatus.RIGHT: "right, which this training doesn't take",
    ExportStatus.WRONG: "a wrong answer",
    ExportStatus.UNFINISHED: "ended by a limit, the cutoff or an error, so that the text breaks off",
    ExportStatus.NO_ANSWER: "came to an end without an integer in range",
    ExportStatus.NO_REFERENCE: "no reference for the problem",
    ExportStatus.NO_TOKENS: "no token ids in the log",
    ExportStatus.SAME_TEXT: "the same text as another one of the problem",
    ExportStatus.BEYOND_MAX: "more than was asked for of one problem",
}


def judge(trajectory: Trajectory, accepted: Accepted) -> ExportStatus:
    """The status of `trajectory` by itself; `accepted` are the right votes, empty where the reference isn't known."""
    if not accepted:
        return ExportStatus.NO_REFERENCE
    if trajectory.outcome is not Outcome.FINISHED or not trajectory.turns:
        return ExportStatus.UNFINISHED
    if trajectory.answer.value is None:
        return ExportStatus.NO_ANSWER
    return ExportStatus.RIGHT if trajectory.answer.value in accepted else ExportStatus.WRONG
