"""A place where a text says what the answer is, and where to look for such places.

Places are found by `str.rfind`, from the end, and a bounded number of them is looked at: the time is linear in the
text.
What stands in a ```python or ```output block isn't said by the model.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from numina_infer.answers.expression import read_integer
from numina_infer.core.records import AnswerSource, NoAnswer

MAX_PLACES = 64
"""Boxes, and places where an answer may be announced, that are looked at, from the end."""
PROGRAM = re.compile(r"```[ \t]{0,9}(?:python3?|py|sage|output)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """What the text says the answer is."""

    raw: str
    source: AnswerSource
    start: int
    end: int
    is_prose: bool = False
    is_limited: bool = False
    """True where what stands around it makes it another number, or lets it hold in a case only."""

    @property
    def integer(self) -> int | NoAnswer:
        """The integer that is stated, or why it is none."""
        return NoAnswer.UNREADABLE if self.is_limited else read_integer(self.raw, prose=self.is_prose)

    def in_text(self, text: str) -> str:
        """What `text`, which makes the statement, has in its place: prose is read without its bold and italics."""
        return text[self.start : self.end] if self.is_prose else self.raw


def places(text: str, marks: tuple[str, ...]) -> Iterator[int]:
    """Where one of `marks` stands outside programs and their outputs, from the end, `MAX_PLACES` at most."""
    # That a letter is missing is found out several times faster than that a word is.
    possible = [mark for mark in marks if all(letter in text for letter in mark)]
    found = {mark: text.rfind(mark) for mark in possible if mark in text}
    fence = len(text)
    for _ in range(MAX_PLACES):
        place = max(found.values(), default=-1)
        if place < 0:
            return
        if place < fence:
            fence = text.rfind("```", 0, place)
        end = place
        if fence >= 0 and PROGRAM.match(text, fence):
            end = fence
        else:
            yield place
        # A mark that was found further in front is still the last before `end`: no character is searched twice.
        found = {mark: at if at < end else text.rfind(mark, 0, end) for mark, at in found.items()}
