r"""Words that limit a number to a case or to another base: such a number isn't read as an answer.

`5 for n = 2`, `7 if n is odd and 8 otherwise` and `42 for even n` hold in a case, and the reader doesn't know which
case was asked for. `101 (in base 2)` and `101 (binary)` are written in another base than ten.
Words that hold always (`42 for all n`), for a person or a thing (`52 for both`), or that give a reason
(`42, since n = 6`) limit nothing.
"""

import re

from numina_infer.answers.latex import command
from numina_infer.answers.units import OTHER_BASE

_RELATION = rf"(?:[=＝<>≤≥≠∈≡]|{command('leq?|geq?|neq?|in|equiv|to|rightarrow|l?t|gt')}|->|→)"
_NEAR = r"(?:[^.;!?\n]|\.(?=[0-9])){0,80}?"
"""What may stand in between within the same sentence."""
_KIND = r"(?:odd|even|prime|composite|positive|negative|large|small|sufficiently|non-?zero|real|integral|integer)"
_VARIABLE = r"[\s$\\(,{\"]{1,9}(?!(?:a|I)\b)[A-Za-z](?![A-Za-z'’])"
"""`for n`, `(where $k$)`; «a» and «I» are words."""

_IF = (
    r"\b(?:iff?|unless|otherwise|whenever|provided|providing|assuming|depend(?:ing|s)|supposing|subject to|such that"
    r"|in (?:the |that )?case|as long as|only when|given that|conditional(?:ly)?|(?-i:si|sofern|falls|wenn))\b"
    r"|\bs\.\s?t\.|если|如果|假如|倘若|若|否则|否則|当|當"
)
_FOR = r"\b(?:for|where|with|when|while|at|as|under|given|taking|setting|letting|pour|para|für|при|для)\b|其中"
_FEW_WORDS = r"(?:\s(?!all\b|every\b|each\b|any\b)[a-z-]{1,20}){0,2}"
_NAME = r"(?<![A-Za-z\\])[A-Za-z](?:[_'(][^\s=<>]{0,12})?[\s$)}]{0,3}"
_ASSIGNMENT = re.compile(rf"(?:{_FOR}){_NEAR}{_RELATION}", re.IGNORECASE)
"""`with n = 5`, `at $x = 3$`."""
_CONDITION = re.compile(
    rf"{_IF}"
    rf"|(?:{_FOR}){_NEAR}{_NAME}{_RELATION}"
    rf"|\b(?:for|where|when|while)\b{_FEW_WORDS}[\s$]{{1,3}}{_KIND}\b"
    r"|\b(?:for|when)\s(?:all|every|each|any)\s(?:odd|even|prime|composite)\b"
    r"|(?<![A-Za-z\\])[b-z][\s$)}]{1,3}(?:is\s|are\s)?(?:odd|even|prime|composite|positive|negative)\b"
    rf"|\b(?:for|where|when|while|with|at|given)\b{_FEW_WORDS}{_VARIABLE}",
    re.IGNORECASE,
)
_DIGIT_NAMES = (
    r"two|three|four|five|six|seven|eight|nine|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty|thirty"
    r"|sixty"
)
_OTHER_BASE = re.compile(
    rf"\b(?:base|radix)[\s~$\\({{\"-]{{0,9}}(?!10(?![0-9]))(?:[0-9]|(?:{_DIGIT_NAMES})\b|[a-z](?![a-z]))"
    rf"|\b{OTHER_BASE}|[二三四五六七八九]进制|(?<![0-9])(?!10进)[0-9]{{1,2}}\s?进制",
    re.IGNORECASE,
)


def is_limited(expression: str) -> bool:
    """True where `expression` limits a number that stands in it to a case or to another base."""
    number = re.search(r"\d[\d,.]*", expression)
    return _CONDITION.search(expression) is not None or (number is not None and limits(expression[number.end() :]))


def limits(rest: str) -> bool:
    """True where `rest` limits the number that stands in front of it."""
    return bool(_CONDITION.search(rest) or _ASSIGNMENT.search(rest)) or names_other_base(rest)


def names_other_base(text: str) -> bool:
    """True where `text` says that the number in front of it, or one behind, isn't written in base ten."""
    base = _OTHER_BASE.search(text)
    return base is not None and re.search(r"\d", text[: base.start()]) is None
