"""The answer reader: what a text states becomes a vote, and nothing else does."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.answers.expression import MAX_LENGTH
from numina_infer.answers.extract import extract_answer
from numina_infer.core.records import AnswerRange, AnswerSource, NoAnswer
from tests.answers.answer_texts import LATEX, RANGES

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "tricky_answers.toml").read_text("utf-8"))[
    "cases"
]
KINDS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "answer_kinds.toml").read_text("utf-8"))["kinds"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:40])
def test_tricky_text_gives_what_it_states(case: dict[str, Any]) -> None:
    """Every form of the table is read as the table says, value or reason."""
    answer = extract_answer(case["text"], AnswerRange.UP_TO_99999)
    assert (answer.value, answer.reason) == (case.get("value"), case.get("reason"))


def misread(kind: dict[str, Any], key: str, *, complete: bool) -> list[tuple[str, int | None]]:
    """The texts of one kind whose vote isn't the table's, and what it is."""
    expected = [*kind.get(f"{key}vote", []), *((text, None) for text in kind.get(f"{key}none", []))]
    votes = [(text, extract_answer(text, AnswerRange.UP_TO_99999, complete=complete).value) for text, _ in expected]
    return [vote for vote, row in zip(votes, expected, strict=True) if vote[1] != row[1]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["name"])
def test_every_text_of_a_kind_votes_for_what_it_states(kind: dict[str, Any]) -> None:
    """No vote is made up of a number that holds in a case, in another base or not at all, and none is lost."""
    assert misread(kind, "", complete=True) == []
    assert misread(kind, "cut_", complete=False) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["name"])
def test_a_text_that_was_cut_short_never_votes_for_more_than_the_whole_does(kind: dict[str, Any]) -> None:
    """A limit takes votes away, and gives none to a text that has none as a whole."""
    for text in [*(text for text, _ in kind.get("vote", [])), *kind.get("none", [])]:
        whole = extract_answer(text, AnswerRange.UP_TO_99999).value
        assert extract_answer(text, AnswerRange.UP_TO_99999, complete=False).value in {None, whole}


@given(text=st.one_of(st.text(), LATEX), answer_range=RANGES, complete=st.booleans())
def test_reading_never_raises_and_stays_in_range(text: str, answer_range: AnswerRange, complete: bool) -> None:
    """Any text has a vote within the range, or a reason."""
    answer = extract_answer(text, answer_range, complete=complete)
    assert answer.value is None or 0 <= answer.value <= answer_range.largest


@given(text=LATEX, answer_range=RANGES)
def test_reading_is_idempotent(text: str, answer_range: AnswerRange) -> None:
    """The value, bare or in a box, is read as itself."""
    value = extract_answer(text, answer_range).value
    if value is not None:
        assert extract_answer(str(value), answer_range).value == value
        assert extract_answer(rf"\boxed{{{value}}}", answer_range).value == value


@given(value=st.integers(0, 99_999), before=LATEX)
def test_last_closed_box_is_never_hidden(value: int, before: str) -> None:
    """Whatever stands in front, a box in a paragraph of its own is the answer."""
    text = f"{before}\n```\nHence.\n\n\\boxed{{{value}}}"
    assert extract_answer(text, AnswerRange.UP_TO_99999).value == value


@given(value=st.integers(0, 99_999), size=st.integers(0, 5000))
def test_box_stands_anywhere(value: int, size: int) -> None:
    """No window: text of any length may follow the box."""
    assert extract_answer(rf"\boxed{{{value}}}" + " word" * size, AnswerRange.UP_TO_99999).value == value


@given(whole=st.integers(0, 999), hundredths=st.integers(1, 99))
def test_decimals_are_never_rounded(whole: int, hundredths: int) -> None:
    """A number with a fractional part is no vote."""
    answer = extract_answer(rf"\boxed{{{whole}.{hundredths:02d}}}", AnswerRange.MOD_1000)
    assert answer.reason is NoAnswer.NOT_AN_INTEGER


def test_range_rule_is_the_parameters() -> None:
    """The same text is another vote, or none, in another competition's range."""
    text = r"\boxed{1052}"
    assert extract_answer(text, AnswerRange.MOD_1000).value == 52
    assert extract_answer(text, AnswerRange.UP_TO_999).reason is NoAnswer.OUT_OF_RANGE
    assert extract_answer(text, AnswerRange.UP_TO_99999).value == 1052


def test_source_and_raw_tell_where_the_answer_stood() -> None:
    """The record names the kind of place and keeps what stood there."""
    assert extract_answer(r"$\boxed{52 \text{ cm}}$", AnswerRange.MOD_1000).raw == r"52 \text{ cm}"
    assert extract_answer(r"\boxed{52", AnswerRange.MOD_1000).source is AnswerSource.UNCLOSED_BOX
    assert extract_answer("The answer is 52.", AnswerRange.MOD_1000).source is AnswerSource.SENTENCE
    assert extract_answer("Nothing.", AnswerRange.MOD_1000).source is AnswerSource.NOWHERE


