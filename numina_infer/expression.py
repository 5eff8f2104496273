r"""What stands in a box or behind «the answer is», read as an integer.

Typography goes first (`1{,}234`, `\left(`, `\displaystyle`, `$`), then the equation is judged, then `arithmetic`
reads one side of it.
The forms are those that graders such as hendrycks/math, Qwen2.5-Math and math-verify normalise, and those that
recorded transcripts hold (docs/experiments.md).

An expression is one number with what may stand around it: a label in front (`x =`, `\text{(A) }`), a unit behind
(`\text{ cm}^2`, `^\circ`, `\%`: a percentage counts as the number of percent, as the references of the data do).
An equation counts as its last side, and every other side that has a value must have the same.
A list, a pair, an inequality, an approximation or an algebraic term is no number: half of it is never taken for all.
"""

import re
from fractions import Fraction

from numina_infer.arithmetic import NoNumberError, Reader
from numina_infer.trajectory import NoAnswer

MAX_LENGTH = 1_000
"""Characters of an expression; a longer one is `TOO_LARGE`."""


def read_integer(expression: str, *, prose: bool = False) -> int | NoAnswer:
    r"""The integer that `expression` is exactly, or why it is none; never raises, never rounds.

    `52.0`, `1{,}234`, `\frac{104}{2}`, `2^{10}` and `x = 52` are integers, `3.5` isn't.
    With `prose` the expression comes from a sentence, so that any word behind the number is a unit.
    """
    if re.fullmatch(r"\s{0,99}-?[0-9]{1,18}\s{0,99}", expression):
        return int(expression)
    try:
        number = _read(expression.strip(), prose)
    except NoNumberError as error:
        return error.reason
    return number.numerator if number.denominator == 1 else NoAnswer.NOT_AN_INTEGER


def _read(expression: str, prose: bool) -> Fraction:
    if len(expression) > MAX_LENGTH:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    if ".." in expression or _RANGE.search(expression):
        raise NoNumberError(NoAnswer.UNREADABLE)
    text = plain(expression)
    if prose:
        text = _quote_words(_SPACED.sub(_join_groups, text))
    if _APPROXIMATE.search(text):
        raise NoNumberError(NoAnswer.NOT_AN_INTEGER)
    text, num_moduli = _MODULUS.subn("", text)
    congruent = text.split(r"\equiv")
    return _equation(_sides(congruent[-1]), must_agree=num_moduli == 0 and len(congruent) == 1)


_RANGE = re.compile(r"[0-9}]\s*(?:--+|[\u2013\u2014])\s*[0-9{\\]")
"""`10--20` and `10–20` say from to, not minus."""
_CHARACTERS = str.maketrans(
    {
        "\u2212": "-",
        "\ufe63": "-",
        "\uff0d": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∙": r"\cdot ",
        "÷": "/",
        "∕": "/",
        "⁄": "/",
        "°": r"^\circ ",
        "²": "^{2}",
        "³": "^{3}",
        "≡": r"\equiv ",
        "≈": r"\approx ",
        "％": "%",
        "＝": "=",
        "\u00a0": r"\,",
        "\u2009": r"\,",
        "\u202f": r"\,",
        "£": " ",
        "€": " ",
        '"': " ",
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},  # full width
    }
)
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[A-Za-z$%,!;:{}()\[\]])")
_DELIMITER = re.compile(r"\\?\$|\\[()\[\]]")
_DECORATION = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|tiny|small|large|Large|LARGE|huge|Huge|boxed|fbox|math(?:bf|it|sf|tt|bb|cal)|boldsymbol|bm|pmb|bf|rm"
    r"|it|underline|ensuremath|(?:text)?color\s*\{[^{}]*\})(?![A-Za-z])"
)
_SEPARATOR = r"(?:\{,\}(?:\\!)?|,(?:\\!)?|\\[,;: ]|~)"
_GROUPED = re.compile(rf"(?<![0-9.,])[1-9][0-9]{{0,2}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])")
_SPACED = re.compile(r"(?<![0-9.,] )(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9]| [0-9])")
_OVER = re.compile(r"\{?\s*([0-9]+)\s*\\over(?![A-Za-z])\s*([0-9]+)\s*\}?")
_SPACE = re.compile(r"\\(?:[,;:! ]|q?quad(?![A-Za-z]))|~|\s+")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|up|normal)?|mathrm|mbox|hbox|emph|operatorname)\s*\{([^{}]*)\}")
_WORD = re.compile(r'"[^"]*"|(?<=[\s/(])[A-Za-z]{2,}|(?<=/)[A-Za-z]\b')
_APPROXIMATE = re.compile(
    r"\\(?:approx|simeq|sim|cong|doteq)(?![A-Za-z])|\b(?:approximately|approx|about|roughly|nearly|almost)\b"
)
_MODULUS = re.compile(
    r'(?:\\pmod\s*(?:\{[^{}]*\}|[0-9]+|[a-z])|"?\(\s*"?\s*(?:mod|\\b?mod|modulo)\s*"?\s*[0-9a-z]{1,20}\s*\))[\s.]*$'
)


