"""What models write and programs print, at its worst: a program is found or none, and no output opens a turn."""

import re
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.answers.extract import extract_answer
from numina_infer.core.ports import Format
from numina_infer.core.records import (
    AnswerRange,
    Completion,
    Execution,
    ExecutionStatus,
    FinishReason,
    NoAnswer,
    SpecialToken,
    Turn,
)
from numina_infer.formats import fences
from numina_infer.formats.catalogue import FORMATS, make_format
from numina_infer.formats.chat import CHAT
from numina_infer.formats.fences import code_blocks, last_code_block, shorten_output

FIXED = [make_format(name) for name in FORMATS if name != CHAT]
formats = pytest.mark.parametrize("fmt", FIXED, ids=lambda fmt: fmt.name)
PIECES = st.sampled_from(
    [
        *("```", "``", "`", "````", "\n", "\r\n", "\r", "\x0b", "\u2028", " ", "\t", "\\\n", "\0", "\ud800", "\u200b"),
        *(
            "python",
            "Python3",
            "py",
            "output",
            "#",
            "# ",
            '"""',
            "'''",
            '"',
            "'",
            "print(1)",
            "x = (",
            "if 1:",
            "    ",
        ),
        *("### Problem:", "###Solution", "####", "## # Problem", "User:", "Assistant:", "uſer:", "<tool_call>"),
        *("</tool_call>", "<|im_start|>", "<|im_end|>", "<|", "|>", "im_start", "<", ">", "tool_call", "user", "7"),
        *(r"\boxed{7}", "The answer is 7.", "é", "😀", "x" * 300),
    ]
)
texts = st.lists(PIECES, max_size=40).map("".join) | st.text()
statuses = st.sampled_from(ExecutionStatus)
finish_reasons = st.sampled_from(FinishReason)


@st.composite
def completions(draw: st.DrawFn, fmt: Format) -> Completion:
    """A turn of any text that ended in any way; a stop string that ended it stands at its end."""
    stop = draw(st.sampled_from([None, *fmt.stop]))
    finish = FinishReason.STOP if stop else draw(finish_reasons)
    return Completion(draw(texts) + (stop or ""), (), finish, stop)


@formats
@given(st.data(), texts, statuses, st.integers(0, 3))
def test_any_turn_has_a_program_or_none_and_is_said(
    fmt: Format, data: st.DataObject, output: str, status: ExecutionStatus, kept: int
) -> None:
    """Whatever a model writes, however its turn ended, whatever came of its program."""
    completion = data.draw(completions(fmt))
    program = fmt.program(completion)
    assert program is None or isinstance(program, str)
    execution = Execution(status, output)
    turn = Turn(completion, program, execution, fmt.observation(completion, execution))
    extract_answer(fmt.said(turn), AnswerRange.MOD_1000, complete=bool(kept))


@formats
@given(st.data(), texts, statuses)
def test_no_output_ends_its_block_or_opens_a_turn(
    fmt: Format, data: st.DataObject, output: str, status: ExecutionStatus
) -> None:
    """Whatever is printed, in success or in failure, behind whatever the model wrote."""
    completion = data.draw(completions(fmt))
    opening, _, _ = fmt.observation(completion, Execution(ExecutionStatus.OK, "5")).partition("5")
    observation = fmt.observation(completion, Execution(status, output))
    assert observation.startswith(opening)
    shown = observation.removeprefix(opening)
    assert shown.count("```") == 1
    assert shown.rstrip().endswith("```")
    assert not any(stop in shown for stop in fmt.stop)
    assert not MARKERS[fmt.name].search(shown)


_CHATML = re.compile(r"</?tool_call>|<\|\w+\|>", re.IGNORECASE)
_HEADINGS = re.compile(r"###[ \t]*(?:Problem|Solution)\b", re.IGNORECASE)
MARKERS = {
    "numina": _HEADINGS,
    "numina-few-shot": _HEADINGS,
    "deepseek-math": re.compile("(?:User|Assistant):", re.IGNORECASE),
    "qwen2.5-math": _CHATML,
    "openmath": _CHATML,
}
"""What opens a turn or a call, said once more than the formats say it."""