CUT_OFF = [
    (r"so it is $\boxed{52", None),
    (r"so it is \boxed 52", None),
    (r"so it is \boxed 52.", None),
    ("The answer is 52", None),
    ("The answer is 52.", None),
    ("The answer is $52", None),
    ("<answer>52", None),
    ("52", None),
    (r"It is $\boxed{52}$, because", 52),
    (r"It is $\boxed{52}$", 52),
    (r"It is $\boxed{52$, because", None),
    ("The answer is 52.\nLet me check", None),
    ("The answer is $52$", None),
    ("<answer>52</answer>", None),
    (r"It is $\boxed{52}$. Again: $\boxed{5", None),
    (r"It is $\boxed{52}$. Again: $\boxed{", None),
    (r"It is $\boxed{52}$. No, it is $\boxed{7", None),
    (r"It is $\boxed{52}$. No, it is $\boxed{520", None),
]


@pytest.mark.parametrize(("text", "value"), CUT_OFF)
def test_cut_off_text_votes_by_closed_boxes_only(text: str, value: int | None) -> None:
    """Neither a sentence on the way nor a box before one that was being written is what the text would have said."""
    answer = extract_answer(text, AnswerRange.UP_TO_99999, complete=False)
    assert (answer.value, answer.reason) == (value, NoAnswer.CUT_OFF if value is None else None)


@given(text=LATEX, num_kept=st.integers(0, 200))
def test_cutting_off_makes_no_number_up(text: str, num_kept: int) -> None:
    """A vote of the cut text is the vote of the text that was cut there on purpose."""
    kept = text[:num_kept]
    cut = extract_answer(kept, AnswerRange.UP_TO_99999, complete=False).value
    if cut is not None and kept.count("box") < 2:
        assert extract_answer(kept, AnswerRange.UP_TO_99999).value == cut


@given(number=st.integers(1, 99_999), kept=st.integers(0, 4))
def test_half_a_number_is_no_vote(number: int, kept: int) -> None:
    """A box that a limit cut off within its number never votes, however many digits are there."""
    text = rf"\boxed{{{str(number)[: kept + 1]}"
    assert extract_answer(text, AnswerRange.UP_TO_99999, complete=False).reason is NoAnswer.CUT_OFF


@pytest.mark.parametrize(
    "text",
    [
        "{" * 1_000_000,
        r"\boxed" * 1_000_000,
        r"\boxed{}" * 1_000_000,
        "```python\\boxed{1}```" * 500_000,
        "1" * 10_000_000,
        "answer is " * 1_000_000,
        "answer is" + " " * 10_000_000,
    ],
    ids=lambda text: text[:20],
)
def test_ten_megabytes_of_nothing_state_nothing(text: str) -> None:
    """Places are looked at a bounded number of times, so that these end at all."""
    assert extract_answer(text, AnswerRange.MOD_1000).reason is NoAnswer.NOT_STATED


@pytest.mark.parametrize(
    "start", [r"\boxed{" + "1" * 1_000_000 + "}", r"\boxed{\frac{1}{" * 300_000, r"\boxed{" + "{" * 9_999]
)
def test_endless_expression_is_too_large(start: str) -> None:
    """A box is read up to a bounded length, and no digit beyond it is taken for missing."""
    answer = extract_answer(start, AnswerRange.MOD_1000)
    assert answer.value is None
    assert len(answer.raw) <= MAX_LENGTH + 1


def test_no_case_that_was_decided_by_hand_is_read_wrong(shared_data: Path) -> None:
    """Whoever wrote them decided before any reader was run."""
    for line in (shared_data / "answer_cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        vote = extract_answer(case["text"], AnswerRange[case["range"]], complete=case["complete"]).value
        assert vote in case["accept"], case["text"]


def test_recorded_boxes_with_one_integer_are_read_as_that_integer(shared_data: Path) -> None:
    """On real generations, wherever there is one box and it holds bare digits, they are the vote."""
    num_read = 0
    for line in (shared_data / "answers.jsonl").read_text("utf-8").splitlines():
        text = json.loads(line)["raw"]
        boxes = re.findall(r"\\boxed\s*(?:\{([^{}]*)\})?", text)
        if len(boxes) == 1 and re.fullmatch(r"[0-9]+", boxes[0]):
            assert extract_answer(text, AnswerRange.MOD_1000).value == int(boxes[0]) % 1000
            num_read += 1
    assert num_read > 100
