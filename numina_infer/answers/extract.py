r"""Extracts the integer that a text states: a box, read here, or else a sentence.

The idea is that of NuminaMath's notebook (`\boxed`, else «the answer is»), without its window of 100 characters, its
rounding and its sentinels. The rules were chosen on recorded transcripts (docs/experiments.md).

1. A box counts before any sentence: `\boxed{52}`, `\fbox{52}`, `\framebox{52}`, `\boxed 52`, or one never closed. The
   last box that holds something counts, even if it can't be read: the text has left earlier boxes behind. An empty
   `\boxed{}` only talks about boxes.
2. Without a box the last announcement with a digit counts; a text that is nothing but an integer states it, too
   (`sentences.py`).
3. The model doesn't say what stands in a ```python or ```output block: it neither hides nor makes an answer.
4. In a text that a limit cut short only boxes count, and none of them if a later one was opened and not closed
   (`CUT_OFF`): a sentence like «the answer is 6» may be on the way to something else.

Boxes that one sentence lists are parts of one answer, and the first counts, since it was asked for first. Between them
stand «and» or a comma, units (`\boxed{59} inches and \boxed{118} inches`; `units.names_unit`), or a clause that says
the same of another thing (`the larger number is \boxed{59} and the smaller number is \boxed{31}`), which shares a noun
with the sentence. With any other verb or word, an operator, an equals sign or a negation between, the last box counts.
«or» offers a choice, which is no vote. A denied box (`it isn't \boxed{17}`) states nothing.
The words behind a box can leave it unreadable (`behind.makes_other_of_box`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from numina_infer.answers.behind import makes_other_of_box
from numina_infer.answers.expression import MAX_LENGTH
from numina_infer.answers.sentences import Statement, final_sentence, places
from numina_infer.answers.typography import MATH_OPENS, command
from numina_infer.answers.units import limits, names_unit
from numina_infer.core.records import AnswerRange, AnswerSource, ExtractedAnswer, NoAnswer


def extract_answer(text: str, answer_range: AnswerRange, *, complete: bool = True) -> ExtractedAnswer:
    r"""The vote of `text`, within `answer_range`, or the reason why it has none; never raises.

    `complete` is False for a text that a limit cut off (tokens, cutoff): only its boxes count.
    """
    answer_range = AnswerRange(answer_range)
    statement = (_final_box(text) if complete else _closed_box(text)) or final_sentence(text)
    if statement is None:
        return ExtractedAnswer(None, NoAnswer.NOT_STATED)
    is_said = complete or statement.source is AnswerSource.BOXED
    integer = statement.integer if is_said else NoAnswer.CUT_OFF
    vote = answer_range.place(integer) if isinstance(integer, int) else integer
    value, reason = (None, vote) if isinstance(vote, NoAnswer) else (vote, None)
    return ExtractedAnswer(value, reason, statement.source, statement.in_text(text))


# --- boxes ---

_MARKS = (r"\boxed", r"\fbox", r"\framebox", r"\Aboxed")
_MARK = re.compile(r"\\(?:A?boxed|fbox|framebox(?:\s?\[[^\[\]\n]{0,40}\]){0,2})(?![A-Za-z])")
_BLANK = re.compile(r"[\s{}.…$]*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPENED = re.compile(r"[\s\u200b\u2060\ufeff]{0,9}\{")
_UNBRACED = re.compile(r"\s{0,9}((?:\\?\$)?\s?-?[0-9][0-9,]{0,999}(?:\.[0-9]{1,999})?)")
r"""The number of `\boxed 52`."""
_BROKEN_OFF = re.compile(r"\n|(?<!\\)\$|\\[)\]]")
"""A box that is never closed ends here at the latest."""
_BEGUN = re.compile(r"\\(?:bo|A?box(?:ed?)?|fb|fbo|fbox|frameb|framebo|framebox)\s*")
r"""A text that ends within `\boxed`."""


def _final_box(text: str) -> Statement | None:
    """The box that counts in a whole text."""
    boxes = (box for box in _every_box(text) if not _BLANK.fullmatch(box.raw))
    last = next(boxes, None)
    if last is None:
        return None
    if not _is_denied(text, last):
        return _limited(text, last, _first_of_list(text, last, boxes))
    earlier = next(boxes, None)
    between = _between(text, earlier, last) if earlier is not None else "\n\n"
    if _UNEQUAL.fullmatch(between):
        return _limited(text, last, last)
    is_earlier_kept = earlier is not None and not _is_denied(text, earlier) and _NO_END.fullmatch(between)
    return earlier if is_earlier_kept else replace(last, is_limited=True)


def _closed_box(text: str) -> Statement | None:
    """The box that counts in a text that a limit cut short; one that was opened and not closed is `UNCLOSED_BOX`."""
    begun = _BEGUN.fullmatch(text, max(text.rfind("\\"), 0))
    if begun:
        return Statement("", AnswerSource.UNCLOSED_BOX, begun.start(), len(text))
    last = next(_every_box(text), None)
    return last if last is not None and last.source is AnswerSource.UNCLOSED_BOX else _final_box(text)


def _every_box(text: str) -> Iterator[Statement]:
    """The boxes of `text`, from the last to the first."""
    for start in places(text, _MARKS):
        mark = _MARK.match(text, start)
        box = _box_at(text, start, mark.end()) if mark else None
        if box is not None:
            yield box


def _box_at(text: str, start: int, at: int) -> Statement | None:
    opened = _OPENED.match(text, at)
    if opened:
        return _braced(text, start, opened.end())
    unbraced = _UNBRACED.match(text, at)
    if not unbraced:
        return None
    is_ended = not re.fullmatch(r"\.?", text[unbraced.end() : unbraced.end() + 2])
    source = AnswerSource.BOXED if is_ended else AnswerSource.UNCLOSED_BOX
    return Statement(unbraced[1], source, start, unbraced.end())


def _braced(text: str, start: int, at: int) -> Statement:
    depth = 1
    for match in _BRACE.finditer(text, at, at + MAX_LENGTH + 1):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return Statement(text[at : match.start()], AnswerSource.BOXED, start, match.end())
    rest = text[at : at + MAX_LENGTH + 1]
    broken_off = _BROKEN_OFF.search(rest)
    raw = rest[: broken_off.start()] if broken_off else rest
    return Statement(raw, AnswerSource.UNCLOSED_BOX, start, at + len(raw))


# --- what stands between boxes ---

_NO_END = re.compile(r"(?:[^.;!?\n]|\.(?=[0-9])|\n(?!\s{0,9}\n\s{0,9}[^\sa-z])){0,200}")
"""A text within one sentence; an empty line may go on in small letters."""
_MARKUP = re.compile(
    r"\\(?:text(?:rm|bf|it|sf|tt|up|normal)?|math(?:rm|bf|sf)|mbox|hbox)\s?\{"
    r"|\\[()\[\],;:! ]|\\q?quad|[${}*~\s]|\\?&|\^\\circ|\^\{?[23]\}?|[²³°]|\\?%"
)
_TEX_SPACE = re.compile(r"\\[;!:]")
_UNEQUAL = re.compile(rf"[\s$]{{0,9}}(?:≠|{command('neq?')}|\\not\s?=)[\s$]{{0,9}}")
r"""`\boxed{7} \ne \boxed{8}`."""
_AND = r"(?:and|und|et|y|e|и|和|与|及|&)"
_WORDS = r"(?:[A-Za-z'’%0-9-]{1,20}\s){0,9}?"
_LIST = re.compile(
    rf"\s?(?P<unit>{_WORDS})"
    rf"(?:,\s(?:{_AND}\s)?|{_AND}\s|(?:,\s)?(?P<or>and\s?/\s?or|or|oder|ou|或者?)\s)"
    rf"(?P<clause>(?:the|there)\s{_WORDS})?"
)
_SUMS_UP = "answer|sum|total|product|difference|final|result|correct|corrected|actual|true|real|new"
_NO_LIST = re.compile(
    rf"\b(?:so|{_SUMS_UP}|thus|hence|therefore|then|giving|gives?|given|wait|actually|but|which|at first|initially"
    r"|originally|before|after|not|never|neither|[a-z]{2,6}n['’]t|is|are|was|were|be|been|has|have|had|get|gets|got"
    r"|makes?|made|means?|equals?|becomes?|plus|minus|times|[a-z]{2,}ing)\b"
)
_SAID_OF_ALL = re.compile(rf"\b(?:so|{_SUMS_UP})\b")
_BEING = re.compile(r"\b(?:is|are|was|were)\b")
_ANNOUNCED = re.compile(r"\b[Aa]nswer\b[^.;!?]{0,60}\Z")
"""`the answer is` in front of the boxes: then «is» between them joins a list, too."""
_NOUN = re.compile(r"[A-Za-z]{4,}")
_PLAIN_WORDS = frozenset({"there", "that", "this", "with", "from", "have", "they", "then", "value", "which", "were"})


def _between(text: str, earlier: Statement, later: Statement) -> str:
    return text[earlier.end : later.start] if later.start - earlier.end < 400 else "\n\n"


def _first_of_list(text: str, last: Statement, boxes: Iterator[Statement]) -> Statement:
    """The first of the boxes that are listed with `last`; a choice among different ones can't be read."""
    first = last
    for box in boxes:
        between = _between(text, box, first)
        listed = _listed(text, box, between)
        if listed is None:
            break
        if _is_denied(text, box):
            return last
        is_choice = listed["or"] is not None and box.raw.strip() != first.raw.strip()
        first = replace(box, is_limited=first.is_limited or is_choice or limits(between))
    return first


