r"""Reads an expression, the text in a box or behind «the answer is», as an integer.

`typography.plain` cleans it, this module judges its equals signs and other relations, and `arithmetic.py` computes
one side. The forms are those that graders such as hendrycks/math, Qwen2.5-Math and math-verify normalise, and those
that recorded transcripts hold (docs/experiments.md).

An expression is one number with a label in front and a unit behind (`units.py`); a percentage counts as its number of
percent, as in the references of the data.
An equation counts as its last side, and every other side that has a value must have the same one.
A list, a pair, an inequality or an algebraic term is no number: a part of it is never taken for all.
A value that is limited to a case or to another base (`5 \text{ for } n = 2`, `101_2`; `units.py`) is no number
either. Where words or signs other than arithmetic stand in front of a name that gets a value (`42 \text{ since }
n = 5`, `k \mid n = 6`), the value is that name's, not the expression's.
A denied relation (`\not=`, `!=`, `\text{wrong: } 6`) states nothing.
`\approx 42` and `x \approx 42` state the integer; `41.8 \approx 42` and `\pi^3 \approx 31` are rounded, so they don't.
"""

import re
from fractions import Fraction

from numina_infer.answers.arithmetic import ExpressionReader
from numina_infer.answers.exact import NoNumberError, expect
from numina_infer.answers.typography import command, is_list, plain
from numina_infer.answers.units import LABEL, is_limited, without_names
from numina_infer.core.records import NoAnswer

MAX_LENGTH = 1_000
"""Characters of an expression; a longer one is `TOO_LARGE`."""

_UNREADABLE = re.compile(
    r"[0-9}]\s*(?:--+|[\u2013\u2014])\s*[0-9{\\]"  # `10--20` and `10–20` say from to, not minus
    r"|\\not(?![A-Za-z])|(?<![0-9)}\]!\\])!(?:\\!)*=|=\s?/\s?=|(?<![0-9])/=|\\&|≢|≉|≄|\\n(?:cong|sim)(?![A-Za-z])|<>"
    r"|\b(?:wrong|false|incorrect|not|invalid|rejected)(?:\s(?:answer|value|result|guess))?\s?(?:[:=]|is\b)"
    r"|\b(?:is|are|was)\s(?:wrong|false|incorrect|not|invalid|impossible)\b",
    re.IGNORECASE,
)
"""A range, a negated relation, an alignment that isn't one, or words that deny it."""
_ASIDE = re.compile(r"[0-9]\s+\([0-9.]+\)$")
"""A sentence that says `7 (8)` multiplies nothing."""
_ALWAYS = re.compile(r',?\s*"for (?:all|every|each|any)[^"]*"(?:\s*[A-Za-z](?![A-Za-z]))?(?:\s*"[^"]*")?$')
"""`for all n` behind a value limits nothing."""
_ROUGH = re.compile(rf"{command('sim|cong|doteq')}|(?<!\\)\b(?:approximately|approx|about|roughly|nearly|almost)\b")
_ROUGHLY = re.compile(r"[\s$*]{0,9}[~∼～]")
"""In LaTeX `~` is a space."""
_APPROXIMATE = re.compile(command("approx|approxeq|simeq"))
_MODULUS = re.compile(
    r'(?:\\pmod\s*(?:\{[^{}]*\}|[0-9]+|[a-z])|"?\(\s*"?\s*(?:mod|\\b?mod|modulo)\s*"?\s*[0-9a-z]{1,20}\s*\))[\s.]*$'
)
r"""`\pmod{7}`, `(mod 7)` at the end."""
_COMPUTES = re.compile(rf"[0-9]|{command('pi|sqrt|frac|l[no]g?')}|π")
"""A digit or a function, so that the side is more than a name."""

