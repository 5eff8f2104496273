"""What NuminaMath was trained on, and the few-shot form; both are the common shape of fences."""

import pytest

from numina_infer.core.records import Completion, Execution, ExecutionStatus, FinishReason, plain_text
from numina_infer.formats.fences import OUTPUT_FENCE, TRUNCATION_MARK
from numina_infer.formats.numina import NUMINA, NUMINA_FEW_SHOT


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
    assert plain_text(NUMINA.prompt("What is $1+1$?")) == "### Problem: What is $1+1$?\n### Solution: "


def test_worked_examples_stand_in_front_in_the_same_shape() -> None:
    """The few-shot prompt ends as the plain one does, and each example shows code, output and a box."""
    prompt = plain_text(NUMINA_FEW_SHOT.prompt("What is $1+1$?"))
    assert prompt.endswith(plain_text(NUMINA.prompt("What is $1+1$?")).rstrip())
    assert prompt.count("### Solution:") == 3
    assert prompt.count("```python\n") == prompt.count(OUTPUT_FENCE) == prompt.count("\\boxed{") == 2


def test_only_a_few_shot_turn_ends_at_a_made_up_problem() -> None:
    """A trained model never writes a next problem; one that copies the examples does."""
    assert NUMINA.stop == ("```output\n", "```output\r\n")
    assert NUMINA_FEW_SHOT.stop == (*NUMINA.stop, "### Problem:")


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
    assert "nothing was printed" in NUMINA_FEW_SHOT.observation(stopped("```output\n"), ok(""))
