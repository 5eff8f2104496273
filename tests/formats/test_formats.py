"""What all formats keep to, and the strings of those that models were trained on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import Mode
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Format
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    FinishReason,
    SpecialToken,
    Turn,
    plain_text,
)
from numina_infer.formats.catalogue import FORMATS, make_format
from numina_infer.formats.chat import CHAT
from numina_infer.formats.math_instruct import OpenMath

FIXED = [make_format(name) for name in FORMATS if name != CHAT]
formats = pytest.mark.parametrize("fmt", FIXED, ids=lambda fmt: fmt.name)
OPENMATH = make_format("openmath")
START, END = SpecialToken("<|im_start|>"), SpecialToken("<|im_end|>")
PIECES = [
    *("```", "`", "\n", " ", "\r", "output", "python", "#", "### Problem:", "### Solution:", "User:", "Assistant:"),
    *("<tool_call>", "</tool_call>", "<", ">", "tool_call", "|", "<|im_start|>", "<|im_end|>", "im_end", "user", "7"),
]
TURN_OPENERS = ("### problem", "### solution", "user:", "assistant:", "<|im_start|>", "<|im_end|>")
printed = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def asked(fmt: Format, text: str) -> Completion:
    """A turn that ended with the format's own call."""
    return Completion(text + fmt.stop[0], (), FinishReason.STOP, fmt.stop[0])


def call(fmt: Format, code: str) -> Completion:
    """A turn with a program, as the format has it."""
    if fmt.name == "openmath":
        return asked(fmt, f"We compute.\n<tool_call>\n{code}\n")
    return asked(fmt, f"We compute.\n```python\n{code}\n```\n")


def test_a_format_is_found_by_its_name() -> None:
    """And the statement stands in its prompt."""
    assert [fmt.name for fmt in FIXED] == [name for name in FORMATS if name != CHAT]
    assert all("What is $1+1$?" in fmt.prompt(" What is $1+1$?\n") for fmt in FIXED)


def test_an_unknown_format_names_the_known_ones() -> None:
    """The error says what may be chosen."""
    with pytest.raises(ConfigError, match=r"'tora'; choose one of numina, .*openmath, chat"):
        make_format("tora")


@formats
def test_a_call_gives_its_program(fmt: Format) -> None:
    """Which is run as it was written."""
    assert fmt.program(call(fmt, "x = 1\nif x:\n    print(x)")) == "x = 1\nif x:\n    print(x)"


@formats
@pytest.mark.parametrize("reason", [FinishReason.EOS, FinishReason.LENGTH, FinishReason.ABORT])
def test_a_conclusion_gives_none(fmt: Format, reason: FinishReason) -> None:
    """However it ends."""
    assert fmt.program(Completion("The answer is $\\boxed{1}$.", (), reason)) is None
    assert fmt.program(asked(fmt, "No program here. ")) is None


@formats
def test_a_program_is_no_statement_of_the_model(fmt: Format) -> None:
    """It stands in a Python block, and the block is closed."""
    completion = call(fmt, "print('\\\\boxed{7} ```')")
    said = fmt.said(Turn(completion, "print()"))
    assert said.startswith("We compute.\n```python\n")
    assert said.rstrip().endswith("\n```")
    assert not any(stop.strip("`\n") in said for stop in fmt.stop)


@formats
@given(printed=printed)
def test_an_output_closes_no_block_and_opens_no_turn(fmt: Format, printed: str) -> None:
    """Whatever a program prints: our fences are the only ones, no heading, no call, no token's spelling."""
    observation = fmt.observation(call(fmt, "print()"), Execution(ExecutionStatus.OK, printed))
    opening, _, rest = observation.partition("```output\n") if fmt.name == "openmath" else ("", "", observation)
    assert opening.strip() == ""
    assert rest.count("```") == 1
    assert rest.rstrip().endswith("```")
    assert not any(stop in observation for stop in fmt.stop)
    markers = getattr(fmt, "markers", None)
    assert markers is None or not markers.search(observation)
    if fmt.name in {"qwen2.5-math", "openmath"}:
        assert not any(marker in observation for marker in ("<tool_call>", "</tool_call>", *TURN_OPENERS[4:]))
    else:
        own = TURN_OPENERS[2:4] if fmt.name == "deepseek-math" else TURN_OPENERS[:2]
        assert not any(marker in observation.lower() for marker in own)