def plain(expression: str) -> str:
    """`expression` without typography, for `arithmetic.Reader`; text stands in double quotes."""
    text = _DOUBLED_BACKSLASH.sub(r"\\", expression).translate(_CHARACTERS)
    text = _DELIMITER.sub(" ", text)
    text = _DECORATION.sub(" ", text)
    text = _GROUPED.sub(_join_groups, text)
    text = _SPACE.sub(" ", text)
    text = _OVER.sub(r"\\frac{\1}{\2}", text)
    text = _TEXT.sub(_quote, _TEXT.sub(_quote, text))  # text stands in text at most once
    return text.strip().rstrip(".,;: \\")


def _join_groups(match: re.Match[str]) -> str:
    """`1{,}234` as `1234`; a plain comma within brackets separates coordinates, not thousands."""
    before = match.string[: match.start()]
    num_open = sum(map(before.count, ("(", "[", r"\{"))) - sum(map(before.count, (")", "]", r"\}")))
    if num_open > 0 and re.search(r"[0-9],", match[0]):
        return match[0]
    return re.sub(r"[^0-9]", "", match[0])


def _quote(match: re.Match[str]) -> str:
    r"""`\text{ cm}` as `"cm"`; text that holds digits is read like a sentence."""
    content = match[1].replace('"', "").strip()
    return f" {_quote_words(' ' + content)} " if re.search(r"[0-9]", content) else f' "{content}" '


def _quote_words(text: str) -> str:
    return _WORD.sub(lambda match: match[0] if match[0][0] == '"' else f'"{match[0]}"', text)


def _sides(text: str) -> list[str]:
    """What stands between the equals signs that are in no bracket."""
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
    reader = Reader(last)
    number = reader.number()
    if not reader.has_only_unit_left:
        raise NoNumberError(NoAnswer.UNREADABLE)
    if any(_LISTED.search(_ARGUMENTS.sub("", other)) for other in others) or (
        must_agree and any(_contradicts(other, number, position > 0) for position, other in enumerate(others))
    ):
        raise NoNumberError(NoAnswer.UNREADABLE)
    return number


_LISTED = re.compile(r'[,;<>]|\\[lg]eq?\b|\\neq?\b|"(?:and|or)"')
_ARGUMENTS = re.compile(r"\([^()]*\)|_\{[^{}]*\}")


def _contradicts(side: str, number: Fraction, is_between: bool) -> bool:
    """True where `side` has another value; between two equals signs also where it goes on behind one (`3 y`)."""
    reader = Reader(side)
    try:
        value = reader.number()
    except NoNumberError as error:
        return error.reason is NoAnswer.NOT_AN_INTEGER
    if reader.has_only_unit_left:
        return value != number
    return is_between or number == 0  # 5x - 7y = 0 asks for x and y, it states no 0
