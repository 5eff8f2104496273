r"""From a completion to the integer that it states, or the reason why there is none.

The idea is the notebook's of NuminaMath (`\boxed`, else «the answer is»), without its window of 100 characters, its
rounding and its sentinels. Where the text is ambiguous the rules below were chosen on recorded transcripts
(docs/experiments.md); none of them votes for a number that the text doesn't state.

1. The last box with something in it counts: `\boxed{52}`, `\fbox{52}`, `\boxed 52`, or one that is never closed.
   An empty `\boxed{}` only talks about boxes.
2. It counts even if it can't be read: an earlier box is what the text has left behind, not what it says in the end.
3. Boxes that one sentence joins by «and» (`\boxed{59} inches and \boxed{118} inches`) are parts of one answer;
   the first of them counts, being what was asked for first. A list in one box is no integer.
4. Without a box it is the last «the answer is», «Answer:» or `<answer>` that something with a digit follows.
5. A text that is nothing but an integer states it. The last number of any other text isn't its answer.
6. What stands in a ```python or ```output block isn't said by the model: neither hides nor makes an answer.
7. In a text that a limit cut off, a number must be seen to end: by its brace, its delimiter, its line or sentence.
   If it isn't, the text has no vote (`CUT_OFF`), except where an earlier closed box begins with what is left of the
   last one: then the earlier one is being said again, and counts.

The time is linear in the text, and small: places are found by `str.rfind` and looked at a bounded number of times.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from numina_infer.expression import MAX_LENGTH, read_integer
from numina_infer.trajectory import AnswerRange, AnswerSource, ExtractedAnswer, NoAnswer

__all__ = ["AnswerRange", "AnswerSource", "ExtractedAnswer", "NoAnswer", "extract_answer", "read_integer"]

MAX_PLACES = 64
"""Boxes, and places where an answer may be announced, that are looked at, from the end."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """A place where the text says what the answer is."""

    raw: str
    source: AnswerSource
    start: int
    end: int
    is_ended: bool
    """True where more text couldn't add to the number."""
    is_prose: bool = False

    @property
    def integer(self) -> int | NoAnswer:
        return read_integer(self.raw, prose=self.is_prose)


def extract_answer(text: str, answer_range: AnswerRange, *, complete: bool = True) -> ExtractedAnswer:
    r"""The vote of `text`, within `answer_range`, or the reason why it has none; never raises.

    `complete` is False for a text that a limit cut off (tokens, cutoff), whose last number may be half a number.
    """
    answer_range = AnswerRange(answer_range)
    statement = _final_statement(text, complete)
    if statement is None:
        return ExtractedAnswer(None, NoAnswer.NOT_STATED)
    integer = statement.integer if complete or statement.is_ended else NoAnswer.CUT_OFF
    vote = answer_range.place(integer) if isinstance(integer, int) else integer
    if isinstance(vote, NoAnswer):
        return ExtractedAnswer(None, vote, statement.source, statement.raw)
    return ExtractedAnswer(vote, None, statement.source, statement.raw)


def _final_statement(text: str, complete: bool) -> _Statement | None:
    boxes = _boxes(text)
    last = next(boxes, None)
    if last is None:
        return next(_sentences(text), None) or _bare_number(text)
    if complete or last.is_ended:
        return _first_of_joined(text, last, boxes)
    earlier = next(boxes, None)
    is_repetition = earlier is not None and earlier.is_ended and earlier.raw.strip().startswith(last.raw.strip())
    return earlier if is_repetition else last


# --- boxes ---

_BLANK = re.compile(r"[\s{}.…$]*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPENED = re.compile(r"\s{0,9}\{")
_UNBRACED = re.compile(r"\s{0,9}((?:\\?\$)?\s?-?[0-9][0-9,]{0,999}(?:\.[0-9]{1,999})?)")
_BROKEN_OFF = re.compile(r"\n|(?<!\\)\$|\\[)\]]")
_JOINED = re.compile(r"(?:[^.;!?]|\.(?=[0-9])){0,200}\band\b(?:[^.;!?]|\.(?=[0-9])){0,200}")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|then|giving|gives|wait|actually|but|which|answer|sum|total|product|difference)\b|\+"
)


def _boxes(text: str) -> Iterator[_Statement]:
    """The boxes of `text` that hold something, from the last to the first."""
    for start in _places(text, (r"\boxed", r"\fbox")):
        box = _box_at(text, start + len(r"\boxed") - (text[start + 1] == "f"))
        if box is not None and not _BLANK.fullmatch(box.raw):
            yield box


def _box_at(text: str, at: int) -> _Statement | None:
    opened = _OPENED.match(text, at)
    if opened:
        return _braced(text, opened.end())
    unbraced = _UNBRACED.match(text, at)
    if not unbraced:
        return None
    is_ended = not re.fullmatch(r"\.?", text[unbraced.end() : unbraced.end() + 2])
    return _Statement(unbraced[1], AnswerSource.BOXED, at, unbraced.end(), is_ended)


