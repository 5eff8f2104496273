r"""Arithmetic expressions read as exact rational numbers, within bounds that nothing can hold up.

A recursive-descent parser of our own, since what it reads was written by a model: `eval`, sympy and `int()` on any
number of digits can each be kept busy for hours by a short text (`10^{10^{10}}`, `1000000!`).
It takes the LaTeX that `expression.plain` leaves: no typography, text in double quotes.

    side    = label? product ("mod" product | (± product)*) unit?
    product = signed ((· | /) signed | power)*
    power   = atom !* (^ exponent)?
    atom    = number | \frac | \binom | \sqrt | bracketed sum

Where a form is read both ways (`6/2(1+2)`, `3\frac{4}{2}`, `2^3!`) it has no value here.
Only rationals are held; an irrational root or π is taken as no integer.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction

from numina_infer.trajectory import NoAnswer

MAX_DIGITS = 600
"""Digits of one literal; Python's own limit for `int()` can be set as low as 640."""
MAX_BITS = 10_000
"""Of every numerator and denominator on the way: about 3,000 digits, enough for 1000!."""
MAX_DEPTH = 20
"""Brackets within brackets."""
MAX_RADICAND_BITS = 1024
"""Of what a root is taken: a thousand characters can ask for many, and each is found by bisection."""
MAX_ROOT = 100
"""Degree of a root."""


class NoNumberError(Exception):
    """The expression has no value that can be voted on, and why; `read_integer` turns it into its reason."""

    def __init__(self, reason: NoAnswer) -> None:
        super().__init__(reason.value)
        self.reason = reason


def _command(names: str) -> str:
    """A pattern for the LaTeX commands `names`, not followed by another letter."""
    return rf"\\(?:{names})(?![A-Za-z])"


_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,9})(?![0-9A-Za-z]))?")
_DIGIT = re.compile(r"[0-9]")
_SIGN = re.compile(r"[+-]")
_TIMES = re.compile(_command("cdot|times|ast") + r"|\*(?!\*)")
_DIVIDE = re.compile(_command("div") + "|/")
_POWER = re.compile(r"\^|\*\*")
_FACTORIAL = re.compile(r"!(?!!)")
_FRAC = re.compile(_command("[dtc]?frac"))
_BINOM = re.compile(_command("[dt]?binom"))
_CHOOSE = re.compile(_command("choose"))
_SQRT = re.compile(_command("sqrt"))
_PI = re.compile(_command("pi") + "|π")
_MOD = re.compile(_command("b?mod") + r'|"mod(?:ulo)?"|mod(?![A-Za-z])')
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|" + _command("degree|deg"))
_JUXTAPOSED = re.compile(r"\(|\\\{|" + _command("[dtc]?frac|[dt]?binom|sqrt|pi") + "|π")

_Function = Callable[[Fraction], Fraction]


def _itself(value: Fraction) -> Fraction:
    return value


def _floor(value: Fraction) -> Fraction:
    return Fraction(math.floor(value))


def _ceil(value: Fraction) -> Fraction:
    return Fraction(math.ceil(value))


_BRACKETS: dict[str, tuple[re.Pattern[str], _Function]] = {
    "(": (re.compile(r"\)"), _itself),
    "[": (re.compile(r"\]"), _itself),
    "{": (re.compile(r"\}"), _itself),
    r"\{": (re.compile(r"\\\}"), _itself),
    "|": (re.compile(r"\|"), abs),
    r"\lvert": (re.compile(r"\\rvert"), abs),
    r"\lfloor": (re.compile(r"\\rfloor"), _floor),
    r"\lceil": (re.compile(r"\\rceil"), _ceil),
}
_OPENING = re.compile(r"[(\[{|]|\\\{|" + _command("lvert|lfloor|lceil"))
_BRACE = re.compile(r"\{")
_SQUARE_BRACKET = re.compile(r"\[")

