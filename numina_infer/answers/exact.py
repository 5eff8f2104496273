r"""Exact arithmetic with bounds, so that no expression can keep it busy.

A number is a `Fraction`. Within `\lfloor` and `\lceil` an irrational root or π is enclosed between two fractions
(interval arithmetic, rounded outwards). Where both have the same floor that is exact again, and where they don't
there is no number: nothing is rounded. All functions raise `NoNumberError`.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

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


@dataclass(frozen=True, slots=True)
class Enclosure:
    """An irrational number, between two fractions."""

    low: Fraction
    high: Fraction


Number = Fraction | Enclosure
PI = Enclosure(Fraction(31415926535897932384, 10**19), Fraction(31415926535897932385, 10**19))


def as_fraction(number: Number) -> Fraction:
    """`number` as a fraction; an irrational number is none."""
    if isinstance(number, Enclosure):
        raise NoNumberError(NoAnswer.NOT_AN_INTEGER)
    return number


def bounded(number: Fraction) -> Fraction:
    """`number`, if it keeps to `MAX_BITS`."""
    expect(_num_bits(number) <= MAX_BITS, NoAnswer.TOO_LARGE)
    return number


def _num_bits(number: Fraction) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())


def combined(operation: Callable[[Fraction, Fraction], Fraction], a: Number, b: Number) -> Number:
    """`operation`, which is monotonic in each argument, on numbers of both kinds."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return bounded(operation(a, b))
    corners = [bounded(operation(x, y)) for x in _ends(a) for y in _ends(b)]
    return Enclosure(min(corners), max(corners))


def _ends(number: Number) -> tuple[Fraction, ...]:
    return (number,) if isinstance(number, Fraction) else (number.low, number.high)


def literal(whole: str, decimals: str, exponent: int) -> Fraction:
    """The number written as `whole`.`decimals`e`exponent`."""
    expect(len(whole) + len(decimals) + abs(exponent) <= MAX_DIGITS, NoAnswer.TOO_LARGE)
    return Fraction(int(whole + decimals)) * Fraction(10) ** (exponent - len(decimals))


def quotient(above: Number, below: Number) -> Number:
    """`above` / `below`; a divisor that may be 0 has no quotient."""
    expect(not min(_ends(below)) <= 0 <= max(_ends(below)), NoAnswer.UNREADABLE)
    return combined(operator.truediv, above, below)


def negated(number: Number) -> Number:
    """-`number`."""
    return -number if isinstance(number, Fraction) else Enclosure(-number.high, -number.low)


def magnitude(number: Number) -> Number:
    """|`number`|, where its sign is known."""
    if isinstance(number, Fraction):
        return abs(number)
    expect(not number.low < 0 < number.high, NoAnswer.NOT_AN_INTEGER)
    return number if number.low >= 0 else negated(number)


def floor(number: Number) -> Number:
    """The largest integer that isn't above `number`, where all of an enclosure has the same."""
    return _same([math.floor(end) for end in _ends(number)])


def ceiling(number: Number) -> Number:
    """The smallest integer that isn't below `number`, where all of an enclosure has the same."""
    return _same([math.ceil(end) for end in _ends(number)])


def _same(integers: list[int]) -> Fraction:
    expect(integers[0] == integers[-1], NoAnswer.NOT_AN_INTEGER)
    return Fraction(integers[0])


def _counted(number: Number) -> int:
    """`number` as a whole number from 0."""
    fraction = as_fraction(number)
    expect(fraction.denominator == 1 and fraction >= 0, NoAnswer.UNREADABLE)
    return fraction.numerator


def modulo(number: Number, modulus: Number) -> Fraction:
    """The remainder of two whole numbers."""
    expect(modulus != 0, NoAnswer.UNREADABLE)
    return Fraction(_counted(number) % _counted(modulus))


def factorial(number: Number) -> Fraction:
    """`number`!, up to 1000!."""
    n = _counted(number)
    expect(n <= 1000, NoAnswer.TOO_LARGE)
    return Fraction(math.factorial(n))


def binomial(above: Number, below: Number) -> Fraction:
    """How many ways there are to choose `below` of `above` things."""
    n, k = _counted(above), _counted(below)
    expect(min(k, n - k) * n.bit_length() <= MAX_BITS, NoAnswer.TOO_LARGE)
    return Fraction(math.comb(n, k))


def power(base: Number, exponent: Number, *, enclosed: bool = False) -> Number:
    """`base` to the power of a fraction; with `enclosed` an irrational result is enclosed."""
    exponent = as_fraction(exponent)
    if isinstance(base, Enclosure):
        return _enclosed_power(base, exponent)
    expect(base != 0 or exponent > 0, NoAnswer.UNREADABLE)
    if abs(base) == 1 and exponent.denominator == 1:
        return base if exponent.numerator % 2 else Fraction(1)
    of_root = root(base, exponent.denominator, enclosed=enclosed)
    if isinstance(of_root, Enclosure):
        return _enclosed_power(of_root, Fraction(exponent.numerator))
    return _whole_power(of_root, exponent.numerator)


def _whole_power(base: Fraction, exponent: int) -> Fraction:
    expect(abs(exponent) * _num_bits(base) <= MAX_BITS, NoAnswer.TOO_LARGE)
    return base**exponent


def _enclosed_power(base: Enclosure, exponent: Fraction) -> Enclosure:
    expect(base.low > 0, NoAnswer.NOT_AN_INTEGER)
    roots = [root(end, exponent.denominator, enclosed=True) for end in (base.low, base.high)]
    low, high = (_whole_power(end, exponent.numerator) for end in (min(_ends(roots[0])), max(_ends(roots[1]))))
    return Enclosure(min(low, high), max(low, high))


def root(radicand: Fraction, degree: int, *, enclosed: bool = False) -> Number:
    """The exact root; an irrational root is no number, or with `enclosed` an enclosure."""
    if degree == 1:
        return radicand
    expect(degree <= MAX_ROOT, NoAnswer.TOO_LARGE)
    expect(radicand >= 0, NoAnswer.UNREADABLE)
    expect(_num_bits(radicand) <= MAX_RADICAND_BITS, NoAnswer.TOO_LARGE)
    above, below = radicand.numerator, radicand.denominator
    roots = _integer_root(above, degree), _integer_root(below, degree)
    if (roots[0] ** degree, roots[1] ** degree) == (above, below):
        return Fraction(*roots)
    expect(enclosed, NoAnswer.NOT_AN_INTEGER)
    scaled = _integer_root((above << (PRECISION_BITS * degree)) // below, degree)
    return Enclosure(Fraction(scaled, 1 << PRECISION_BITS), Fraction(scaled + 1, 1 << PRECISION_BITS))


def _integer_root(n: int, degree: int) -> int:
    """The root of `n`, rounded down, by bisection: at most as many steps as it has bits."""
    low, high = 0, 1 << (n.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= n else (low, middle - 1)
    return low
