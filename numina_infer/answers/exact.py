r"""Exact arithmetic with bounds, so that no expression can keep it busy.

A number lies between two fractions, and mostly they are the same: then it is exact. Within `\lfloor` and `\lceil` an
irrational root or π is enclosed (interval arithmetic, rounded outwards). Where both ends have the same floor that is
exact again, and where they don't there is no number: nothing is rounded. All functions raise `NoNumberError`.
"""

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from numina_infer.core.records import NoAnswer

MAX_DIGITS = 600
"""Digits of one literal; Python's own limit for `int()` can be set as low as 640."""
MAX_BITS = 10_000
"""Of every numerator and denominator on the way: about 3,000 digits, enough for 1000!."""
MAX_RADICAND_BITS = 1024
"""Of a number under a root: a thousand characters can hold many roots, and each is found by bisection."""
MAX_ROOT = 100
"""Degree of a root."""
PRECISION_BITS = 64
"""Behind the point, of the two fractions that enclose a root."""


class NoNumberError(Exception):
    """The expression has no value that can be voted on; `reason` says why."""

    def __init__(self, reason: NoAnswer) -> None:
        super().__init__(reason.value)
        self.reason = reason


def expect(holds: bool, reason: NoAnswer) -> None:
    """Raise `NoNumberError` unless `holds`."""
    if not holds:
        raise NoNumberError(reason)


class Number(NamedTuple):
    """A number between two fractions; where they are the same, it is that fraction."""

    low: Fraction
    high: Fraction

    @property
    def is_exact(self) -> bool:
        """Whether it is known, and so rational."""
        return self.low == self.high

    @property
    def fraction(self) -> Fraction:
        """The number itself; an irrational number is none."""
        expect(self.is_exact, NoAnswer.NOT_AN_INTEGER)
        return self.low


PI = Number(Fraction(31415926535897932384, 10**19), Fraction(31415926535897932385, 10**19))


def exactly(value: Fraction | int) -> Number:
    """`value` as a number, if it keeps to `MAX_BITS`."""
    bounded = _bounded(Fraction(value))
    return Number(bounded, bounded)


def _bounded(fraction: Fraction) -> Fraction:
    expect(_num_bits(fraction) <= MAX_BITS, NoAnswer.TOO_LARGE)
    return fraction


def _num_bits(fraction: Fraction) -> int:
    return max(fraction.numerator.bit_length(), fraction.denominator.bit_length())


def combined(operation: Callable[[Fraction, Fraction], Fraction], a: Number, b: Number) -> Number:
    """`operation`, which is monotonic in each argument, on two numbers."""
    corners = [_bounded(operation(x, y)) for x in {*a} for y in {*b}]
    return Number(min(corners), max(corners))


def literal(whole: str, decimals: str, exponent: int) -> Number:
    """The number written as `whole`.`decimals`e`exponent`."""
    expect(len(whole) + len(decimals) + abs(exponent) <= MAX_DIGITS, NoAnswer.TOO_LARGE)
    return exactly(Fraction(int(whole + decimals)) * Fraction(10) ** (exponent - len(decimals)))


def quotient(above: Number, below: Number) -> Number:
    """`above` / `below`; a divisor that may be 0 has no quotient."""
    expect(not below.low <= 0 <= below.high, NoAnswer.UNREADABLE)
    return combined(operator.truediv, above, below)


def negated(number: Number) -> Number:
    """-`number`."""
    return Number(-number.high, -number.low)


def magnitude(number: Number) -> Number:
    """|`number`|, where its sign is known."""
    expect(not number.low < 0 < number.high, NoAnswer.NOT_AN_INTEGER)
    return number if number.low >= 0 else negated(number)


def floor(number: Number) -> Number:
    """The largest integer that isn't above `number`, where both ends have the same."""
    low, high = map(math.floor, number)
    expect(low == high, NoAnswer.NOT_AN_INTEGER)
    return exactly(low)


def ceiling(number: Number) -> Number:
    """The smallest integer that isn't below `number`."""
    return negated(floor(negated(number)))


def _count(number: Number) -> int:
    """`number`, which must be a whole number from 0."""
    expect(number.fraction.denominator == 1 and number.low >= 0, NoAnswer.UNREADABLE)
    return number.low.numerator


def modulo(number: Number, modulus: Number) -> Number:
    """The remainder of two whole numbers."""
    expect(modulus != exactly(0), NoAnswer.UNREADABLE)
    return exactly(_count(number) % _count(modulus))


def factorial(number: Number) -> Number:
    """`number`!, up to 1000!."""
    expect(_count(number) <= 1000, NoAnswer.TOO_LARGE)
    return exactly(math.factorial(_count(number)))


def binomial(above: Number, below: Number) -> Number:
    """How many ways there are to choose `below` of `above` things."""
    n, k = _count(above), _count(below)
    expect(min(k, n - k) * n.bit_length() <= MAX_BITS, NoAnswer.TOO_LARGE)
    return exactly(math.comb(n, k))


def power(base: Number, exponent: Number, *, enclosed: bool = False) -> Number:
    """`base` to the power of a fraction; with `enclosed` an irrational result is enclosed."""
    above, below = exponent.fraction.as_integer_ratio()
    expect(base.low != 0 or base.high != 0 or above > 0, NoAnswer.UNREADABLE)
    if base.is_exact and abs(base.low) == 1 and below == 1:
        return base if above % 2 else exactly(1)
    expect(base.is_exact or base.low > 0, NoAnswer.NOT_AN_INTEGER)
    roots = {end: _root(end, below, enclosed=enclosed) for end in dict.fromkeys(base)}
    low, high = roots[base.low].low, roots[base.high].high
    expect(low == high or low > 0 or above > 0, NoAnswer.NOT_AN_INTEGER)
    powers = [_whole_power(end, above) for end in {low, high}]
    return Number(min(powers), max(powers))


def _whole_power(base: Fraction, exponent: int) -> Fraction:
    expect(abs(exponent) * _num_bits(base) <= MAX_BITS, NoAnswer.TOO_LARGE)
    return base**exponent


def _root(radicand: Fraction, degree: int, *, enclosed: bool) -> Number:
    """The exact root; an irrational root is no number, or with `enclosed` an enclosure."""
    if degree == 1:
        return Number(radicand, radicand)
    expect(degree <= MAX_ROOT, NoAnswer.TOO_LARGE)
    expect(radicand >= 0, NoAnswer.UNREADABLE)
    expect(_num_bits(radicand) <= MAX_RADICAND_BITS, NoAnswer.TOO_LARGE)
    above, below = radicand.numerator, radicand.denominator
    roots = _integer_root(above, degree), _integer_root(below, degree)
    if (roots[0] ** degree, roots[1] ** degree) == (above, below):
        return exactly(Fraction(*roots))
    expect(enclosed, NoAnswer.NOT_AN_INTEGER)
    scaled = _integer_root((above << (PRECISION_BITS * degree)) // below, degree)
    return Number(Fraction(scaled, 1 << PRECISION_BITS), Fraction(scaled + 1, 1 << PRECISION_BITS))


def _integer_root(n: int, degree: int) -> int:
    """The root of `n`, rounded down, by bisection: at most as many steps as it has bits."""
    low, high = 0, 1 << (n.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= n else (low, middle - 1)
    return low