_LABEL = re.compile(
    r'"(?:[^"]*(?:[:=]|\bis)|\(?[A-Fa-f][).:]{1,2}|exactly|Rs\.?)"'  # "Answer:", "(A)"
    r'|\([A-F]\)|\{\s*\([A-F]\)\s*\}|[A-F][.)](?=\s)|[A-Za-z" ]{1,80}(?::|"is")'
)
_ORDINAL = re.compile(r'\^?\s*\{?\s*(?:"(?:th|st|[nr]d)"|(?:th|st|[nr]d)\b)\s*\}?')
_SHORT_UNIT = r"(?:cm|mm|km|kg|mg|ml|mL|ft|in|mi|lbs?|oz|min|sec|hrs?|mph|deg|sq|gal|men)\b"
_UNIT = re.compile(
    rf'(?:[\s./,;:()-]*+(?:"[^"]*+"|\\?%|(?<=\s)[A-Za-z]{{4,}}+|{_SHORT_UNIT})(?:\s?\^(?:\{{-?[0-9]\}}|-?[0-9]))?+)*+'
    r"[\s.,;:)]*+"
)
_NO_UNIT = re.compile(
    r"\b(?:or|to|than|more|less|fewer|over|times|plus|minus|mod|modulo|choose|factorial|squared|cubed|half|halves|thirds"
    r"|quarters|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|hundredths|thousandths|hundred|thousand|million"
    r"|billion|trillion|lakh|crore|dozen|score|gross|binary|octal|hexadecimal|base|not|if|pi|sqrt|sin|cos|tan|log"
    r"|e|i|k)\b"
)
r"""Words that make another number of the one before them, or none: `52 \text{ million}`, `3\text{i}`."""


