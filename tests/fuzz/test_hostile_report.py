"""The report of a run whose every text is hostile: its data come out as they went in, and none is markup."""

import json
import re
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import ProblemsFileError, RunLogError
from numina_infer.core.events import Ended, Event, Opened, Solved, Started
from numina_infer.core.records import (
    AnswerSource,
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
)
from numina_infer.lab.report.formulae import ATTRIBUTES, ELEMENTS, Formula, split_formulae, typeset
from numina_infer.lab.report.report_page import write_report
from numina_infer.lab.report.texts import Texts, embed, highlight
from numina_infer.runs.log import RUN_FILE, SOLUTIONS_FILE, TRAJECTORIES_FILE
from tests.fuzz.damage import altered, damaged, json_values, line
from tests.fuzz.run_files import FILES, INFO, ROWS, in_folder
from tests.lab.report.pages import HOSTILE, Page, read_page
from tests.run_folders import EVENTS, write_run

PIECES = st.sampled_from(
    [
        *(
            "</script>",
            "</SCRIPT ",
            "<script",
            "<!--",
            "-->",
            "]]>",
            "<![CDATA[",
            "<svg onload=",
            "<img src=x onerror=",
            "&lt;",
        ),
        *(
            "\u2028",
            "\u2029",
            "\0",
            "\ud800",
            "\ufeff",
            "\\u003c",
            "\\",
            '"',
            "'",
            "`",
            "${",
            "{{",
            "@data@",
            "@policy@",
        ),
        *(
            "$",
            "$$",
            r"\(",
            r"\)",
            r"\[",
            r"\]",
            r"\frac{",
            "}",
            "{",
            "^",
            "_",
            r"\text{<b>",
            r"\href{javascript:alert(1)}{x}",
        ),
        *(
            r"\begin{array}{c}",
            r"\end{array}",
            "&",
            r"\\",
            r"\def\x{\x\x}",
            r"\color{red}",
            r"\sqrt[",
            "]",
            r"\left(",
            "1",
        ),
        *("```python\n", "```\n", "```output\n", '"""', "#", "javascript:", "data:text/html,", *HOSTILE),
    ]
)
texts = st.lists(PIECES, max_size=15).map("".join) | st.text(max_size=60)


def hostile_run(text: str, other: str) -> list[Event]:
    """One problem in which everything that is a text is one of the two."""
    problem = Problem(text or "a", other or "?")
    execution = Execution(ExecutionStatus.ERROR, text, other, text, 0.5)
    turn = Turn(Completion(other, (), FinishReason.EOS, text), code=text, execution=execution, observation=other)
    answer = ExtractedAnswer(None, NoAnswer.UNREADABLE, AnswerSource.BOXED, other)
    solution = Solution(
        problem.id, 0, is_fallback=True, stop_reason=StopReason.FAILED, error=text, incidents=(other, text)
    )
    return [
        Opened(problem, text, deadline=10.0, num_samples=1, at=0.0),
        Started(problem.id, 0, 0.0),
        Ended(Trajectory(problem.id, 0, (turn,), Outcome.ENGINE_ERROR, answer, error=text), 1.0),
        Solved(solution, 2.0),
    ]


def page_of(events: list[Event], references: dict[str, str]) -> Page:
    """The report of a run with `events`."""
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "run", events)
        return read_page(write_report(Path(folder) / "run", references=references))


TAGS = page_of(EVENTS, {}).tags


@given(texts, texts)
def test_no_text_of_a_run_is_markup_of_its_page(text: str, other: str) -> None:
    """Ids, statements, prompts, programs, outputs, errors, incidents and references; all of them are in the data."""
    page = page_of(hostile_run(text, other), {text or "a": other})
    assert page.tags == TAGS
    problem = page.index["problems"][0]
    assert (problem["id"], problem["prompt"], problem["solution"]["error"]) == (text or "a", text, text)
    assert page.body(page.trajectories[0])["turns"][0]["output"] == text


