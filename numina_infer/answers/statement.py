"""A place where a text says what the answer is, and the search for such places.

`str.rfind` finds them, from the end, and a bounded number of them is looked at: the time is linear in the text.
The model doesn't say what stands in a ```python or ```output block.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from numina_infer.answers.expression import read_integer
from numina_infer.core.records import AnswerSource, NoAnswer

MAX_PLACES = 64
"""How many boxes, and how many places where an answer may be announced, are looked at from the end."""
PROGRAM = re.compile(r"```[ \t]{0,9}(?:python3?|py|sage|output)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One place of a text, where it says the answer."""

    raw: str
    source: AnswerSource
    start: int
    end: int
    is_prose: bool = False
    is_limited: bool = False
    """True where the words around the number make another one of it, or limit it to a case."""

    @property
    def integer(self) -> int | NoAnswer:
        """The stated integer, or why there is none."""
        return NoAnswer.UNREADABLE if self.is_limited else read_integer(self.raw, prose=self.is_prose)

    def in_text(self, text: str) -> str:
        """The place as it is in `text`: `raw` of a prose statement lacks bold and italics."""
        return text[self.start : self.end] if self.is_prose else self.raw


def places(text: str, marks: tuple[str, ...]) -> Iterator[int]:
    """The places of `marks` outside programs and their outputs, from the end, `MAX_PLACES` at most."""
    # Python finds a missing letter several times faster than a missing word.
    possible = [mark for mark in marks if all(letter in text for letter in mark)]
    found = {mark: text.rfind(mark) for mark in possible if mark in text}
    fence = len(text)
    for _ in range(MAX_PLACES):
        place = max(found.values(), default=-1)
        if place < 0:
            return
        if place < fence:
            fence = text.rfind("```", 0, place)
        is_program = fence >= 0 and PROGRAM.match(text, fence)
        if not is_program:
            yield place
        end = fence if is_program else place
        # A mark that was found before `end` is still the last one before it: no character is searched twice.
        found = {mark: at if at < end else text.rfind(mark, 0, end) for mark, at in found.items()}
