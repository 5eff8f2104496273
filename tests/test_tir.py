"""The text formats, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.errors import ConfigError
from numina_infer.tir import (
    OUTPUT_FENCE,
    TRUNCATION_MARK,
    NuminaFormat,
    code_blocks,
    disarm,
    get_format,
    last_code_block,
)
from numina_infer.trajectory import Completion, Execution, ExecutionStatus, FinishReason

NUMINA = get_format("numina")
FEW_SHOT = get_format("numina-few-shot")


def stopped(text: str) -> Completion:
    """A completion that ended by asking for an output."""
    return Completion(text, (), FinishReason.STOP, OUTPUT_FENCE)


def ended(text: str) -> Completion:
    """A completion that the model ended itself."""
    return Completion(text, (), FinishReason.EOS)


def ok(output: str) -> Execution:
    """A program that ran well."""
    return Execution(ExecutionStatus.OK, output, stdout=output)


def test_the_numina_prompt_is_the_trained_template() -> None:
    """Heading, statement, newline, heading, one space: nothing before, nothing behind."""
    assert NUMINA.prompt("What is $1+1$?") == "### Problem: What is $1+1$?\n### Solution: "


def test_worked_examples_stand_in_front_in_the_same_shape() -> None:
    """The few-shot prompt ends as the plain one does, and each example shows code, output and a box."""
    prompt = FEW_SHOT.prompt("What is $1+1$?")
    assert prompt.endswith(NUMINA.prompt("What is $1+1$?").rstrip())
    assert prompt.count("### Solution:") == 3
    assert prompt.count("```python\n") == prompt.count(OUTPUT_FENCE) == prompt.count("\\boxed{") == 2


def test_only_a_few_shot_turn_ends_at_a_made_up_problem() -> None:
    """A trained model never writes a next problem; one that copies the examples does."""
    assert NUMINA.stop == ("```output\n", "```output\r\n")
    assert FEW_SHOT.stop == (*NUMINA.stop, "### Problem:")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Let us see.\n```python\nprint(1)\n```\n```output\n", "print(1)"),
        ("```python3\nprint(1)\n```\n", "print(1)"),
        ("```py\nprint(1)\n```\n", "print(1)"),
        ("```Python\nprint(1)\n```\n", "print(1)"),
        ("``` python\nprint(1)\n```\n", "print(1)"),
        ("So: ```python\nprint(1)\n```\n", "print(1)"),
        ("```python\r\nprint(1)\r\nprint(2)\r\n```\r\n", "print(1)\nprint(2)"),
        ("```python\na = 1\n```\nand\n```python\nb = 2\n```\n", "b = 2"),
        ("```python\nprint(1)\n", "print(1)"),
        ("```python\nprint(1)```", "print(1)"),
        ("```python\nprint(1)```\n```output\n", "print(1)"),
        ("```python\nprint(1)  # ```\n```output\n", "print(1)  # ```"),
        ("```python\nprint(1)\n```output\n", "print(1)"),
        ("```python\n  ```\n", ""),
        ('```python\ns = """\n```\n"""\nprint(s)\n```\n', 's = """\n```\n"""\nprint(s)'),
        ('```python\nprint("```")\nprint(2)\n```\n', 'print("```")\nprint(2)'),
        ("```python\nprint('''open\n```\n```output\n", "print('''open"),
        ("```python\nif True:\n    print(1)\n```\n", "if True:\n    print(1)"),
    ],
)
def test_the_last_block_is_found_as_written(text: str, code: str) -> None:
    """Fence names, places, newlines, fences in strings and missing fences."""
    block = last_code_block(text)
    assert block is not None
    assert block.code == code


@pytest.mark.parametrize(
    "text", ["", "no code", "```\nplain\n```", "```output\n5\n```", "``python\nx``", "```pythonic\nx\n```"]
)
def test_other_fences_are_no_programs(text: str) -> None:
    """Only a fence that says Python opens a block."""
    assert last_code_block(text) is None


def test_blocks_come_in_order() -> None:
    """Several blocks in one turn are all seen, first to last."""
    text = "```python\n1\n```\nx\n```py\n2\n```\ny\n```python\n3"
    assert [(block.code, block.is_closed) for block in code_blocks(text)] == [("1", True), ("2", True), ("3", False)]


def test_a_program_waits_when_an_output_is_asked_for() -> None:
    """The output fence is the call; prose behind the block changes nothing."""
    assert NUMINA.program(stopped("```python\nprint(1)\n```\nWe run it.\n```output\n")) == "print(1)"


def test_a_program_waits_when_the_model_ends_on_it() -> None:
    """Untrained models end their turn behind the block instead of opening an output."""
    assert NUMINA.program(ended("```python\nprint(1)\n```\n")) == "print(1)"
    assert NUMINA.program(ended("```python\nprint(1)")) == "print(1)"
    assert NUMINA.program(ended("```python\nprint(1)\n```\n```output")) == "print(1)"


