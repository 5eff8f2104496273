r"""Commas in an answer, and the spaces that stand for them: `1,234` is one number, `1, 2` and `(1,234)` are lists.

`join_thousands` makes `1234` of `1,234`, `1{,}234`, `1\,234` and `1~234` before anything else reads the number.
A comma that is left then separates the parts of a list, and a part of a list is never taken for all of it (`is_list`).
"""

import re

_SEPARATOR = r"(?:\{,\}(?:\\!)?|,(?:\\!)?|\\[,;: ]|~)"
_THOUSANDS = re.compile(rf"(?<![0-9.,])[1-9][0-9]{{0,2}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])")
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,] )(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9]| [0-9])")
_LIST = re.compile(r'[,;<>]|\\[lg]eq?\b|\\neq?\b|"[^"]*(?:\b(?:and|or)\b|[或和与])[^"]*"')


def join_thousands(text: str) -> str:
    """`text` with the groups of its numbers joined."""
    return _THOUSANDS.sub(_joined, text)


def join_spaced_thousands(text: str) -> str:
    """The same for groups with spaces between them, as sentences have them: `1 234`."""
    return _SPACED_THOUSANDS.sub(_joined, text)


def _joined(number: re.Match[str]) -> str:
    """The digits of `number`; a plain comma within brackets separates coordinates, not thousands."""
    before = number.string[: number.start()]
    num_open = sum(map(before.count, ("(", "[", r"\{"))) - sum(map(before.count, (")", "]", r"\}")))
    if num_open > 0 and re.search(r"[0-9],", number[0]):
        return number[0]
    return re.sub(r"[^0-9]", "", number[0])


def is_list(side: str) -> bool:
    """True where `side`, without the arguments of its functions, lists or compares values."""
    return _LIST.search(side) is not None