@formats
@given(texts)
def test_a_statement_is_plain_text_of_its_prompt(fmt: Format, statement: str) -> None:
    """It makes no special token, so its prompt has those that every prompt has."""
    usual = [part for part in fmt.prompt("?") if isinstance(part, SpecialToken)]
    assert [part for part in fmt.prompt(statement) if isinstance(part, SpecialToken)] == usual
    assert any(isinstance(part, str) and statement.strip() in part for part in fmt.prompt(statement))


@formats
@given(st.text(st.sampled_from("()+*/ =0123456789abcx\n")), st.integers(0, 999))
def test_a_program_states_no_answer(fmt: Format, code: str, number: int) -> None:
    """Not in what it holds, and not in what it prints."""
    program = f'{code}\nprint(r"\\boxed{{{number}}}")'
    text = f"<tool_call>\n{program}\n" if fmt.name == "openmath" else f"```python\n{program}\n```\n"
    completion = Completion(f"So.\n{text}{fmt.stop[0]}", (), FinishReason.STOP, fmt.stop[0])
    execution = Execution(ExecutionStatus.OK, f"\\boxed{{{number}}}")
    turn = Turn(completion, program, execution, fmt.observation(completion, execution))
    assert extract_answer(fmt.said(turn), AnswerRange.MOD_1000).reason is NoAnswer.NOT_STATED


@given(texts)
def test_blocks_lie_in_their_text_one_behind_the_other(text: str) -> None:
    """Each holds what stands between its fences, and only the last may be open."""
    unified = fences.unify_newlines(text)
    end = 0
    blocks = list(code_blocks(text))
    for block in blocks:
        assert end <= block.start < block.end <= len(unified)
        assert block.code in unified[block.start : block.end]
        end = block.end
    assert all(block.is_closed for block in blocks[:-1])
    assert last_code_block(text) == (blocks[-1] if blocks else None)


@given(texts, statuses, st.integers(2, 50), st.booleans())
def test_an_output_is_shortened_to_a_bound(text: str, status: ExecutionStatus, most: int, keeps_end: bool) -> None:
    """With the mark that says so, and an error's last line."""
    short = shorten_output(Execution(status, text), most, keeps_end=keeps_end)
    assert len(short) <= most + max(len(fences.TRUNCATION_MARK) + 1, 3)
    assert len(text) > most or short == text


@given(st.integers(1, 300), st.sampled_from(['```python\ns = """\n', "```python\n'''\n```\n", "```\n", "```python\n"]))
def test_the_work_on_a_turn_grows_with_its_length_and_no_faster(times: int, piece: str) -> None:
    """Counted in lines that are tokenised: a few times those that there are, however the fences stand."""
    lines = 0
    generate = tokenize.generate_tokens

    def counted(readline: object) -> object:
        def read() -> str:
            nonlocal lines
            lines += 1
            return readline()  # type: ignore[operator,no-any-return] # a file's

        return generate(read)

    text = piece * times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenize, "generate_tokens", counted)
        list(code_blocks(text))
    assert lines <= 10 * (text.count("\n") + 2)


def test_a_tokenizer_that_can_not_encode_is_no_end_of_a_trajectory() -> None:
    """Half a surrogate pair in a string that goes on: newer Pythons tokenise bytes, and have none for it."""
    block = last_code_block('```python\ns = """\ud800\n```\n"""\n```\n')
    assert block is not None


@pytest.mark.parametrize(
    "error", [UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), SyntaxError("null bytes")]
)
def test_whatever_a_tokenizer_raises_is_no_open_string(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they raise differs from one Python to the next."""

    def refuse(readline: object) -> object:
        raise error

    monkeypatch.setattr(tokenize, "generate_tokens", refuse)
    assert not fences._ends_in_string('"""')
