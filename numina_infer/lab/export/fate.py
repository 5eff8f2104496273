"""What becomes of a trajectory in an export, and why: what is right or wrong is training data, the rest is counted."""

from enum import StrEnum

from numina_infer.answers.references import Accepted
from numina_infer.core.records import Outcome, Trajectory


class Fate(StrEnum):
    """What becomes of a trajectory."""

    RIGHT = "right"
    """Its own answer is the reference, whatever the vote said."""
    WRONG = "wrong"
    """It states another answer."""
    UNFINISHED = "unfinished"
    """A limit, the cutoff or an error ended it, so its text breaks off."""
    NO_ANSWER = "no_answer"
    """It came to its end without an integer in range."""
    NO_REFERENCE = "no_reference"
    """Nothing says what would be right."""
    NO_TOKENS = "no_tokens"
    """Token ids were asked for, and the log has none for it."""
    SAME_TEXT = "same_text"
    """Another trajectory of the problem has the same text."""
    BEYOND_MAX = "beyond_max"
    """Its problem has enough others."""

    @property
    def reason(self) -> str:
        """Why it was left out, in words for a card."""
        return _REASONS[self]


_REASONS = {
    Fate.RIGHT: "right, which this training doesn't take",
    Fate.WRONG: "a wrong answer",
    Fate.UNFINISHED: "ended by a limit, the cutoff or an error, so that the text breaks off",
    Fate.NO_ANSWER: "came to an end without an integer in range",
    Fate.NO_REFERENCE: "no reference for the problem",
    Fate.NO_TOKENS: "no token ids in the log",
    Fate.SAME_TEXT: "the same text as another one of the problem",
    Fate.BEYOND_MAX: "more than was asked for of one problem",
}


def judge(trajectory: Trajectory, accepted: Accepted) -> Fate:
    """The fate of `trajectory` by itself, with the votes that are right; none where nobody knows."""
    if not accepted:
        return Fate.NO_REFERENCE
    if trajectory.outcome is not Outcome.FINISHED or not trajectory.turns:
        return Fate.UNFINISHED
    if trajectory.answer.value is None:
        return Fate.NO_ANSWER
    return Fate.RIGHT if trajectory.answer.value in accepted else Fate.WRONG
