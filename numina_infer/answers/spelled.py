r"""Numbers in words, where a text says a number twice: `7 \text{ (seven)}`, `42 (forty-two)`."""

import re

_TO_NINETEEN = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen",
)
_TENS = re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety")
_NAMES = [*_TO_NINETEEN, *(ten + one for ten in _TENS for one in ("", *(f"-{word}" for word in _TO_NINETEEN[1:10])))]

SPELLED = re.compile(
    r'(?<![0-9.,^_/])([0-9]{1,2})(?![0-9])[\s"]{0,5}\(\s?"?([A-Za-z]{3,9}(?:[- ][a-z]{3,5})?)"?\s?\)"?'
)
"""A number below 100, and a word or two in brackets behind it."""


def number_once(match: re.Match[str]) -> str:
    """The number alone, where the words are its name; all of `match` otherwise."""
    is_name = _NAMES[int(match[1])] == match[2].lower().replace(" ", "-")
    return match[1] if is_name else match[0]
