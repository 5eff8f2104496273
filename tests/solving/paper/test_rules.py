"""The paper's way: every rule of the kernel on hand-made texts, its recorded votes, its programs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import Mode
from numina_infer.core.records import AnswerSource, ExtractedAnswer, NoAnswer
from numina_infer.sandbox import Sandbox
from numina_infer.solving.paper.rules import (
    SILENT_END,
    Sample,
    extract_boxed,
    majority,
    make_program,
    normalize_answer,
    print_last_line,
    process,
    read_answer,
    read_vote,
)

PROMPT = "### Problem: What is $1+1$?\n### Solution: "
ASKS = "We compute.\n```python\nprint(1 + 1)\n```\n```output\n"
MADE_UP = "```python\nprint(2)\n```\n```output\n2"
BOX = "\nThe answer is $\\boxed{52}$."
TOLD = "2\n```"
"""What the interpreter of these tests appends after every program."""


@dataclass(frozen=True)
class Trace:
    """What a model writes in up to four rounds, and what the kernel makes of it."""

    rule: str
    written: Sequence[str]
    answer: str
    text: str
    """Behind the prompt, in the end."""
    num_programs: int = 0
    is_pruned: bool = False


TRACES = (
    Trace("an output, then a box: the answer is stored", [ASKS, BOX], "52", ASKS + TOLD + BOX, 1),
    Trace("a sentence will do", [ASKS, "\nSo the answer is 7."], "7.", ASKS + TOLD + "\nSo the answer is 7.", 1),
    Trace("a box without any program counts for nothing", [BOX], "-1", ""),
    Trace("neither does a sentence without one", ["Clearly the answer is 52."], "-1", ""),
    Trace("a restart uses up its round", [BOX, BOX, BOX, BOX], "-1", ""),
    Trace("after a restart the rest is an attempt", ["Hm.", ASKS, BOX], "52", ASKS + TOLD + BOX, 1),
    Trace(
        "a box without an output is made up: pruned, vote lost",
        ["```python\nprint(2)\n```\nThis gives \\boxed{2}."],
        "-1",
        "```python\nprint(2)\n```\nThis gives \\boxed{2}.",
        is_pruned=True,
    ),
    Trace("an output block that isn't closed is none", [MADE_UP + BOX], "-1", MADE_UP + BOX, is_pruned=True),
    Trace(
        "an output block that the model wrote itself is one", [MADE_UP + "\n```" + BOX], "52", MADE_UP + "\n```" + BOX
    ),
    Trace(
        "a box and a request for an output: the program runs",
        [ASKS, BOX + ASKS],
        "-1",
        ASKS + TOLD + BOX + ASKS + TOLD,
        2,
    ),
    Trace(
        "the end of a box may be 100 characters away",
        [ASKS, "\\boxed{7}" + "." * 91],
        "7",
        ASKS + TOLD + "\\boxed{7}" + "." * 91,
        1,
    ),
    Trace("one more and it is astray", [ASKS, "\\boxed{7}" + "." * 92], "-1", "", 1),
    Trace("half a sentence is not one", [ASKS, "answer is 7" + "." * 90], "-1", "", 1),
    Trace("no answer and no request: it starts again", [ASKS, "\nLet us think."], "-1", "", 1),
    Trace("an open box is no answer", [ASKS, "\n\\boxed{5"], "-1", ASKS + TOLD + "\n\\boxed{5", 1),
    Trace(
        "the word boxed spoils a sentence",
        [ASKS, "\nboxed, the answer is 5"],
        "-1",
        ASKS + TOLD + "\nboxed, the answer is 5",
        1,
    ),
    Trace("an fbox is no place to look", [ASKS, "\n\\fbox{5}"], "-1", "", 1),
    Trace("an fbox beside a sentence is read as text", [ASKS, "answer is $5$"], "5", ASKS + TOLD + "answer is $5$", 1),
    Trace(
        "a finished sample goes on and may answer again",
        [ASKS, BOX, "\nNo, \\boxed{9}"],
        "9",
        ASKS + TOLD + BOX + "\nNo, \\boxed{9}",
        1,
    ),
    Trace("what it adds may be nothing", [ASKS, BOX, "", ""], "52", ASKS + TOLD + BOX, 1),
    Trace("what it adds may set it back, and the answer stays", [ASKS, BOX, "." * 101], "52", "", 1),
    Trace(
        "until another answer comes",
        [ASKS, BOX, "." * 101, MADE_UP + "\n```\\boxed{3}"],
        "3",
        MADE_UP + "\n```\\boxed{3}",
        1,
    ),
    Trace("even one that can't be read", [ASKS, BOX, "\\boxed{"], "-1", ASKS + TOLD + BOX + "\\boxed{", 1),
    Trace(
        "pruned with an answer from before, which counts",
        [ASKS, BOX, "." * 101, "```python\n1\n``` \\boxed{3}"],
        "52",
        "```python\n1\n``` \\boxed{3}",
        1,
        is_pruned=True,
    ),
    Trace("three programs at most", [ASKS] * 4, "-1", (ASKS + TOLD) * 3 + ASKS, 3),
    Trace("an answer in the last round counts", [ASKS, ASKS, ASKS, BOX], "52", (ASKS + TOLD) * 3 + BOX, 3),
    Trace(
        "nothing to be said in the last round stays", [ASKS, ASKS, ASKS, "\nHm."], "-1", (ASKS + TOLD) * 3 + "\nHm.", 3
    ),
    Trace("a restart in the last round leaves nothing", ["Hm.", "Hm.", "Hm.", "Hm."], "-1", ""),
    Trace("pruning in the last round, too", ["Hm.", "Hm.", "Hm.", MADE_UP + BOX], "-1", MADE_UP + BOX, is_pruned=True),
)


def play(written: Sequence[str]) -> tuple[Sample, list[str]]:
    """The sample of a model that writes `written`, and its programs; a model that is out of text says nothing."""
    sample, programs = Sample.of(PROMPT), list[str]()
    for number, text in enumerate(written):
        if sample.is_pruned:
            break
        is_last = number == 3
        sample, program = process(sample.extended(text), is_last=is_last)
        if program is not None:
            programs.append(program)
            sample = sample.extended(TOLD)
    return sample, programs


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.rule)
def test_every_rule_holds(trace: Trace) -> None:
    """The text, the stored answer, and whether it is pruned."""
    sample, programs = play(trace.written)
    assert (sample.answer, sample.is_pruned, len(programs)) == (trace.answer, trace.is_pruned, trace.num_programs)
    assert sample.text == PROMPT + trace.text


def test_only_the_last_block_runs() -> None:
    """Earlier ones are forgotten, variables included."""
    sample = Sample.of(PROMPT).extended("```python\nx = 1\n```\nthen\n```python\nprint(x)\n```\n```output\n")
    assert process(sample, is_last=False)[1] == "\nprint(x)\n"


def test_a_block_ends_at_the_next_fence_whatever_that_is() -> None:
    """An unclosed program ends where the output is asked for."""
    sample = Sample.of(PROMPT).extended("```python\nprint(1)\n```output\n")
    assert process(sample, is_last=False)[1] == "\nprint(1)\n"


def test_the_statement_is_a_part_of_the_text() -> None:
    """A problem that shows a program spares the model from writing one."""
    prompt = "### Problem: What does ```python\nprint(1)``` print?\n### Solution: "
    made_up, _ = process(Sample.of(prompt).extended("\\boxed{1}"), is_last=False)
    assert made_up.is_pruned


@given(st.lists(st.sampled_from([ASKS, BOX, "Hm.", "." * 101, MADE_UP, "\n```", "```python\n1\n```"]), max_size=4))
def test_a_stored_answer_is_lost_to_another_only(written: list[str]) -> None:
    """Restarts and pruning leave it where it is."""
    answers = [play(written[: count + 1])[0].answer for count in range(len(written))]
    first = next((number for number, answer in enumerate(answers) if answer != "-1"), len(answers))
    assert set(answers[first:]) <= {"52"}


@given(st.lists(st.text("`python\nut \\boxed{12}answer is", max_size=80), max_size=4))
def test_any_text_gets_a_ruling(written: list[str]) -> None:
    """Whatever a model writes, the text is a beginning followed by what was written, or the prompt."""
    sample, programs = play(written)
    assert sample.text.startswith(PROMPT)
    assert len(programs) <= 3


# --- answers ---


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


@given(st.lists(st.integers(0, 4), min_size=1))
def test_the_first_seen_of_equals_wins(votes: list[int]) -> None:
    """Ties go by order, where ours go by value."""
    most = max(votes.count(vote) for vote in votes)
    assert majority(votes) == next(vote for vote in votes if votes.count(vote) == most)


def test_no_vote_is_zero() -> None:
    """The kernel's fallback."""
    assert majority([]) == 0