def test_deepseek_math_is_asked_as_it_was_trained() -> None:
    """The published instruction behind the problem, and no system turn; the tokenizer puts BOS in front."""
    fmt = make_format("deepseek-math")
    assert plain_text(fmt.prompt("What is $1+1$?")) == (
        "User: What is $1+1$?\nPlease integrate natural language reasoning with programs to solve the problem above, "
        "and put your final answer within \\boxed{}.\n\nAssistant:"
    )
    assert fmt.mode is Mode.REPLAY
    assert fmt.observation(call(fmt, "print(1)"), Execution(ExecutionStatus.OK, "1")) == "1\n```\n"


def test_qwen_math_is_asked_as_it_was_trained() -> None:
    """The instruction is the system turn; earlier programs are replayed."""
    fmt = make_format("qwen2.5-math")
    assert fmt.prompt("What is $1+1$?") == (
        START,
        "system\nPlease integrate natural language reasoning with programs to solve the problem above, "
        "and put your final answer within \\boxed{}.",
        *(END, "\n", START, "user\n", "What is $1+1$?", END, "\n", START, "assistant\n"),
    )
    assert fmt.mode is Mode.REPLAY
    long = Execution(ExecutionStatus.OK, "1" * 300 + "2" * 300)
    assert fmt.observation(call(fmt, "print(1)"), long) == "1" * 200 + "..." + "2" * 200 + "\n```\n"


def test_openmath_is_asked_as_it_was_trained() -> None:
    """An empty system turn, and how many programs it may run."""
    fmt = make_format("openmath", max_calls=3)
    assert plain_text(fmt.prompt("What is $1+1$?")) == (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n"
        "Solve the following math problem, integrating natural language reasoning with Python code executions.\n"
        "You may perform up to 3 Python code calls to assist your reasoning.\n"
        "Make sure to put the answer (and only answer) inside \\boxed{}.\n\n"
        "What is $1+1$?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (fmt.mode, fmt.stop) == (Mode.SESSION, ("</tool_call>",))


def test_openmath_shows_an_output_behind_the_call() -> None:
    """A new line, a block, a new line; nothing printed is an empty block."""
    completion = call(OPENMATH, "print(1)")
    assert OPENMATH.observation(completion, Execution(ExecutionStatus.OK, "1")) == "\n```output\n1\n```\n"
    assert OPENMATH.observation(completion, Execution(ExecutionStatus.OK, "")) == "\n```output\n```\n"


def test_openmath_runs_the_call_that_ended_the_turn() -> None:
    """A Python block is no call, and what stands before the last opening tag is none either."""
    assert OPENMATH.program(Completion("```python\nprint(1)\n```", (), FinishReason.EOS)) is None
    assert OPENMATH.program(asked(OPENMATH, "<tool_call>\na\nNo: <tool_call>\r\nprint(2)\r\n")) == "print(2)"


def test_a_call_that_a_limit_cut_off_is_no_statement() -> None:
    """What stands in it isn't said by the model."""
    cut = Turn(Completion("So.<tool_call>\nprint('\\\\boxed{7}", (), FinishReason.LENGTH))
    assert OPENMATH.said(cut) == "So.```python\n\nprint('\\\\boxed{7}\n```"


def test_a_number_of_calls_below_zero_is_refused() -> None:
    """It goes into the prompt."""
    with pytest.raises(ConfigError, match="max_calls is -1"):
        OpenMath(max_calls=-1)