class Reader:
    """Reads one side of an equation from left to right; every method moves on behind what it read.

    All of them raise `NoNumberError`.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def number(self) -> Fraction:
        """The number in front, behind a label if there is one."""
        self._accept(_LABEL)
        number = self._product()
        number = _modulo(number, self._product()) if self._accept(_MOD) else self._rest_of_sum(number)
        self._accept(_ORDINAL)
        return number

    @property
    def has_only_unit_left(self) -> bool:
        """True where nothing follows the number that was read, or a unit."""
        rest_is_unit = _UNIT.fullmatch(self._text, self._at) is not None
        return rest_is_unit and not _NO_UNIT.search(self._text, self._at)

    def _accept(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        while self._text[self._at : self._at + 1] == " ":
            self._at += 1
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _follows(self, pattern: re.Pattern[str]) -> bool:
        at = self._at
        found = self._accept(pattern) is not None
        self._at = at
        return found

    def _sum(self) -> Fraction:
        return self._rest_of_sum(self._product())

    def _rest_of_sum(self, total: Fraction) -> Fraction:
        while sign := self._accept(_SIGN):
            term = self._product()
            total = _bounded(total + term if sign[0] == "+" else total - term)
        return total

    def _product(self) -> Fraction:
        product = self._signed(self._power)
        divided = False
        while True:
            if self._accept(_TIMES):
                product = _bounded(product * self._signed(self._power))
            elif self._accept(_DIVIDE):
                product, divided = _quotient(product, self._signed(self._power)), True
            elif not divided and self._follows(_JUXTAPOSED):
                product = _bounded(product * self._power())
            else:
                return product

    def _signed(self, read: Callable[[], Fraction]) -> Fraction:
        sign = self._accept(_SIGN)
        value = read()
        return -value if sign and sign[0] == "-" else value

    def _power(self) -> Fraction:
        base = self._atom()
        while self._accept(_FACTORIAL):
            base = _factorial(base)
        self._accept(_DEGREE)
        if self._follows(_ORDINAL) or not self._accept(_POWER):
            return base
        return _power(base, self._signed(self._atom))

    def _atom(self) -> Fraction:
        if self._accept(_FRAC):
            return _quotient(self._argument(), self._argument())
        if self._accept(_BINOM):
            return _binomial(self._argument(), self._argument())
        if self._accept(_SQRT):
            return self._root()
        if self._accept(_PI):
            raise NoNumberError(NoAnswer.NOT_AN_INTEGER)
        if opening := self._accept(_OPENING):
            return self._bracketed(opening[0])
        return self._literal()

    def _literal(self) -> Fraction:
        match = self._accept(_NUMBER)
        if match is None or not (match[1] or match[2]):
            raise NoNumberError(NoAnswer.UNREADABLE)
        literal = _literal(match[1], match[2] or "", int(match[3] or 0))
        return self._mixed(literal) if self._follows(_FRAC) else literal

    def _mixed(self, whole: Fraction) -> Fraction:
        r"""`2\frac{1}{2}` is 2.5; nothing else of that shape has one reading."""
        self._accept(_FRAC)
        above, below = self._argument(), self._argument()
        if whole.denominator != 1 or not 0 < above < below:
            raise NoNumberError(NoAnswer.UNREADABLE)
        return _bounded(whole + above / below)

    def _argument(self) -> Fraction:
        r"""What TeX takes for an argument: a group, or a single digit (`\frac12`)."""
        if self._accept(_BRACE):
            return self._bracketed("{")
        digit = self._accept(_DIGIT)
        return Fraction(int(digit[0])) if digit else self._nested(self._atom)

    def _bracketed(self, opening: str) -> Fraction:
        closing, function = _BRACKETS[opening]
        value = self._nested(self._sum)
        if self._accept(_CHOOSE):
            value = _binomial(value, self._nested(self._sum))
        if not self._accept(closing):
            raise NoNumberError(NoAnswer.UNREADABLE)
        return function(value)

    def _nested(self, read: Callable[[], Fraction]) -> Fraction:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NoNumberError(NoAnswer.TOO_LARGE)
        value = read()
        self._depth -= 1
        return value

    def _root(self) -> Fraction:
        degree = self._bracketed("[") if self._accept(_SQUARE_BRACKET) else Fraction(2)
        return _power(self._argument(), _quotient(Fraction(1), degree))


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    return number


def _literal(whole: str, decimals: str, exponent: int) -> Fraction:
    if len(whole) + len(decimals) + abs(exponent) > MAX_DIGITS:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    return Fraction(int(whole + decimals)) * Fraction(10) ** (exponent - len(decimals))


def _integer(number: Fraction) -> int:
    """A whole number that is counted with, so not below 0."""
    if number.denominator != 1 or number < 0:
        raise NoNumberError(NoAnswer.UNREADABLE)
    return number.numerator


def _quotient(above: Fraction, below: Fraction) -> Fraction:
    if below == 0:
        raise NoNumberError(NoAnswer.UNREADABLE)
    return _bounded(above / below)


def _modulo(number: Fraction, modulus: Fraction) -> Fraction:
    if modulus == 0:
        raise NoNumberError(NoAnswer.UNREADABLE)
    return Fraction(_integer(number) % _integer(modulus))


def _factorial(number: Fraction) -> Fraction:
    n = _integer(number)
    if n > 1000:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    return Fraction(math.factorial(n))


def _binomial(above: Fraction, below: Fraction) -> Fraction:
    n, k = _integer(above), _integer(below)
    if min(k, n - k) * n.bit_length() > MAX_BITS:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    return Fraction(math.comb(n, k))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if base == 0 and exponent <= 0:
        raise NoNumberError(NoAnswer.UNREADABLE)
    if abs(base) == 1 and exponent.denominator == 1:
        return base if exponent.numerator % 2 else Fraction(1)
    root = _root(base, exponent.denominator)
    num_bits = max(root.numerator.bit_length(), root.denominator.bit_length())
    if abs(exponent.numerator) * num_bits > MAX_BITS:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    return root**exponent.numerator


def _root(radicand: Fraction, degree: int) -> Fraction:
    if degree == 1:
        return radicand
    if degree > MAX_ROOT:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    if radicand < 0:
        raise NoNumberError(NoAnswer.UNREADABLE)
    if max(radicand.numerator.bit_length(), radicand.denominator.bit_length()) > MAX_RADICAND_BITS:
        raise NoNumberError(NoAnswer.TOO_LARGE)
    return Fraction(_integer_root(radicand.numerator, degree), _integer_root(radicand.denominator, degree))


def _integer_root(n: int, degree: int) -> int:
    """The exact root by bisection, at most as many steps as the root has bits; `NOT_AN_INTEGER` if irrational."""
    low, high = 0, 1 << (n.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= n else (low, middle - 1)
    if low**degree != n:
        raise NoNumberError(NoAnswer.NOT_AN_INTEGER)
    return low