def _listed(text: str, box: Statement, between: str) -> re.Match[str] | None:
    """The words between `box` and the next one, if they make a list."""
    between = _TEX_SPACE.sub(" ", between)
    if not _NO_END.fullmatch(between):
        return None
    listed = _LIST.fullmatch(" ".join(_MARKUP.sub(" ", between).replace(",", " , ").split()) + " ")
    if listed is None:
        return None
    before, unit, clause = text[max(0, box.start - 200) : box.start], listed["unit"], listed["clause"]
    is_announced = _ANNOUNCED.search(before) is not None
    is_unit = not unit.strip() or names_unit(unit)
    if not is_unit or _NO_LIST.search(_BEING.sub("", unit) if is_announced else unit):
        return None
    is_list = clause is None or is_announced or _is_parallel(before + unit, clause)
    return listed if is_list and not _SAID_OF_ALL.search(clause or "") else None


def _is_parallel(before: str, clause: str) -> bool:
    """True where `clause` says the same of another thing: it shares a noun with the sentence in front of it."""
    nouns = {*_NOUN.findall(clause.lower())} - _PLAIN_WORDS
    sentence = re.split(r"[.;!?]\s|\n\s*\n", before.lower())[-1]
    return not nouns.isdisjoint(_NOUN.findall(sentence))


# --- what stands around a box ---

_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot be|rather than|instead of)|n['’]t|≠|\\neq?)\s{0,3}"
    rf"(?:be\s|equal(?:\sto)?\s|the\sanswer\s)?[\s$*]{{0,9}}{MATH_OPENS}(?:[A-Za-z]\s?=\s?)?\Z",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"\b(?:otherwise|or else),?\s(?:it(?:'s|\sis)\s|(?:the\s)?answer\sis\s|we\s(?:get|have|obtain)\s)?"
    rf"[\s$*]{{0,9}}{MATH_OPENS}\Z|(?:=|\$|\\[(\[])\s?[-−]\s?\Z",
    re.IGNORECASE,
)
"""Another case (`otherwise \\boxed{8}`), or a minus sign in front of the box."""


def _is_denied(text: str, box: Statement) -> bool:
    return _DENIED.search(text[max(0, box.start - 60) : box.start]) is not None


def _limited(text: str, last: Statement, first: Statement) -> Statement:
    """`first`, unreadable where the words around the last box make something else of it."""
    before = text[max(0, last.start - 60) : last.start]
    is_other = makes_other_of_box(text[last.end : last.end + 100]) or _OTHERWISE.search(before)
    return replace(first, is_limited=True) if is_other else first
