"""The paper's way: every rule of the kernel on hand-made texts, and its votes."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.records import AnswerSource, ExtractedAnswer, NoAnswer
from numina_infer.solving.paper import (
    Sample,
    majority,
    process,
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
    answer: int | None
    text: str
    """Behind the prompt, in the end."""
    num_programs: int = 0
    is_pruned: bool = False


TRACES = (
    Trace("an output, then a box: the answer is stored", [ASKS, BOX], 52, ASKS + TOLD + BOX, 1),
    Trace("a sentence will do", [ASKS, "\nSo the answer is 7."], 7, ASKS + TOLD + "\nSo the answer is 7.", 1),
    Trace("a box without any program counts for nothing", [BOX], None, ""),
    Trace("neither does a sentence without one", ["Clearly the answer is 52."], None, ""),
    Trace("a restart uses up its round", [BOX, BOX, BOX, BOX], None, ""),
    Trace("after a restart the rest is an attempt", ["Hm.", ASKS, BOX], 52, ASKS + TOLD + BOX, 1),
    Trace(
        "a box without an output is made up: pruned, vote lost",
        ["```python\nprint(2)\n```\nThis gives \\boxed{2}."],
        None,
        "```python\nprint(2)\n```\nThis gives \\boxed{2}.",
        is_pruned=True,
    ),
    Trace("an output block that isn't closed is none", [MADE_UP + BOX], None, MADE_UP + BOX, is_pruned=True),
    Trace(
        "an output block that the model wrote itself is one", [MADE_UP + "\n```" + BOX], 52, MADE_UP + "\n```" + BOX
    ),
    Trace(
        "a box and a request for an output: the program runs",
        [ASKS, BOX + ASKS],
        None,
        ASKS + TOLD + BOX + ASKS + TOLD,
        2,
    ),
    Trace(
        "the end of a box may be 100 characters away",
        [ASKS, "\\boxed{7}" + "." * 91],
        7,
        ASKS + TOLD + "\\boxed{7}" + "." * 91,
        1,
    ),
    Trace("one more and it is astray", [ASKS, "\\boxed{7}" + "." * 92], None, "", 1),
    Trace("half a sentence is not one", [ASKS, "answer is 7" + "." * 90], None, "", 1),
    Trace("no answer and no request: it starts again", [ASKS, "\nLet us think."], None, "", 1),
    Trace("an open box is no answer", [ASKS, "\n\\boxed{5"], None, ASKS + TOLD + "\n\\boxed{5", 1),
    Trace(
        "the word boxed spoils a sentence",
        [ASKS, "\nboxed, the answer is 5"],
        None,
        ASKS + TOLD + "\nboxed, the answer is 5",
        1,
    ),
    Trace("an fbox is no place to look", [ASKS, "\n\\fbox{5}"], None, "", 1),
    Trace("an fbox beside a sentence is read as text", [ASKS, "answer is $5$"], 5, ASKS + TOLD + "answer is $5$", 1),
    Trace(
        "a finished sample goes on and may answer again",
        [ASKS, BOX, "\nNo, \\boxed{9}"],
        9,
        ASKS + TOLD + BOX + "\nNo, \\boxed{9}",
        1,
    ),
    Trace("what it adds may be nothing", [ASKS, BOX, "", ""], 52, ASKS + TOLD + BOX, 1),
    Trace("what it adds may set it back, and the answer stays", [ASKS, BOX, "." * 101], 52, "", 1),
    Trace(
        "until another answer comes",
        [ASKS, BOX, "." * 101, MADE_UP + "\n```\\boxed{3}"],
        3,
        MADE_UP + "\n```\\boxed{3}",
        1,
    ),
    Trace("even one that can't be read", [ASKS, BOX, "\\boxed{"], None, ASKS + TOLD + BOX + "\\boxed{", 1),
    Trace(
        "pruned with an answer from before, which counts",
        [ASKS, BOX, "." * 101, "```python\n1\n``` \\boxed{3}"],
        52,
        "```python\n1\n``` \\boxed{3}",
        1,
        is_pruned=True,
    ),
    Trace("three programs at most", [ASKS] * 4, None, (ASKS + TOLD) * 3 + ASKS, 3),
    Trace("an answer in the last round counts", [ASKS, ASKS, ASKS, BOX], 52, (ASKS + TOLD) * 3 + BOX, 3),
    Trace(
        "nothing to be said in the last round stays", [ASKS, ASKS, ASKS, "\nHm."], None, (ASKS + TOLD) * 3 + "\nHm.", 3
    ),
    Trace("a restart in the last round leaves nothing", ["Hm.", "Hm.", "Hm.", "Hm."], None, ""),
    Trace("pruning in the last round, too", ["Hm.", "Hm.", "Hm.", MADE_UP + BOX], None, MADE_UP + BOX, is_pruned=True),
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
    assert (sample.answer.value, sample.is_pruned, len(programs)) == (
        trace.answer,
        trace.is_pruned,
        trace.num_programs,
    )
    assert sample.text == PROMPT + trace.text


def test_only_the_last_block_runs() -> None:
    """Earlier ones are forgotten, variables included."""
    sample = Sample.of(PROMPT).extended("```python\nx = 1\n```\nthen\n```python\nprint(x)\n```\n```output\n")
    assert process(sample, is_last=False)[1] == "print(x)"


def test_a_block_ends_at_the_next_fence_whatever_that_is() -> None:
    """An unclosed program ends where the output is asked for."""
    sample = Sample.of(PROMPT).extended("```python\nprint(1)\n```output\n")
    assert process(sample, is_last=False)[1] == "print(1)"


def test_the_statement_is_a_part_of_the_text() -> None:
    """A problem that shows a program spares the model from writing one."""
    prompt = "### Problem: What does ```python\nprint(1)``` print?\n### Solution: "
    made_up, _ = process(Sample.of(prompt).extended("\\boxed{1}"), is_last=False)
    assert made_up.is_pruned


@given(st.lists(st.sampled_from([ASKS, BOX, "Hm.", "." * 101, MADE_UP, "\n```", "```python\n1\n```"]), max_size=4))
def test_a_stored_answer_is_lost_to_another_only(written: list[str]) -> None:
    """Restarts and pruning leave it where it is."""
    answers = [play(written[: count + 1])[0].answer.value for count in range(len(written))]
    first = next((number for number, answer in enumerate(answers) if answer is not None), len(answers))
    assert set(answers[first:]) <= {52}


@given(st.lists(st.text("`python\nut \\boxed{12}answer is", max_size=80), max_size=4))
def test_any_text_gets_a_ruling(written: list[str]) -> None:
    """Whatever a model writes, the text is a beginning followed by what was written, or the prompt."""
    sample, programs = play(written)
    assert sample.text.startswith(PROMPT)
    assert len(programs) <= 3


# --- answers ---


@given(st.lists(st.integers(0, 4), min_size=1))
def test_the_first_seen_of_equals_wins(votes: list[int]) -> None:
    """Ties go by order, where ours go by value."""
    most = max(votes.count(vote) for vote in votes)
    assert majority(votes) == next(vote for vote in votes if votes.count(vote) == most)


def test_no_vote_is_zero() -> None:
    """The kernel's fallback."""
    assert majority([]) == 0