def test_windows_newlines_ask_for_an_output_too() -> None:
    """The stop string that ended the turn is one of the format's own."""
    asked = Completion("```python\r\nprint(1)\r\n```\r\n```output\r\n", (), FinishReason.STOP, "```output\r\n")
    assert NUMINA.program(asked) == "print(1)"
    assert NUMINA.observation(asked, ok("1")) == "1\n```"


@pytest.mark.parametrize(
    "completion",
    [
        ended("```python\nprint(1)\n```\nThe answer is $\\boxed{1}$."),
        ended("The answer is $\\boxed{1}$."),
        stopped("```output\n"),
        Completion("```python\nprint(1)\n```\n", (), FinishReason.LENGTH),
        Completion("```python\nprint(1)", (), FinishReason.ABORT),
        Completion("```python\n1\n```\n### Problem:", (), FinishReason.STOP, "### Problem:"),
    ],
)
def test_nothing_waits_when_the_model_is_done_or_cut_off(completion: Completion) -> None:
    """A program that is half written or already concluded upon isn't run."""
    assert NUMINA.program(completion) is None


def test_an_output_is_written_back_as_the_kernel_does() -> None:
    """Output, newline, three backticks, and no newline behind them."""
    assert NUMINA.observation(stopped("```python\nprint(1)\n```\n```output\n"), ok("1")) == "1\n```"


def test_a_missing_output_fence_is_opened() -> None:
    """What the model left out is put in, so that the context reads as the trained shape."""
    assert NUMINA.observation(ended("```python\nprint(1)\n```"), ok("1")) == "\n```output\n1\n```"
    assert NUMINA.observation(ended("```python\nprint(1)\n```\n"), ok("1")) == "```output\n1\n```"
    assert NUMINA.observation(ended("```python\nprint(1)"), ok("1")) == "\n```\n```output\n1\n```"
    assert NUMINA.observation(ended("```python\nprint(1)\n```\n```output"), ok("1")) == "\n1\n```"


def test_a_long_output_keeps_its_head() -> None:
    """200 characters and the kernel's own mark."""
    shown = NUMINA.observation(stopped("```output\n"), ok("7" * 500))
    assert shown == "7" * 200 + TRUNCATION_MARK + "\n```"


def test_an_exceptions_name_is_never_cut_away() -> None:
    """The last line of a long error survives the cut."""
    error = Execution(ExecutionStatus.ERROR, "Traceback\n" + "x" * 500 + "\nZeroDivisionError: division by zero")
    assert "ZeroDivisionError: division by zero" in NUMINA.observation(stopped("```output\n"), error)


def test_nothing_printed_is_said_only_to_models_that_need_it() -> None:
    """The trained format keeps the empty block of its training."""
    assert NUMINA.observation(stopped("```output\n"), ok("")) == "\n```"
    assert "nothing was printed" in FEW_SHOT.observation(stopped("```output\n"), ok(""))


@given(st.text(alphabet=st.sampled_from(list("`#\n\r \tPpSsroblemutin:output")), max_size=300))
def test_an_output_can_never_open_a_turn(output: str) -> None:
    """Whatever a program prints, the block it stands in is closed by our fence alone and no heading follows."""
    shown = disarm(output)
    assert "```" not in shown
    assert "### Problem" not in shown
    assert "### Solution" not in shown
    observation = FEW_SHOT.observation(stopped("```output\n"), ok(output))
    assert observation.endswith("\n```")
    assert "```" not in observation[:-3]
    assert not any(stop.strip() in observation for stop in FEW_SHOT.stop)


@given(st.text(max_size=300))
def test_parsing_never_raises_and_stays_within_the_text(text: str) -> None:
    """Any text has a list of blocks, each of them a part of it."""
    for block in code_blocks("```python\n" + text):
        assert block.end <= len(text) + len("```python\n")


@given(st.lists(st.sampled_from(["x = 1", "print(x)", "# ```", "s = '```'", "for i in x:", "    pass"]), max_size=8))
def test_a_rendered_block_reads_back(lines: list[str]) -> None:
    """Fencing a program and reading the last block gives the program."""
    code = "\n".join(lines)
    block = last_code_block(f"We compute.\n```python\n{code}\n```\n```output\n")
    assert block is not None
    assert block.code == code.rstrip("\n")


def test_an_unknown_format_names_the_known_ones() -> None:
    """The error says what may be chosen."""
    with pytest.raises(ConfigError, match="numina-few-shot"):
        get_format("tora")


def test_formats_are_told_apart_by_name() -> None:
    """A format's name is the name it is asked for by."""
    assert all(
        isinstance(get_format(name), NuminaFormat) and get_format(name).name == name
        for name in ("numina", "numina-few-shot")
    )
