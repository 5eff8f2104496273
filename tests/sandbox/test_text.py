"""The pure parts: clean text, echo, reports, the wire, verdicts."""

import os
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import SandboxError
from numina_infer.sandbox import ExecutionStatus
from numina_infer.sandbox.child.channel import (
    Channel,
    ChildEnded,
    Message,
    Signal,
    Spawn,
    opened_programs,
    read_programs,
)
from numina_infer.sandbox.child.program_report import REPORT_BYTES, REPORTABLE, ProgramReport
from numina_infer.sandbox.child.runner import compile_program
from numina_infer.sandbox.host import ending
from numina_infer.sandbox.host.ending import clean, compose

any_text = st.text(st.characters(exclude_categories=[]))


@given(st.binary())
def test_clean_text_has_no_control_characters(data: bytes) -> None:
    """For any bytes that a program writes; tab and newline stay."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", clean(data))


@given(any_text)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    """No escape is put together from the remains of others."""
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], include_characters="\n\t")))
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Letters, digits, punctuation, symbols and spaces of any script."""
    assert clean(text) == text


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;link\x1b\\text", "text"),
        ("a\r\nb", "a\nb"),
        ("a\x1b", "a"),
    ],
)
def test_terminal_sequences_go_as_a_whole(dirty: str, expected: str) -> None:
    """Not only their first byte."""
    assert clean(dirty) == expected


def test_a_note_stands_below_what_was_printed() -> None:
    """Either may be missing."""
    assert compose(" a\n", "note\n") == "a\nnote"
    assert compose("", "note") == "note"
    assert compose("a", "") == "a"


@given(st.sampled_from(REPORTABLE), any_text)
def test_a_report_comes_back_from_the_wire(status: ExecutionStatus, text: str) -> None:
    """Bounded, with its status intact."""
    packed = ProgramReport(status, text).pack()
    assert len(packed) <= REPORT_BYTES
    report = ProgramReport.unpack(packed.decode("utf-8", "replace"))
    assert report is not None
    assert report.status is status


@given(any_text)
def test_any_text_is_a_report_or_none(text: str) -> None:
    """A child may send what it likes."""
    report = ProgramReport.unpack(text)
    assert report is None or report.status in REPORTABLE


@given(any_text)
def test_a_program_comes_through_whole(code: str) -> None:
    """Lone surrogates, NUL and every kind of line end included."""
    with opened_programs(["1", code]) as fd:
        assert read_programs(os.dup(fd)) == ["1", code]


messages = st.one_of(
    st.builds(Spawn),
    st.builds(Signal, st.integers(), st.integers()),
    st.builds(ChildEnded, st.integers(), st.integers(), st.floats(allow_nan=False), st.text(max_size=1000)),
)


@given(messages)
def test_a_message_comes_back_from_the_wire(message: Message) -> None:
    """As it was, without descriptors."""
    one, other = Channel.pair()
    one.send(message)
    assert other.receive() == (message, [])
    one.close()
    assert other.receive() is None
    other.close()


def test_mail_sent_before_a_death_is_read_after_it() -> None:
    """Also if the dead side left mail unread, which the kernel reports first, as a reset."""
    one, other = Channel.pair()
    other.send(Signal(1, 9))
    one.send(Signal(2, 9))
    one.close()
    assert other.receive() == (Signal(2, 9), [])
    assert other.receive() is None
    other.close()


@given(st.recursive(st.integers(0, 99).map(str), lambda inner: st.builds("({} + {})".format, inner, inner)))
def test_the_last_expression_is_kept_apart(expression: str) -> None:
    """Its value is what it would be alone, and the body runs without it."""
    _, last = compile_program(f"x = 1\n{expression}", "<program>")
    assert last is not None
    assert eval(last, {}) == eval(expression)  # noqa: S307 - sums of small integers


@pytest.mark.parametrize("code", ["", "x = 1", "print(1)", "print(1), print(2)", "for x in []: x", "def f(): 1"])
def test_without_a_last_expression_of_value_there_is_no_echo(code: str) -> None:
    """Nothing is wrapped that isn't an expression or that prints by itself."""
    _, last = compile_program(code, "<program>")
    assert last is None


def test_the_echo_keeps_line_numbers() -> None:
    """A traceback points at the program as it was written."""
    _, last = compile_program("\n\n1 / 0", "<program>")
    assert last is not None
    assert 3 in {line for _, _, line in last.co_lines()}


def ended(wait_status: int, report: str = "") -> ChildEnded:
    """The zygote's word on a child."""
    return ChildEnded(1, wait_status, 0.0, report, "")


@pytest.mark.parametrize(
    ("end", "overran", "status"),
    [
        (ended(0), False, ExecutionStatus.OK),
        (ended(0), True, ExecutionStatus.OK),
        (ended(0, "error\nforged"), False, ExecutionStatus.OK),
        (ended(1 << 8, "error\nE"), True, ExecutionStatus.ERROR),
        (ended(1 << 8, "memory\nMemoryError"), False, ExecutionStatus.MEMORY),
        (ended(1 << 8, "ok\nforged"), False, ExecutionStatus.CRASHED),
        (ended(1 << 8, "garbage"), False, ExecutionStatus.CRASHED),
        (ended(9), True, ExecutionStatus.TIMEOUT),
        (ended(9, "ok\nforged"), True, ExecutionStatus.TIMEOUT),
        (ended(9), False, ExecutionStatus.MEMORY),
        (ended(24), False, ExecutionStatus.TIMEOUT),
        (ended(11), False, ExecutionStatus.CRASHED),
        (ended(11), True, ExecutionStatus.CRASHED),
        (ended(40), False, ExecutionStatus.CRASHED),
    ],
)
def test_the_kernels_word_decides(end: ChildEnded, overran: bool, status: ExecutionStatus) -> None:
    """A kill that came too late changes nothing, nor does a report against the wait status."""
    assert ending.of_exit(end, overran=overran, seconds=5.0).status is status


@pytest.mark.parametrize("wait_status", [0, 1 << 8, 9, 11])
def test_a_child_that_could_not_be_made_ready_is_the_sandboxes_fault(wait_status: int) -> None:
    """It is an exception, never shown to the model; a kill of ours before it was ready is none."""
    end = ChildEnded(1, wait_status, 0.0, "", "no space")
    with pytest.raises(SandboxError, match="no space"):
        ending.of_exit(end, overran=False, seconds=5.0)
    assert ending.of_exit(replace(end, wait_status=9), overran=True, seconds=5.0).status is ExecutionStatus.TIMEOUT


@given(st.text() | st.sampled_from(["broken\nno space", "broken"]))
def test_no_report_says_that_the_sandbox_broke(report: str) -> None:
    """Any report is read as one about the program."""
    assert ending.of_exit(ended(1 << 8, report), overran=False, seconds=5.0).status in set(ExecutionStatus)
