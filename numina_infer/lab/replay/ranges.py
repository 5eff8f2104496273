"""Reads a recorded answer again for another answer range: the vote it would have been, or why there is none.

The log keeps the text in the box or after the answer sentence, and the integer is read again from that text alone.
Where this doesn't give what was recorded, the record counts.
"""

from collections.abc import Iterator
from dataclasses import replace

from numina_infer.answers.expression import read_integer
from numina_infer.core.records import AnswerRange, ExtractedAnswer, NoAnswer, Trajectory
from numina_infer.solving.rollout import read_printed


def in_range(trajectory: Trajectory, recorded: AnswerRange, wanted: AnswerRange) -> Trajectory:
    """`trajectory`, which was read for the range `recorded`, as it would have been read for `wanted`."""
    answer = _answer_in(trajectory.answer, recorded, wanted)
    return replace(trajectory, answer=answer, printed=read_printed(list(trajectory.turns), wanted))


def _answer_in(answer: ExtractedAnswer, recorded: AnswerRange, wanted: AnswerRange) -> ExtractedAnswer:
    if answer.value is None and answer.reason is not NoAnswer.OUT_OF_RANGE:
        return answer
    integer = _stated_integer(answer, recorded)
    vote = NoAnswer.OUT_OF_RANGE if integer is None else wanted.place(integer)
    value, reason = (None, vote) if isinstance(vote, NoAnswer) else (vote, None)
    return replace(answer, value=value, reason=reason)


def _stated_integer(answer: ExtractedAnswer, recorded: AnswerRange) -> int | None:
    """The integer that was stated, before any range; None where all that is known is that it was out of one."""
    for integer in _readings(answer.raw):
        if recorded.place(integer) == (answer.reason if answer.value is None else answer.value):
            return integer
    return answer.value


def _readings(raw: str) -> Iterator[int]:
    """The log doesn't say whether it was read as prose."""
    for prose in (False, True):
        integer = read_integer(raw, prose=prose)
        if isinstance(integer, int):
            yield integer
