"""The answer reader before any text: bounded work, a value in range or a reason, and no vote that nobody stated."""

import re
import sys
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.answers.expression import MAX_LENGTH, read_integer
from numina_infer.answers.extract import extract_answer
from numina_infer.answers.sentences import MAX_PLACES
from numina_infer.core.records import AnswerRange, NoAnswer
from tests.answers.answer_texts import LATEX, PIECES, RANGES

PROSE = st.lists(
    st.sampled_from(
        ["We", "check", "this", "once", "more", "and", "see", "nothing", "wrong", "with", "it", ".", "\n"]
    ),
    min_size=1,
    max_size=30,
).map(" ".join)
"""Text that states nothing."""
any_text = st.one_of(st.text(), LATEX)


@given(text=any_text, answer_range=RANGES, complete=st.booleans())
@example(text="AnswerIS<*A0", answer_range=AnswerRange.MOD_1000, complete=True)
def test_an_answer_has_a_value_in_range_or_a_reason_and_says_where_it_stood(
    text: str, answer_range: AnswerRange, complete: bool
) -> None:
    """What stood there is a part of the text, and of bounded length."""
    answer = extract_answer(text, answer_range, complete=complete)
    assert (answer.value is None) != (answer.reason is None)
    assert answer.value is None or 0 <= answer.value <= answer_range.largest
    assert answer.raw in text
    assert len(answer.raw) <= MAX_LENGTH + 1


@given(text=any_text, prose=PROSE, answer_range=RANGES)
@example(text="52", prose="We check.", answer_range=AnswerRange.MOD_1000)
def test_prose_behind_a_text_makes_no_vote(text: str, prose: str, answer_range: AnswerRange) -> None:
    """It takes one away at most: a text that was nothing but a number is so no longer."""
    before = extract_answer(text, answer_range).value
    after = extract_answer(f"{text}\n\n{prose}", answer_range).value
    assert after in {None, before}


@given(text=any_text, prose=PROSE, answer_range=RANGES, value=st.integers(0, 999))
def test_prose_behind_a_closed_box_changes_nothing(
    text: str, prose: str, answer_range: AnswerRange, value: int
) -> None:
    """However much of it."""
    boxed = f"{text}\n```\n\nIt is $\\boxed{{{value}}}$.\n\n"
    assert extract_answer(boxed + prose, answer_range) == extract_answer(boxed, answer_range)


@given(text=any_text, prose=PROSE, answer_range=RANGES)
def test_prose_before_a_text_makes_no_vote_of_another_value(text: str, prose: str, answer_range: AnswerRange) -> None:
    """The end of a text is what counts, but for a number that stands alone."""
    alone = extract_answer(text, answer_range)
    behind = extract_answer(f"{prose}\n\n{text}", answer_range)
    assert behind.value in {None, alone.value}


def steps(text: str, *, complete: bool) -> int:
    """Calls that reading `text` takes, of Python functions and of C's."""
    num_calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal num_calls
        num_calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        extract_answer(text, AnswerRange.MOD_1000, complete=complete)
    finally:
        sys.setprofile(before)
    return num_calls


@given(st.lists(PIECES, min_size=1, max_size=6).map("".join), st.booleans())
def test_the_steps_of_reading_a_long_text_are_bounded(unit: str, complete: bool) -> None:
    """Ten times the text takes no more steps than places that are looked at and an expression of bounded length."""
    bound = 60 * MAX_PLACES + 60 * MAX_LENGTH
    assert steps(unit * 300, complete=complete) <= bound
    assert steps(unit * 3000, complete=complete) <= bound


@given(st.lists(PIECES, max_size=60).map("".join).filter(lambda text: len(text) <= 4 * MAX_LENGTH), st.booleans())
def test_the_steps_of_reading_an_expression_grow_with_its_length(expression: str, prose: bool) -> None:
    """Each character is looked at a bounded number of times by a bounded number of rules."""
    num_calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal num_calls
        num_calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        number = read_integer(expression, prose=prose)
    finally:
        sys.setprofile(None)
    assert isinstance(number, int | NoAnswer)
    assert num_calls <= 2_000 + 200 * len(expression)


@given(any_text, st.booleans())
def test_whatever_is_read_as_an_integer_has_a_digit(expression: str, prose: bool) -> None:
    """A decimal one, of any script; a numeral (Ⅳ, 四) is none."""
    number = read_integer(expression, prose=prose)
    assert isinstance(number, NoAnswer) or re.search(r"\d", expression)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("٤٢", 42),
        ("\\boxed{٤٢}", 42),
        ("answer is ४२", 42),
        ("\\boxed{４２}", 42),
        ("\\boxed{𝟒𝟐}", 42),
        ("\\boxed{²}", None),
        ("\\boxed{Ⅳ}", None),
        ("\\boxed{④②}", None),
        ("\\boxed{\u202e24}", None),
    ],
)
def test_digits_of_every_script_are_read_and_numerals_are_not(text: str, value: int | None) -> None:
    """Unicode says which characters are decimal digits; text that is shown in another order is no number."""
    assert extract_answer(text, AnswerRange.MOD_1000).value == value
