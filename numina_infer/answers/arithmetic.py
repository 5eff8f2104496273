r"""Reads an arithmetic expression as an exact rational number, within bounds of time and memory.

It is a recursive-descent parser of our own, since models wrote what it reads: `eval`, sympy and `int()` on any number
of digits can each be kept busy for hours by a short text (`10^{10^{10}}`, `1000000!`).
It takes the LaTeX that `typography.plain` leaves.

    side    = label? product ("mod" power | (± product)*) unit?
    product = signed ((· | /) signed | power)*
    power   = atom !* (^ exponent)?
    atom    = number | \frac | \binom | \sqrt | bracketed sum, floored or not

A form that can be read in two ways (`6/2(1+2)`, `3\frac{4}{2}`, `2^3!`) has no value.
The values are rationals (`exact.py`); an irrational root or π counts only under a floor or a ceiling.
"""

import operator
import re
from collections.abc import Callable
from fractions import Fraction

from numina_infer.answers import exact
from numina_infer.answers.exact import NoNumberError, Number, exactly, expect
from numina_infer.answers.typography import command
from numina_infer.answers.units import LABEL, NO_UNIT, ORDINAL, UNIT
from numina_infer.core.records import NoAnswer

MAX_DEPTH = 20
"""Brackets within brackets."""


_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,9})(?![0-9A-Za-z]))?")
_DIGIT = re.compile(r"[0-9]")
_SIGN = re.compile(r"[+-]")
_TIMES = re.compile(command("cdot|times|ast") + r"|\*(?!\*)")
_DIVIDE = re.compile(command("div") + "|/")
_POWER = re.compile(r"\^|\*\*")
_FACTORIAL = re.compile(r"!(?!!)")
_FRAC = re.compile(command("[dtc]?frac"))
_BINOM = re.compile(command("[dt]?binom"))
_CHOOSE = re.compile(command("choose"))
_SQRT = re.compile(command("sqrt") + r'|"?(?<![A-Za-z\\])sqrt"?\s?(?=\()')
_PI = re.compile(command("pi") + "|π")
_MOD = re.compile(command("b?mod") + r'|"mod(?:ulo)?"|mod(?![A-Za-z])')
_MODULAR_POWER = re.compile(
    r"([0-9]{1,99})\s?\^\s?(?:\{\s?([0-9]{1,99})\s?\}|([0-9]))\s?"
    rf"(?:{_MOD.pattern})\s?(?:\{{\s?([1-9][0-9]{{0,98}})\s?\}}|([1-9][0-9]{{0,98}})(?![0-9.]))(?!\s?(?:[*/^!(]|\\[a-z]))"
)
"""`2024^{2024} \\bmod 10` has a value within bounds, though the power alone has none."""
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|" + command("degree|deg"))
_JUXTAPOSED = re.compile(r"\(|\\\{|" + command("[dtc]?frac|[dt]?binom|sqrt|pi|lfloor|lceil|lvert|floor|ceil") + "|π")

_BRACKETS: dict[str, tuple[re.Pattern[str], Callable[[Number], Number] | None]] = {
    "(": (re.compile(r"\)"), None),
    "[": (re.compile(r"\]"), None),
    "{": (re.compile(r"\}"), None),
    r"\{": (re.compile(r"\\\}"), None),
    "|": (re.compile(r"\|"), exact.magnitude),
    r"\lvert": (re.compile(r"\\rvert"), exact.magnitude),
    r"\lfloor": (re.compile(r"\\rfloor"), exact.floor),
    r"\lceil": (re.compile(r"\\rceil"), exact.ceiling),
    r"\floor{": (re.compile(r"\}"), exact.floor),
    r"\ceil{": (re.compile(r"\}"), exact.ceiling),
    "floor": (re.compile(r"\)"), exact.floor),
    "ceil": (re.compile(r"\)"), exact.ceiling),
    "ceiling": (re.compile(r"\)"), exact.ceiling),
}
_ROUNDING = {exact.floor, exact.ceiling}
_OPENING = re.compile(r"[(\[{|]|\\\{|\\(?:floor|ceil)\{|" + command("lvert|lfloor|lceil"))
_FUNCTION = re.compile(r'"?(floor|ceil|ceiling)"?\s?\(')
_BRACE = re.compile(r"\{")
_SQUARE_BRACKET = re.compile(r"\[")