_RELATION = re.compile(rf'"(?!is")[^"]*"|(=|:|{command("equiv|approx|approxeq|simeq|[lg]eq?")}|"is")')
_BAR = re.compile(r"\||\\vert(?![A-Za-z])")
_ARGUMENTS = re.compile(r"\([^()]*\)|\\(?:min|max|gcd|lcm|inf|sup)\s?\\\{[^{}]*\\\}|_\{[^{}]*\}")
_ARGUMENTS_OF_NAMES = re.compile(r"(?<=[A-Za-z0-9}\]'])\s?\([^()]*\)|_\{[^{}]*\}")
_QUOTED = re.compile(r'"\s*(?:(?P<unit>(?:th|st|[nr]d|mod)\b)?[^"]*?(?P<name>(?<![A-Za-z])[A-Za-z])?)\s*"')
_BETWEEN_TWO = re.compile(
    r"[0-9A-Za-z)}\]!|'’]\s{0,3}§[\s§(|{\[]{0,6}(?:[A-Za-z0-9]|\\\{|\\(?!cdot|times|div|q?quad)[A-Za-z])"
    r"|(?:[0-9)}\]!|]|(?<![A-Za-z\\])[A-Za-z])\s{1,3}(?!mod)[a-z]{2,20}[\s({|]{1,4}\\?[A-Za-z0-9]"
)
"""A value, words (`§`) and a name: the relation behind is the name's (`42 "since" n = 5`, `k "once" n = 5`)."""
_OTHER_COMMAND = re.compile(
    r"\\(?!(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma"
    r"|tau|upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|ell|hbar|Re|Im"
    r"|cdot|times|div|ast|pm|mp|frac|dfrac|tfrac|cfrac|binom|dbinom|tbinom|sqrt|sum|prod|int|min|max|inf|sup|lim|gcd"
    r"|lcm|log|ln|lg|exp|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|det|dim|deg|Pr|bmod|mod|pmod|cup|cap|bigcup"
    r"|bigcap|setminus|overline|underline|overrightarrow|overleftarrow|widehat|widetilde|hat|bar|vec|tilde|dot|ddot"
    r"|overset|underset|angle|measuredangle|triangle|square|odot|circ|degree|perp|parallel|prime|star|ldots|cdots|dots"
    r"|dotsc|dotsb|lfloor|rfloor|lceil|rceil|floor|ceil|lvert|rvert|vert|lVert|rVert|Vert|langle|rangle|left|right"
    r"|mathbb|mathcal|equiv|over|choose|therefore|operatorname|text|textbf|mathrm|emptyset|varnothing|infty|partial"
    r"|nabla|limits|stackrel|substack)(?![A-Za-z]))[A-Za-z]"
)
"""A command that neither computes nor names: it may join two statements in front of an equals sign."""


def read_integer(expression: str, *, prose: bool = False) -> int | NoAnswer:
    r"""The integer that `expression` is exactly, or why it is none; never raises, never rounds.

    `52.0`, `1{,}234`, `\frac{104}{2}`, `2^{10}` and `x = 52` are integers, `3.5` isn't.
    With `prose` the expression comes from a sentence, so that any word behind the number is a unit.
    """
    if re.fullmatch(r"\s{0,99}-?[0-9]{1,18}\s{0,99}", expression):
        return int(expression.strip())  # more counts as a space there than `int` takes
    try:
        number = _read(expression, prose)
    except NoNumberError as error:
        return error.reason
    return number.numerator if number.denominator == 1 else NoAnswer.NOT_AN_INTEGER


def _read(expression: str, prose: bool) -> Fraction:
    expect(len(expression.strip()) <= MAX_LENGTH, NoAnswer.TOO_LARGE)
    is_unclear = ".." in expression or _UNREADABLE.search(expression) or is_limited(expression)
    expect(not is_unclear, NoAnswer.UNREADABLE)
    text = without_names(plain(expression, prose=prose))
    expect(not (_relates_another(text) or (prose and _ASIDE.search(text))), NoAnswer.UNREADABLE)
    expect(not (_ROUGH.search(text) or (prose and _ROUGHLY.match(expression))), NoAnswer.NOT_AN_INTEGER)
    text, num_moduli = _MODULUS.subn("", _ALWAYS.sub("", text))
    if _APPROXIMATE.search(text):
        return _approximated(*_APPROXIMATE.split(text, maxsplit=1))
    *congruent, last = text.split(r"\equiv")
    expect(not any(map(_states_more, congruent)), NoAnswer.UNREADABLE)
    return _equation(_sides(last), must_agree=num_moduli == 0 and not congruent)


