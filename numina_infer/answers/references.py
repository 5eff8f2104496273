"""References: the answers in a problems file, as the votes that hit them.

A competition may have accepted more than one answer: a table of the AIME has `080 or 081 (both were accepted)`.
No other text than that and one integer in range can be hit by a vote.
References are read like a model's answers (`expression.py`), so that `142.0` is 142.
"""

import re
from collections.abc import Mapping

from numina_infer.answers.expression import read_integer
from numina_infer.core.records import AnswerRange, NoAnswer

Accepted = frozenset[int]
"""The votes that are right: usually one, none where the reference can't be voted for."""

_REMARK = re.compile(r"\s*\([^()]*\)\s*$")
_OR = re.compile(r"\s+or\s+")


def read_integers(text: str) -> frozenset[int]:
    """The integers that `text` accepts, whatever their size and sign; none where it is no integer."""
    integers = [read_integer(text)]
    if isinstance(integers[0], NoAnswer):
        integers = [read_integer(part) for part in _OR.split(_REMARK.sub("", text))]
    read = frozenset(integer for integer in integers if isinstance(integer, int))
    return read if len(read) == len(set(integers)) else frozenset()


def read_reference(text: str | None, answer_range: AnswerRange) -> Accepted:
    """The votes that `text` accepts in `answer_range`; none where a part of it can't be voted for."""
    votes = {answer_range.place(integer) for integer in read_integers(text or "")}
    accepted = frozenset(vote for vote in votes if isinstance(vote, int))
    return accepted if len(accepted) == len(votes) else frozenset()


def read_references(references: Mapping[str, str], answer_range: AnswerRange) -> Mapping[str, Accepted]:
    """Those of a problems file that votes can hit, by problem id."""
    votes = {identifier: read_reference(text, answer_range) for identifier, text in references.items()}
    return {identifier: accepted for identifier, accepted in votes.items() if accepted}


def show_reference(accepted: Accepted) -> str:
    """`80 or 81`; nothing where no vote is accepted."""
    return " or ".join(map(str, sorted(accepted)))
