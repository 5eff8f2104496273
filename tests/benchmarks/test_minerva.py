"""The kernel's own reading of an answer, and the votes that it recorded."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.minerva import extract_boxed, normalize_answer, read_answer, read_vote
from numina_infer.core.records import NoAnswer
from numina_infer.solving.paper import majority


@pytest.mark.parametrize(
    ("region", "answer"),
    [
        (r"so $\boxed{52}$.", "52"),
        (r"\boxed{1} and \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\frac12}", r"\frac{1}{2}"),
        (r"\boxed{x=5}", "x=5"),
        (r"\boxed{1{,}234}", "1234"),
        (r"\boxed{1,234}", "1234"),
        (r"\boxed{52 \text{ cm}}", "52"),
        (r"\boxed{52\text{m}}", "52"),
        (r"\boxed{90^\circ}", "90"),
        (r"\boxed{50\%}", "50"),
        (r"\boxed{\sqrt2}", r"\sqrt{2}"),
        (r"\boxed{\text{an apple}}", "apple"),
        ("The answer is 52.", "52."),
        (r"the answer is \(12\).", r"\(12\)."),
        ("answer is: 7", "7"),
        ("the answer is 3 dollars", "3"),
        ("The final answer is $x = 4$", "x=4"),
        ("the answer is 8. ### Problem: the answer is 9", "8.###"),
        (r"oxed{5}, so the answer is 6", "6"),
        (r"the answer is oxed{5}", "5"),
        (r"boxed, so the answer is 6", None),
        (r"\boxed 52", None),
        (r"\boxed{5", None),
        (r"\fbox{5} is boxed", None),
    ],
)
def test_an_answer_is_read_and_normalised(region: str, answer: str | None) -> None:
    """The kernel's reading, faults included."""
    assert read_answer(region) == answer


def test_boxes_match_their_braces() -> None:
    r"""Those in front of the last box don't matter, an `\fbox` is never opened."""
    assert extract_boxed(r"} \boxed{a{b}c} }") == "a{b}c"
    assert extract_boxed(r"\fbox{1}") is None
    assert extract_boxed("") is None


@given(st.integers(0, 10**12))
def test_a_plain_integer_is_its_own_normal_form(number: int) -> None:
    """With and without separators, in dollars or in text."""
    for text in (f"{number}", f"{number:,}", f"${number}$", rf"\text{{{number}}}", f"{number} units"):
        assert normalize_answer(text) == str(number)


@given(st.text("aneofthswr \\{}$,.0123Problem:boxdqtuc^", max_size=100))
def test_no_text_breaks_the_normalisation(text: str) -> None:
    """The kernel had no net below it."""
    assert " " not in normalize_answer(text)


def filter_answers(answers: Iterable[str]) -> list[int]:
    """The votes of those `answers` that give one, in their order."""
    return [vote for vote in map(read_vote, answers) if not isinstance(vote, NoAnswer)]


def test_votes_are_rounded_and_reduced() -> None:
    """The table of the facts, literally."""
    answers = ["3.5", "2.5", "nan", "inf", "1e3", "-4", "1234", "1/2", "0", "52.0"]
    assert filter_answers(answers) == [4, 2, 0, 234, 0, 52]


def test_what_python_takes_for_a_number_is_one() -> None:
    """Underscores, exponents, a half below zero."""
    assert filter_answers(["1_234", "-0.5", "5e-1", "1e400", "", "52.", r"\(12\).", "x=5"]) == [234, 0, 0, 52]


@given(st.lists(st.floats().map(str) | st.text(max_size=9)))
def test_every_vote_is_in_range(answers: list[str]) -> None:
    """0 to 999."""
    assert all(0 <= vote <= 999 for vote in filter_answers(answers))


def test_recorded_votes_are_counted_as_they_were(shared_data: Path) -> None:
    """48 logged candidates a problem: the same filtered list and the same majority."""
    rows = [json.loads(row) for row in (shared_data / "votes" / "numina_sctir48.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        votes = filter_answers(row["answers"])
        assert votes == row["filtered"]
        assert majority(votes) == row["recorded_majority_mod1000"]
