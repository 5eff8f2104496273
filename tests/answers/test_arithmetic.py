"""The expression reader: exact integers out of LaTeX, and bounds that hold."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.answers.arithmetic import MAX_DEPTH, ExpressionReader
from numina_infer.answers.exact import MAX_BITS, MAX_DIGITS, NoNumberError
from numina_infer.answers.expression import MAX_LENGTH, read_integer
from numina_infer.answers.typography import plain
from numina_infer.core.records import NoAnswer

INTEGERS = st.integers(-(10**12), 10**12)
NATURALS = st.integers(0, 10**12)


@example("0\x1f")
@given(text=st.text())
def test_any_text_is_an_integer_or_a_reason(text: str) -> None:
    """Nothing raises."""
    assert isinstance(read_integer(text), int | NoAnswer)


@given(n=INTEGERS)
def test_integers_are_read_back(n: int) -> None:
    """In every written form a number is itself."""
    forms = [
        str(n),
        f" {n} ",
        f"{n}.0",
        f"{n}.00",
        f"${n}$",
        rf"\text{{{n}}}",
        rf"\mathbf{{{n}}}",
        f"x = {n}",
        f"{n}.",
    ]
    assert {read_integer(form) for form in forms} == {n}


@given(n=NATURALS, separator=st.sampled_from([",", "{,}", r"\,", r"\;", ",\\!", "~", r"\ ", "\u202f"]))
def test_thousands_are_joined(n: int, separator: str) -> None:
    """Any separator between groups of three is typography."""
    assert read_integer(f"{n:,}".replace(",", separator)) == n


@given(a=INTEGERS, b=INTEGERS, c=INTEGERS)
def test_sums_and_products_are_exact(a: int, b: int, c: int) -> None:
    """The four operations agree with Python's integers, with the usual precedence."""
    assert read_integer(rf"{a} + {b} \cdot {c}") == a + b * c
    assert read_integer(rf"({a} - {b}) \times ({c})") == (a - b) * c
    assert read_integer(rf"\frac{{{a} \cdot {c or 1}}}{{{c or 1}}}") == a


@given(a=INTEGERS, b=st.integers(1, 10**6))
def test_fractions_are_integers_only_when_they_are(a: int, b: int) -> None:
    """A quotient with a remainder is never rounded."""
    expected = a // b if a % b == 0 else NoAnswer.NOT_AN_INTEGER
    assert read_integer(rf"\dfrac{{{a}}}{{{b}}}") == expected
    assert read_integer(f"{a}/{b}") == expected


@given(base=st.integers(2, 50), exponent=st.integers(0, 60))
def test_powers_and_roots_are_inverse(base: int, exponent: int) -> None:
    """Powers are exact, and so are the roots of powers."""
    assert read_integer(rf"{base}^{{{exponent}}}") == base**exponent
    if exponent:
        assert read_integer(rf"\sqrt[{exponent}]{{{base**exponent}}}") == base


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (r"\lvert -5 \rvert", 5),
        (r"\lceil 7/2 \rceil", 4),
        (r"\frac1{2}\cdot 8", 4),
        (r"\frac 8 2", 4),
        (r"4^{1/2}", 2),
        (r"2^{3^2}", 512),
        (r"2^{-3} \cdot 8", 1),
        ("2**10", 1024),
        (r"3!\,4!", NoAnswer.UNREADABLE),
        (r"3! \cdot 4!", 144),
        (r"\binom{5}{2}\binom{4}{2}", 60),
        (r"30^\circ + 40^\circ", 70),
        (r"1000! / 999!", 1000),
        (r"(7 + 5) \bmod 10", 2),
        (r"7 + 5 \bmod 10", NoAnswer.UNREADABLE),
        ("2^3!", NoAnswer.UNREADABLE),
        ("0^0", NoAnswer.UNREADABLE),
        ("(-1)!", NoAnswer.UNREADABLE),
        (r"\sqrt{-4}", NoAnswer.UNREADABLE),
        (r"5 \bmod 0", NoAnswer.UNREADABLE),
        ("(" * 3 + "5" + ")" * 2, NoAnswer.UNREADABLE),
        ("080 or 081 (both were accepted)", NoAnswer.UNREADABLE),
    ],
)
def test_forms_of_arithmetic(expression: str, value: int | NoAnswer) -> None:
    """One form each; where a form has two readings it has no value."""
    assert read_integer(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "9" * (MAX_DIGITS + 1),
        "1" * 10_000_000,
        "1+" * MAX_LENGTH + "1",
        "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
        r"\frac{1}{" * (MAX_DEPTH + 1) + "2" + "}" * (MAX_DEPTH + 1),
        rf"2^{{{MAX_BITS}}}",
        r"2^{2^{2^{2^{2^{2}}}}}",
        r"10^{-10^{10}}",
        "(1001)!",
        r"\binom{10^{100}}{10^{99}}",
        r"(10^{1000})(10^{1000})(10^{1000})(10^{1000})",
        "1e1000",
        r"\sqrt[101]{2}",
    ],
    ids=lambda expression: expression[:24],
)
def test_what_could_hold_the_reader_up_is_too_large(expression: str) -> None:
    """Digits, length, depth, exponents, factorials and binomials are bounded before they are worked out."""
    assert read_integer(expression) is NoAnswer.TOO_LARGE


def test_values_within_the_bounds_are_kept_whole() -> None:
    """Numbers of a thousand digits are exact integers, not approximations."""
    assert read_integer(r"3^{2024}") == 3**2024
    assert read_integer("9" * MAX_DIGITS) == 10**MAX_DIGITS - 1


def test_words_behind_a_number_are_units_in_prose_only() -> None:
    """`ab` behind a number is a product in a box, and a word in a sentence."""
    assert read_integer("52 ab") is NoAnswer.UNREADABLE
    assert read_integer("52 ab", prose=True) == 52


def test_reader_gives_rationals() -> None:
    """What is read is exact, also where it isn't an integer."""
    assert ExpressionReader(plain(r"\frac{1}{3} + 0.5")).number() == Fraction(5, 6)
    with pytest.raises(NoNumberError, match="unreadable"):
        ExpressionReader("x").number()