@pytest.mark.parametrize(
    ("written", "extracted"),
    [
        ([ASKS, BOX], ExtractedAnswer(52, None, AnswerSource.BOXED, "52")),
        ([ASKS, "answer is 1002.5"], ExtractedAnswer(2, None, AnswerSource.SENTENCE, "1002.5")),
        ([ASKS, "\\boxed{-3}"], ExtractedAnswer(None, NoAnswer.NEGATIVE, AnswerSource.BOXED, "-3")),
        ([ASKS, "\\boxed{x}"], ExtractedAnswer(None, NoAnswer.UNREADABLE, AnswerSource.BOXED, "x")),
        ([ASKS, "\\boxed{3.5}"], ExtractedAnswer(4, None, AnswerSource.BOXED, "3.5")),
        ([ASKS, "\\boxed{52 \\text{ cm}}"], ExtractedAnswer(52, None, AnswerSource.BOXED, "52 \\text{ cm}")),
        ([ASKS, "\\boxed{"], ExtractedAnswer(None, NoAnswer.CUT_OFF, AnswerSource.UNCLOSED_BOX)),
        ([BOX], ExtractedAnswer(None, NoAnswer.NOT_STATED)),
    ],
)
def test_a_lost_vote_has_a_reason(written: list[str], extracted: ExtractedAnswer) -> None:
    """The kernel knew only -1."""
    assert play(written)[0].answer == extracted