class ExpressionReader:
    """Reads one side of an equation from left to right; every method moves on behind what it read.

    All of them raise `NoNumberError`.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._num_rounded = 0
        """Floors and ceilings around what is being read."""

    def number(self) -> Fraction:
        """The number in front, behind a label if there is one."""
        self._accept(LABEL)
        if powers := self._accept(_MODULAR_POWER):
            return Fraction(pow(int(powers[1]), int(powers[2] or powers[3]), int(powers[4] or powers[5])))
        number = self._product()
        number = exact.modulo(number, self._power()) if self._accept(_MOD) else self._rest_of_sum(number)
        self._accept(ORDINAL)
        return number.fraction

    @property
    def has_only_unit_left(self) -> bool:
        """True where nothing follows the number that was read, or a unit."""
        rest_is_unit = UNIT.fullmatch(self._text, self._at) is not None
        return rest_is_unit and not NO_UNIT.search(self._text, self._at)

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

    def _sum(self) -> Number:
        return self._rest_of_sum(self._product())

    def _rest_of_sum(self, total: Number) -> Number:
        while sign := self._accept(_SIGN):
            total = exact.combined(operator.add if sign[0] == "+" else operator.sub, total, self._product())
        return total

    def _product(self) -> Number:
        product = self._signed(self._power)
        divided = False
        while True:
            if self._accept(_TIMES):
                product = exact.combined(operator.mul, product, self._signed(self._power))
            elif self._accept(_DIVIDE):
                product, divided = exact.quotient(product, self._signed(self._power)), True
            elif not divided and self._follows(_JUXTAPOSED):
                product = exact.combined(operator.mul, product, self._power())
            else:
                return product

    def _signed(self, read: Callable[[], Number]) -> Number:
        sign = self._accept(_SIGN)
        value = read()
        return exact.negated(value) if sign and sign[0] == "-" else value

    def _power(self) -> Number:
        base = self._atom()
        while self._accept(_FACTORIAL):
            base = exact.factorial(base)
        self._accept(_DEGREE)
        if self._follows(ORDINAL) or not self._accept(_POWER):
            return base
        return self._raised(base, self._signed(self._atom))

    def _raised(self, base: Number, exponent: Number) -> Number:
        return exact.power(base, exponent, enclosed=self._num_rounded > 0)

    def _atom(self) -> Number:
        if self._accept(_FRAC):
            return exact.quotient(self._argument(), self._argument())
        if self._accept(_BINOM):
            return exact.binomial(self._argument(), self._argument())
        if self._accept(_SQRT):
            degree = self._bracketed("[") if self._accept(_SQUARE_BRACKET) else exactly(2)
            return self._raised(self._argument(), exact.quotient(exactly(1), degree))
        if self._accept(_PI):
            expect(self._num_rounded > 0, NoAnswer.NOT_AN_INTEGER)
            return exact.PI
        if opening := self._accept(_OPENING) or self._accept(_FUNCTION):
            return self._bracketed(opening[opening.lastindex or 0])
        return self._literal()

    def _literal(self) -> Number:
        match = self._accept(_NUMBER)
        if match is None or not (match[1] or match[2]):
            raise NoNumberError(NoAnswer.UNREADABLE)
        number = exact.literal(match[1], match[2] or "", int(match[3] or 0))
        if not self._accept(_FRAC):
            return number
        # `2\frac{1}{2}` is 2.5; nothing else of that shape has one reading.
        whole, above, below = number.fraction, self._argument().fraction, self._argument().fraction
        expect(whole.denominator == 1 and 0 < above < below, NoAnswer.UNREADABLE)
        return exactly(whole + above / below)

    def _argument(self) -> Number:
        r"""What TeX takes for an argument: a group, or a single digit (`\frac12`)."""
        if self._accept(_BRACE):
            return self._bracketed("{")
        digit = self._accept(_DIGIT)
        return exactly(int(digit[0])) if digit else self._nested(self._atom)

    def _bracketed(self, opening: str) -> Number:
        closing, function = _BRACKETS[opening]
        self._num_rounded += function in _ROUNDING
        value = self._nested(self._sum)
        if self._accept(_CHOOSE):
            value = exact.binomial(value, self._nested(self._sum))
        expect(self._accept(closing) is not None, NoAnswer.UNREADABLE)
        self._num_rounded -= function in _ROUNDING
        return function(value) if function else value

    def _nested(self, read: Callable[[], Number]) -> Number:
        self._depth += 1
        expect(self._depth <= MAX_DEPTH, NoAnswer.TOO_LARGE)
        value = read()
        self._depth -= 1
        return value
