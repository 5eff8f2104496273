r"""Finds programs in the text of a model, and prepares their outputs for it.

The shape is ToRA's (arXiv 2309.17452): prose, a ```python block, an ```output block, prose, `\boxed{}`.
Neither we nor the model wrote a program's output: `disarm` breaks everything in it that could end its block, or open
a turn or a tool call.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from numina_infer.core.records import Completion, Execution, ExecutionStatus

OUTPUT_FENCE = "```output\n"
TRUNCATION_MARK = " ... (output truncated)"

_OPENING = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*(?:\n|$)", re.IGNORECASE)
_CLOSING = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)
_MAX_CLOSINGS_TRIED = 8
_GOES_ON = re.compile(r"\"\"\"|'''|\\\r?\n")
"""What a string needs to reach beyond its line: triple quotes, or a backslash at the line's end."""
_FENCE = re.compile(r"`{3,}")


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
    """The text of `completion` without its stop string; a block that its program leaves open is closed."""
    said = completion.text.removesuffix(completion.stop_reason or "")
    block = last_code_block(said)
    return f"{said}\n```" if block is not None and not block.is_closed else said


def unify_newlines(text: str) -> str:
    r"""`text` with the line ends of Windows and old Macs as `\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def last_code_block(text: str) -> CodeBlock | None:
    """The last Python block in `text`; an unclosed one reaches to the end; None without any."""
    blocks = list(code_blocks(text))
    return blocks[-1] if blocks else None


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
    closings = list(islice(_CLOSING.finditer(text, start), _MAX_CLOSINGS_TRIED))
    if not closings:
        code = text[start:].rstrip()
        bare = _without_fence(code)  # a fence may stand at the end of the last line
        return CodeBlock(bare, opening.start(), len(text), is_closed=bare != code)
    outside_strings = (closing for closing in closings if not _ends_in_string(text[start : closing.start()]))
    closing = next(outside_strings, closings[0])
    return CodeBlock(_without_fence(text[start : closing.start()]), opening.start(), closing.end(), is_closed=True)


def _without_fence(code: str) -> str:
    """`code` without a fence at the end of its last line, as in `print(1)```, unless that is a comment."""
    code = code.rstrip("\n")
    last_line = code[code.rfind("\n") + 1 :]
    return code[:-3].rstrip() if code.endswith("```") and "#" not in last_line else code


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
    """The first `max_chars` characters of the output (Numina's rule), or both its ends (ToRA's and Qwen's).

    An error keeps the whole line of its exception; that Numina's rule cuts it off is a known fault.
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


def disarm(output: str, markers: re.Pattern[str]) -> str:
    """`output` without fences and with a space in each marker, so that it ends no block and opens no turn."""
    without_fences = _FENCE.sub(lambda fence: "'" * len(fence.group()), unify_newlines(output))
    return markers.sub(lambda marker: f"{marker.group()[:-1]} {marker.group()[-1]}", without_fences)