def test_recorded_votes_are_counted_as_they_were(shared_data: Path) -> None:
    """48 logged candidates a problem: the same filtered list and the same majority."""
    rows = [json.loads(row) for row in (shared_data / "votes" / "numina_sctir48.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        votes = filter_answers(row["answers"])
        assert votes == row["filtered"]
        assert majority(votes) == row["recorded_majority_mod1000"]


@pytest.mark.parametrize(
    ("written", "extracted"),
    [
        ([ASKS, BOX], ExtractedAnswer(52, None, AnswerSource.BOXED, "52")),
        ([ASKS, "answer is 1002.5"], ExtractedAnswer(2, None, AnswerSource.SENTENCE, "1002.5")),
        ([ASKS, "\\boxed{-3}"], ExtractedAnswer(None, NoAnswer.NEGATIVE, AnswerSource.BOXED, "-3")),
        ([ASKS, "\\boxed{x}"], ExtractedAnswer(None, NoAnswer.UNREADABLE, AnswerSource.BOXED, "x")),
        ([ASKS, "\\boxed{"], ExtractedAnswer(None, NoAnswer.NOT_STATED)),
        ([BOX], ExtractedAnswer(None, NoAnswer.NOT_STATED)),
    ],
)
def test_a_lost_vote_has_a_reason(written: list[str], extracted: ExtractedAnswer) -> None:
    """The kernel knew only -1."""
    assert play(written)[0].extracted == extracted


# --- programs ---


@pytest.mark.parametrize(
    ("last", "printed"),
    [
        ("x", "print(x)"),
        ("x = 5", "print(x = 5)"),
        ("x # the sum", "print(x )"),
        ("# done", "print()"),
        ("'#'", "print(')"),
        ("    x", "print(    x)"),
        ("print(x)", "print(x)"),
        ("# print(x)", "# print(x)"),
        ("pprint(x)", "pprint(x)"),
    ],
)
def test_the_last_line_is_printed_whatever_it_is(last: str, printed: str) -> None:
    """Unless `print(` stands in it."""
    assert print_last_line(f"y = 1\n{last}\n\n") == f"y = 1\n{printed}"


def test_an_empty_program_prints_an_import() -> None:
    """The preamble's last line is the last line then."""
    assert make_program("\n").endswith("print(import sympy as sp)")


PROGRAMS = (
    ("x=5", "TypeError: "),
    ("print(3)\n# done", "3"),
    ("x = 3\nx # print(x)", ""),
    ("def two():\n    print(2)\n    return 3\ntwo()", "2\n3"),
    ("print(1); 5", "1"),
    ("math.sqrt(4), np.int64(3) + 0 == 3, sp.Integer(5)", "2.0 True 5"),
)


@pytest.mark.slow
@pytest.mark.anyio
async def test_real_programs_print_their_last_line_alone() -> None:
    """Its value isn't shown a second time, and an assignment is an error that the model reads."""
    async with Sandbox() as sandbox, sandbox.session(Mode.FRESH) as session:
        for code, expected in PROGRAMS:
            execution = await session.execute(make_program(f"\n{code}\n") + SILENT_END, timeout_s=5)
            if expected.endswith(": "):
                assert execution.output.rpartition("\n")[2].startswith(expected), code
            else:
                assert execution.output == expected, code