# --- equations ---


def _sides(text: str) -> list[str]:
    """The sides of the equals signs that are in no bracket."""
    sides, start, depth = [], 0, 0
    for match in re.finditer(r"[({\[=)}\]]", text):
        if match[0] != "=":
            depth += 1 if match[0] in "({[" else -1
        elif depth == 0:
            sides.append(text[start : match.start()])
            start = match.end()
    return [*sides, text[start:]]


def _equation(sides: list[str], *, must_agree: bool) -> Fraction:
    """The value of the last side, or of the one before it where the last is a mere name (`52 = m+n`)."""
    *others, last = sides
    if others and not re.search(r"[0-9]", last):
        *others, last = [*others[:-1], last, others[-1]]
    reader = ExpressionReader(last)
    number = reader.number()
    expect(reader.has_only_unit_left and not any(map(_states_more, others)), NoAnswer.UNREADABLE)
    contradictions = (_contradicts(other, number, position > 0) for position, other in enumerate(others))
    expect(not (must_agree and any(contradictions)), NoAnswer.UNREADABLE)
    return number


def _approximated(exact: str, rounded: str) -> Fraction:
    """The integer `rounded`, where it approximates a mere name or itself."""
    number = _equation(_sides(rounded), must_agree=True)
    expect(not any(map(_states_more, _sides(exact))), NoAnswer.UNREADABLE)
    is_integer = number.denominator == 1 and not re.search(r"[.][0-9]|[0-9][eE]|\\approx", rounded)
    computed = [side for side in _sides(exact) if _COMPUTES.search(_ARGUMENTS.sub("", side))]
    expect(is_integer and all(_value(side) == number for side in computed), NoAnswer.NOT_AN_INTEGER)
    return number


def _value(side: str) -> Fraction | NoAnswer | None:
    """The value of `side`, or why it has none; None where something other than a unit goes on behind a value."""
    reader = ExpressionReader(side)
    try:
        number = reader.number()
    except NoNumberError as error:
        return error.reason
    return number if reader.has_only_unit_left else None


def _contradicts(side: str, number: Fraction, is_between: bool) -> bool:
    """True where `side` has another value; between two equals signs also where it goes on behind one (`3 y`)."""
    value = _value(side)
    if value is None:
        return is_between or number == 0  # 5x - 7y = 0 asks for x and y, it states no 0
    return value is NoAnswer.NOT_AN_INTEGER if isinstance(value, NoAnswer) else value != number


# --- more than one statement ---


def _states_more(side: str) -> bool:
    """True where `side` is more than one value or name, so that the equation is a list."""
    flat = _ARGUMENTS.sub("", side)
    bare = _unlabelled(flat)
    return (
        is_list(flat)
        or _stands_between_two(side)
        or re.search(r"[:@&]", bare) is not None
        or len(_BAR.findall(bare)) % 2 == 1
        or _OTHER_COMMAND.search(bare) is not None
    )


def _relates_another(text: str) -> bool:
    """True where a relation gives a value to another name, behind words."""
    ends = [match.start() for match in _RELATION.finditer(text) if match[1]]
    return any(_stands_between_two(text[:end]) for end in ends[:9])


def _stands_between_two(text: str) -> bool:
    """True where words stand between a value or a name and the name that `text` ends with."""
    return _BETWEEN_TWO.search(_QUOTED.sub(_as_mark, _unlabelled(_ARGUMENTS_OF_NAMES.sub("", text)))) is not None


def _as_mark(quoted: re.Match[str]) -> str:
    """`§` for words, with the name that they end in; a lone name is itself, and an ordinal's ending is no word."""
    if quoted["unit"]:
        return " "
    return ("§" if quoted[0].strip('" ') != quoted["name"] else "") + (quoted["name"] or "")


def _unlabelled(text: str) -> str:
    """`text` without the label in front; a single letter with a colon isn't one."""
    label = LABEL.match(text)
    return text[label.end() :] if label and re.search(r'"|[A-Za-z]{2}', label[0]) else text
