r"""Extracts the integer that a text states: the rules about which part of the text counts.

The idea is that of NuminaMath's notebook (`\boxed`, else «the answer is»), without its window of 100 characters, its
rounding and its sentinels. The rules were chosen on recorded transcripts (docs/experiments.md).

1. A box counts before any sentence, and the last box that holds something before any other, even if it can't be read:
   the text has left earlier boxes behind. Of boxes that one sentence lists the first counts (`boxes.py`).
2. Without a box the last announcement with a digit counts; a text that is nothing but an integer states it, too
   (`sentences.py`).
3. The model doesn't say what stands in a ```python or ```output block: it neither hides nor makes an answer.
4. In a text that a limit cut short only boxes count, and none of them if a later one was opened and not closed
   (`CUT_OFF`): a sentence like «the answer is 6» may be on the way to something else.
"""

from numina_infer.answers.boxes import closed_box, final_box
from numina_infer.answers.sentences import final_sentence
from numina_infer.core.records import AnswerRange, AnswerSource, ExtractedAnswer, NoAnswer


def extract_answer(text: str, answer_range: AnswerRange, *, complete: bool = True) -> ExtractedAnswer:
    r"""The vote of `text`, within `answer_range`, or the reason why it has none; never raises.

    `complete` is False for a text that a limit cut off (tokens, cutoff): only its boxes count.
    """
    answer_range = AnswerRange(answer_range)
    statement = (final_box(text) if complete else closed_box(text)) or final_sentence(text)
    if statement is None:
        return ExtractedAnswer(None, NoAnswer.NOT_STATED)
    is_said = complete or statement.source is AnswerSource.BOXED
    integer = statement.integer if is_said else NoAnswer.CUT_OFF
    vote = answer_range.place(integer) if isinstance(integer, int) else integer
    value, reason = (None, vote) if isinstance(vote, NoAnswer) else (vote, None)
    return ExtractedAnswer(value, reason, statement.source, statement.in_text(text))
