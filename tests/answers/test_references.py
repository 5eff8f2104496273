"""What a problems file gives as the answer, read as the votes that hit it."""

import json
from pathlib import Path

import pytest

from numina_infer.answers.references import read_reference, read_references, show_reference
from numina_infer.core.records import AnswerRange


@pytest.mark.parametrize(
    ("text", "answer_range", "accepted"),
    [
        ("142.0", AnswerRange.MOD_1000, {142}),
        ("1002", AnswerRange.MOD_1000, {2}),
        ("1002", AnswerRange.UP_TO_999, set()),
        ("1002", AnswerRange.UP_TO_99999, {1002}),
        ("080 or 081 (both were accepted)", AnswerRange.UP_TO_999, {80, 81}),
        ("080 or 1081", AnswerRange.UP_TO_999, set()),
        ("-15", AnswerRange.MOD_1000, set()),
        (r"\frac{1}{9}", AnswerRange.MOD_1000, set()),
        ("red or blue", AnswerRange.MOD_1000, set()),
        ("", AnswerRange.MOD_1000, set()),
        (None, AnswerRange.MOD_1000, set()),
    ],
)
def test_a_reference_is_the_votes_that_hit_it(text: str | None, answer_range: AnswerRange, accepted: set[int]) -> None:
    """More than one where a competition took more than one, none where no vote can be it."""
    assert read_reference(text, answer_range) == accepted


def test_only_references_that_votes_can_hit_are_kept() -> None:
    """The rest can't be scored by."""
    assert read_references({"a": "7", "b": "x + 1"}, AnswerRange.MOD_1000) == {"a": {7}}


def test_two_accepted_answers_are_shown_as_such() -> None:
    """In order; and nothing where there is none."""
    assert show_reference(frozenset({81, 80})) == "80 or 81"
    assert show_reference(frozenset()) == ""


def test_every_amc_reference_is_one_vote(shared_data: Path) -> None:
    """Those beyond 999 count modulo 1000, as Numina took them; none is below zero but one, which no vote can hit."""
    lines = (shared_data / "problems" / "amc12_2022_2023.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["answer"] for line in lines]
    votes = [read_reference(text, AnswerRange.MOD_1000) for text in texts]
    assert votes == [{int(float(text)) % 1000} if float(text) >= 0 else frozenset() for text in texts]
    assert any(float(text) > 999 for text in texts)
