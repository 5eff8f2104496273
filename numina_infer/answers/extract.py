r"""From a completion to the integer that it states, or the reason why there is none.

The idea is the notebook's of NuminaMath (`\boxed`, else «the answer is»), without its window of 100 characters, its
rounding and its sentinels. Where the text is ambiguous the rules were chosen on recorded transcripts
(docs/experiments.md); none of them votes for a number that the text doesn't state, and where that is in doubt there is
no vote.

1. A box counts before any sentence, and the last box with something in it before any other (`boxes.py`). It counts
   even if it can't be read: an earlier box is what the text has left behind, not what it says in the end.
2. Boxes that one sentence lists are parts of one answer, and the first counts; words other than units, an operator, an
   equals sign or a negation between them make the last one count.
3. Without a box the last announcement with a digit counts, be it a sentence, a heading, a tag or `#### 42`
   (`sentences.py`); a text that is nothing but an integer states it.
4. A number is read only from what states it: what limits it to a case (`42 for n = 5`, `7 if n is odd`), to another
   base (`101 (binary)`), or makes another number of it (`3 thousands`, `5 doubled`) makes it unreadable
   (`conditions.py`, `units.py`, `expression.py`); what follows it is judged alike in math, in bold, in quotes and
   bare, and a second number behind it (`7 or 8`) leaves none (`behind.py`).
5. What stands in a ```python or ```output block isn't said by the model: neither hides nor makes an answer.
6. In a text that a limit cut short only boxes count, and none of them if a later one was opened and not closed
   (`CUT_OFF`): a sentence like «the answer is 6» may stand on the way to something else.

The time is linear in the text, and small (`statement.py`).
"""

from numina_infer.answers.boxes import closed_box, final_box
from numina_infer.answers.expression import read_integer
from numina_infer.answers.sentences import final_sentence
from numina_infer.answers.statement import MAX_PLACES, Statement
from numina_infer.core.records import AnswerRange, AnswerSource, ExtractedAnswer, NoAnswer

__all__ = [
    "MAX_PLACES",
    "AnswerRange",
    "AnswerSource",
    "ExtractedAnswer",
    "NoAnswer",
    "extract_answer",
    "read_integer",
]


def extract_answer(text: str, answer_range: AnswerRange, *, complete: bool = True) -> ExtractedAnswer:
    r"""The vote of `text`, within `answer_range`, or the reason why it has none; never raises.

    `complete` is False for a text that a limit cut off (tokens, cutoff): only its boxes count.
    """
    answer_range = AnswerRange(answer_range)
    statement = (final_box(text) if complete else closed_box(text)) or final_sentence(text)
    if statement is None:
        return ExtractedAnswer(None, NoAnswer.NOT_STATED)
    vote = _vote(statement, answer_range) if complete or statement.source is AnswerSource.BOXED else NoAnswer.CUT_OFF
    raw = statement.in_text(text)
    if isinstance(vote, NoAnswer):
        return ExtractedAnswer(None, vote, statement.source, raw)
    return ExtractedAnswer(vote, None, statement.source, raw)


def _vote(statement: Statement, answer_range: AnswerRange) -> int | NoAnswer:
    integer = statement.integer
    return answer_range.place(integer) if isinstance(integer, int) else integer
