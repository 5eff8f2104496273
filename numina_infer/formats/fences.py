r"""Tool-integrated reasoning as text: programs in what a model wrote, outputs on their way back to it.

The shape is ToRA's (arXiv 2309.17452): prose, a ```python block, an ```output block, prose, `\boxed{}`.
Which models write it, and how they are asked, is `formats/`.

A program's output is the only text in a context that neither we nor the model wrote: `disarm` takes away
everything by which it could end its own block, or open a turn or a tool call.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from numina_infer.core.records import Completion, Execution, ExecutionStatus

OUTPUT_FENCE = "```output\n"
TRUNCATION_MARK = " ... (output truncated)"

_OPENING = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*(?:\n|$)", re.IGNORECASE)
_CLOSING = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)
_MAX_CLOSINGS_TRIED = 8


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced Python block of a completion."""

    code: str
    start: int
    """Index in the text at the opening fence."""
    end: int
    """Index in the text (newlines as `\\n`) just behind the closing fence, or the text's length without one."""
    is_closed: bool


def statement(completion: Completion) -> str:
    """What the model says in `completion`: without the stop string, and with no block left open behind its program."""
    said = completion.text.removesuffix(completion.stop_reason or "")
    block = last_code_block(said)
    return f"{said}\n```" if block is not None and not block.is_closed else said


def unify_newlines(text: str) -> str:
    r"""`text` with Windows' and old Macs' line ends as `\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def last_code_block(text: str) -> CodeBlock | None:
    """The last Python block in `text`; an unclosed one reaches to the end; None without any."""
    block = None
    for block in code_blocks(text):  # noqa: B007 (the last one is wanted)
        pass
    return block


def code_blocks(text: str) -> Iterator[CodeBlock]:
    """All Python blocks in `text`, in order. A fence inside a string literal of the program closes nothing."""
    text = unify_newlines(text)
    position = 0
    while opening := _OPENING.search(text, position):
        block = _read_block(text, opening)
        yield block
        position = block.end


def _read_block(text: str, opening: re.Match[str]) -> CodeBlock:
    start = opening.end()
    closings = _closings(text, start)
    first = next(closings, None)
    if first is None:
        return _unclosed_block(text, opening)
    for closing in (first, *closings):
        code = text[start : closing.start()]
        if not _ends_in_string(code):
            return CodeBlock(_without_fence(code), opening.start(), closing.end(), is_closed=True)
    return CodeBlock(_without_fence(text[start : first.start()]), opening.start(), first.end(), is_closed=True)


def _closings(text: str, start: int) -> Iterator[re.Match[str]]:
    for _, closing in zip(range(_MAX_CLOSINGS_TRIED), _CLOSING.finditer(text, start), strict=False):
        yield closing


def _unclosed_block(text: str, opening: re.Match[str]) -> CodeBlock:
    """A block that no line closes; a fence at the end of its last line does."""
    code = text[opening.end() :].rstrip()
    bare = _without_fence(code)
    return CodeBlock(bare, opening.start(), len(text), is_closed=bare != code)


def _without_fence(code: str) -> str:
    """`code` without a fence at the end of its last line, as in `print(1)```, unless that is a comment."""
    code = code.rstrip("\n")
    last_line = code[code.rfind("\n") + 1 :]
    return code[:-3].rstrip() if code.endswith("```") and "#" not in last_line else code


_GOES_ON = re.compile(r"\"\"\"|'''|\\\r?\n")
"""What a string needs to reach beyond its line: triple quotes, or a backslash at the line's end."""


def _ends_in_string(code: str) -> bool:
    """True when `code` stops inside a string that goes on behind a line's end."""
    if not _GOES_ON.search(code):  # tokenizing is most of what a turn costs, and differs between Pythons
        return False
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "string" in str(error.args[0])
    except (SyntaxError, ValueError):  # from Python 3.12 on it has no bytes for half a surrogate pair
        return False
    return False


def shorten_output(execution: Execution, max_chars: int, *, keeps_end: bool = False) -> str:
    """`max_chars` characters of the output, its head or both its ends.

    Of an error, the exception's line is kept whole. The head is Numina's rule, both ends are ToRA's and Qwen's; that
    Numina's cuts the exception's name away is one of its known faults.
    """
    output = execution.output
    if len(output) <= max_chars:
        return output
    if execution.status is not ExecutionStatus.OK:
        last_line = output.rstrip().rpartition("\n")[2][:max_chars]
        head = output[: max(0, max_chars - len(last_line))]
        return f"{head}{TRUNCATION_MARK}\n{last_line}"
    half = max_chars // 2
    return f"{output[:half]}...{output[-half:]}" if keeps_end else output[:max_chars] + TRUNCATION_MARK


_FENCE = re.compile(r"`{3,}")


def disarm(output: str, markers: re.Pattern[str]) -> str:
    """`output` without anything that could end its block or open a turn: fences, and what `markers` finds.

    A marker is broken by a space in front of its last character.
    """
    without_fences = _FENCE.sub(lambda fence: "'" * len(fence.group()), unify_newlines(output))
    return markers.sub(lambda marker: f"{marker.group()[:-1]} {marker.group()[-1]}", without_fences)