@given(json_values)
def test_embedded_json_is_plain_ascii_without_an_angle_and_reads_back(value: object) -> None:
    """Or it holds a number that JSON hasn't."""
    with suppress(RunLogError):
        embedded = embed(value)
        assert embedded.isascii()
        assert not set("<>&\u2028\u2029") & set(embedded)
        assert json.loads(embedded) == value


@given(texts)
def test_formulae_and_prose_are_the_text_they_came_from(text: str) -> None:
    """In pieces, none lost."""
    pieces = list(split_formulae(text))
    assert "".join(piece if isinstance(piece, str) else piece.source for piece in pieces) == text


@given(st.lists(PIECES | st.text(max_size=4), max_size=15).map("".join), st.booleans())
def test_a_formula_is_mathml_of_known_elements_or_stays_text(tex: str, is_display: bool) -> None:
    """Whatever the converter makes of it."""
    tree = typeset(Formula(f"${tex}$", tex, is_display))
    if tree is not None:
        assert_harmless(tree)


def assert_harmless(tree: list[Any]) -> None:
    """Known elements, known attributes with plain values, and text."""
    element, attributes, *children = tree
    assert element in ELEMENTS
    assert attributes.keys() <= ATTRIBUTES
    assert all(re.fullmatch(r"[-+.%a-zA-Z0-9 ]{1,40}", value) for value in attributes.values())
    for child in children:
        if not isinstance(child, str):
            assert_harmless(child)


@given(texts)
def test_a_coloured_program_is_the_program(code: str) -> None:
    """Kinds are letters of ours."""
    spans = highlight(code)
    assert "".join(spans[1::2]) == code
    assert {*spans[::2]} <= set("ksmbcfo") | {""}


@given(texts, texts, st.booleans())
def test_a_turn_is_shown_whole(text: str, program: str, is_closed: bool) -> None:
    """Prose, programs and formulae; no piece is anything but text, a number or spans."""
    shown = Texts()
    for piece in shown.pieces(f"{text}```python\n{program}{'```' * is_closed}", program):
        assert isinstance(piece, str | int | list)
    json.loads(embed(shown.bodies))


def report(folder: Path) -> None:
    """A page, or one of the errors that are promised."""
    with suppress(RunLogError, ProblemsFileError):
        assert read_page(write_report(folder)).tags == TAGS


@given(st.data())
def test_a_damaged_run_has_a_page_or_is_refused(data: st.DataObject) -> None:
    """Bytes changed in either of its logs, or in `run.json`."""
    name = data.draw(st.sampled_from([TRAJECTORIES_FILE, SOLUTIONS_FILE, RUN_FILE]))
    in_folder({**FILES, name: data.draw(damaged(FILES[name]))}, report)


@given(st.data())
def test_a_run_with_altered_events_has_a_page_or_is_refused(data: st.DataObject) -> None:
    """Moments, counts and indices that no run has."""
    rows = [data.draw(altered(row)) if data.draw(st.integers(0, 5)) == 0 else row for row in ROWS]
    in_folder({**FILES, TRAJECTORIES_FILE: b"".join(map(line, rows)), SOLUTIONS_FILE: b""}, report)


@given(st.data())
def test_a_run_with_an_altered_run_json_has_a_page_or_is_refused(data: st.DataObject) -> None:
    """What was run, on what, told in ways that nobody tells it."""
    info = data.draw(altered({"format_version": 2, "competition": "aimo-1", **INFO}))
    in_folder({**FILES, RUN_FILE: line(info)}, report)


@pytest.mark.parametrize("number", [1e308, -1e308, 1e16])
def test_moments_beyond_all_measure_have_a_page(number: float, tmp_path: Path) -> None:
    """Sums and differences of them are no numbers any more."""
    events = [replace(event, at=number if place % 2 else -number) for place, event in enumerate(EVENTS[:7])]
    write_run(tmp_path / "run", events)
    assert read_page(write_report(tmp_path / "run")).tags == TAGS