def _braced(text: str, start: int) -> _Statement:
    depth = 1
    for match in _BRACE.finditer(text, start, start + MAX_LENGTH + 1):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return _Statement(text[start : match.start()], AnswerSource.BOXED, start, match.end(), is_ended=True)
    rest = text[start : start + MAX_LENGTH + 1]
    broken_off = _BROKEN_OFF.search(rest)
    raw = rest[: broken_off.start()] if broken_off else rest
    return _Statement(raw, AnswerSource.UNCLOSED_BOX, start, start + len(raw), is_ended=broken_off is not None)


def _first_of_joined(text: str, last: _Statement, boxes: Iterator[_Statement]) -> _Statement:
    """The first of the boxes that «and» joins to `last`."""
    first = last
    for box in boxes:
        between = text[box.end : first.start] if first.start - box.end < 400 else ""
        if not _JOINED.fullmatch(between) or _CONCLUDES.search(between):
            break
        first = box
    return first


# --- sentences ---

_ANNOUNCED = re.compile(
    r"answer(?:\s{1,9}(?:to|for|of)\b[^.:\n]{0,80}?)?[\s*_]{0,9}"
    r"(?:(?:is|are|was|equals|(?:will|would|should|must)\s{1,9}be)\b"
    r"(?:\s{1,9}(?:then|thus|therefore|simply|exactly|given by|equal to))?\s{0,9}[,:]?|[:=])[\s*_]{0,9}",
    re.IGNORECASE,
)
_TAG = re.compile(r"answer>([^<]{0,1001})(<?)", re.IGNORECASE)
_DELIMITED = re.compile(r"(\${1,2})([^$\n]{1,1001})\1(?![0-9])|\\\((.{1,1001}?)\\\)|\\\[(.{1,1001}?)\\\]", re.DOTALL)
_CLAUSE = re.compile(
    r"[.!?](?=\s|$)|[.!?]?\*\*|\n|;|,\s{1,9}(?!and\b|or\b)(?=[A-Za-z])|\s\((?!mod)(?=[A-Za-z])"
    r"|\s(?:because|since|as|which|where|so|when|if|for|provided|assuming)\s"
)
_OTHER_VALUE = re.compile(
    r"[\s,]{0,9}(?:or|and)\s{1,9}(?:[0-9$-]|\\\(|\\\[)"
    r"|\s{0,9}(?:(?:hundred|thousand|million|billion|trillion|lakh|crore|dozen|score|gross|halves|thirds|quarters"
    r"|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|hundredths|thousandths)\b|in binary\b|in base\b)"
)


def _sentences(text: str) -> Iterator[_Statement]:
    """The announced answers with a digit in them, from the last to the first."""
    for start in _places(text, ("answer", "Answer", "ANSWER")):
        statement = _tagged(text, start) if text[start - 1 : start] == "<" else _announced(text, start)
        if statement is not None and re.search(r"[0-9]", statement.raw):
            yield statement


def _tagged(text: str, start: int) -> _Statement | None:
    tag = _TAG.match(text, start)
    if tag is None:
        return None
    return _Statement(tag[1], AnswerSource.SENTENCE, tag.start(1), tag.end(1), is_ended=bool(tag[2]))


def _announced(text: str, start: int) -> _Statement | None:
    announced = _ANNOUNCED.match(text, start)
    if announced is None:
        return None
    at = announced.end()
    delimited = _DELIMITED.match(text, at)
    if delimited and not _OTHER_VALUE.match(text, delimited.end()):
        raw = delimited[2] or delimited[3] or delimited[4]
        return _Statement(raw, AnswerSource.SENTENCE, at, delimited.end(), is_ended=True)
    return _clause(text, at)


def _clause(text: str, at: int) -> _Statement:
    """What stands between `at` and the end of the clause."""
    rest = text[at : at + MAX_LENGTH + 1]
    end = _CLAUSE.search(rest)
    raw = rest[: end.start()] if end else rest
    is_ended = end is not None and at + end.end() < len(text)
    return _Statement(raw, AnswerSource.SENTENCE, at, at + len(raw), is_ended, is_prose=True)


def _bare_number(text: str) -> _Statement | None:
    if len(text) > 99 or not re.fullmatch(r"\s*[-$]?[0-9][0-9,]*(?:\.[0-9]+)?\.?\s*", text):
        return None
    return _Statement(text.strip().rstrip("."), AnswerSource.SENTENCE, 0, len(text), is_ended=text[-1:] == "\n")


# --- places ---

_PROGRAM = re.compile(r"```[ \t]{0,9}(?:python3?|py|sage|output)\b", re.IGNORECASE)


def _places(text: str, marks: tuple[str, ...]) -> Iterator[int]:
    """Where one of `marks` stands outside programs and their outputs, from the end, `MAX_PLACES` at most."""
    # That a letter is missing is found out several times faster than that a word is.
    possible = [mark for mark in marks if all(letter in text for letter in mark)]
    places = {mark: text.rfind(mark) for mark in possible if mark in text}
    fence = len(text)
    for _ in range(MAX_PLACES):
        place = max(places.values(), default=-1)
        if place < 0:
            return
        if place < fence:
            fence = text.rfind("```", 0, place)
        end = place
        if fence >= 0 and _PROGRAM.match(text, fence):
            end = fence
        else:
            yield place
        # A mark that was found further in front is still the last before `end`: no character is searched twice.
        places = {mark: at if at < end else text.rfind(mark, 0, end) for mark, at in places.items()}
