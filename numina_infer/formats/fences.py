r"""Programs in ```python blocks, outputs in ```output blocks: the shape that most formats share.

It is ToRA's (arXiv 2309.17452): prose, a program, its output, prose, `\boxed{}`. Numina, DeepSeekMath and Qwen2.5-Math
took it over; they differ in the prompt, in how much of an output is kept, and in the state that programs share.
Neither we nor the model wrote a program's output: `disarm` breaks everything in it that could end its block, or open
a turn or a tool call.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from numina_infer.core.config import Mode
from numina_infer.core.records import Completion, Execution, ExecutionStatus, FinishReason, SpecialToken, Turn

OUTPUT_FENCE = "```output\n"
_OUTPUT_FENCES = (OUTPUT_FENCE, "```output\r\n")
"""A model asks for an output with one of these; some write Windows newlines."""
_BARE_OUTPUT_FENCE = OUTPUT_FENCE.rstrip()
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


# --- the shape ---

Parts = tuple[str | SpecialToken, ...]
"""Text of ours, with special tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """A `ports.Format` of the common shape."""

    name: str
    mode: Mode
    before: Parts
    """The prompt before the statement."""
    after: Parts
    """The prompt behind the statement; the model continues it."""
    markers: re.Pattern[str]
    """Texts that open a turn or a tool call in this format; they are broken in outputs."""
    max_output_chars: int
    """Characters of an output that the model sees."""
    keeps_end: bool = False
    """Keep both ends of a long output instead of its head."""
    empty_output: str = ""
    """The text of an output block when the program printed nothing."""
    closing: str = "```"
    """The fence behind an output, and the text between it and the model's next turn."""
    made_up: tuple[str, ...] = ()
    """More stop strings: headings with which the model begins a problem of its own."""

    @property
    def stop(self) -> tuple[str, ...]:
        """A turn ends where the model asks for an output, or makes a problem up."""
        return (*_OUTPUT_FENCES, *self.made_up)

    def prompt(self, statement: str) -> Parts:
        """The text that the model continues."""
        return (*self.before, statement.strip(), *self.after)

    def program(self, completion: Completion) -> str | None:
        """The program whose output the model waits for, or None when it has finished.

        It waits when it opened an output block, or when it ended right behind a Python block.
        """
        block = last_code_block(completion.text)
        if block is None:
            return None
        if completion.stop_reason in _OUTPUT_FENCES:
            return block.code
        rest = unify_newlines(completion.text)[block.end :].strip()
        is_last = completion.finish_reason is FinishReason.EOS and rest in {"", _BARE_OUTPUT_FENCE}
        return block.code if is_last else None

    def observation(self, completion: Completion, execution: Execution) -> str:
        """The text behind `completion`: the output, shortened and disarmed, and the closing fence."""
        opening = "" if completion.stop_reason in _OUTPUT_FENCES else _open_output(completion.text)
        output = shorten_output(execution, self.max_output_chars, keeps_end=self.keeps_end) or self.empty_output
        return f"{opening}{disarm(output, self.markers)}\n{self.closing}"

    def said(self, turn: Turn) -> str:
        """The turn's text, its program closed; the last turn's text as it is."""
        if turn.code is None:
            return turn.completion.text
        said = turn.completion.text.removesuffix(turn.completion.stop_reason or "")
        block = last_code_block(said)
        return f"{said}\n```" if block is not None and not block.is_closed else said


def _open_output(text: str) -> str:
    """The output fence that a model left out when it ended right behind its code."""
    newline = "" if text.endswith("\n") else "\n"
    if text.rstrip().endswith(_BARE_OUTPUT_FENCE):
        return newline
    fence = "" if unify_newlines(text).rstrip().endswith("```") else "```\n"
    return f"{newline}{fence}{OUTPUT_FENCE}"


# --- worked examples ---


class WorkedExample(NamedTuple):
    """A solved problem, which shows the shape to a model that wasn't trained on it."""

    statement: str
    solution: str
    """The text that the model should write, with the output between its parts."""


EXAMPLES = (
    WorkedExample(
        "What is 346 plus 478?",
        "We compute 346 plus 478 with Python.\n```python\nprint(346 + 478)\n```\n```output\n824\n```\n"
        "The program printed 824. The answer is $\\boxed{824}$.",
    ),
    WorkedExample(
        "A box holds 24 pencils. How many pencils are in 15 boxes?",
        "We compute 24 times 15 with Python.\n```python\nprint(24 * 15)\n```\n```output\n360\n```\n"
        "The program printed 360. The answer is $\\boxed{360}$.",
    ),
)
