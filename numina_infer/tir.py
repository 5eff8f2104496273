r"""Tool-integrated reasoning as text, both ways: problem → prompt, completion → program, output → observation.

The format `numina` is what NuminaMath-7B-TIR was trained on (project-numina/aimo-progress-prize,
training/configs/stage-2-tir.yaml and kaggle-solution.ipynb): prose, a ```python block, an ```output block, prose,
`\boxed{}`.
`numina-few-shot` puts worked examples of the same shape in front, for models that never saw it.
ToRA (arXiv 2309.17452) is where the shape comes from.

A program's output is the only text in a context that neither we nor the model wrote: `NuminaFormat.observation`
takes away everything by which it could end its own block or open a turn.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from numina_infer.config import Mode, require
from numina_infer.trajectory import Completion, Execution, ExecutionStatus, FinishReason

OUTPUT_FENCE = "```output\n"
_OUTPUT_FENCES = (OUTPUT_FENCE, "```output\r\n")
"""How a model asks for an output; some write Windows newlines."""
PROBLEM_HEADING = "### Problem: "
SOLUTION_HEADING = "### Solution: "
_BARE_OUTPUT_FENCE = OUTPUT_FENCE.rstrip()
TRUNCATION_MARK = " ... (output truncated)"

_OPENING = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*(?:\n|$)", re.IGNORECASE)
_CLOSING = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)
_MAX_CLOSINGS_TRIED = 8


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced Python block of a completion."""

    code: str
    end: int
    """Index in the text (newlines as `\\n`) just behind the closing fence, or the text's length without one."""
    is_closed: bool


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """A solved problem that shows the shape to a model that wasn't trained on it."""

    statement: str
    reasoning: str
    code: str
    output: str
    conclusion: str

    def render(self) -> str:
        """The example as the model should have written it, closed by a blank line."""
        return (
            f"{PROBLEM_HEADING}{self.statement}\n{SOLUTION_HEADING}{self.reasoning}\n"
            f"```python\n{self.code}\n```\n{OUTPUT_FENCE}{self.output}\n```\n{self.conclusion}\n\n"
        )


@dataclass(frozen=True, slots=True)
class NuminaFormat:
    """How NuminaMath-7B-TIR writes, with or without worked examples in front."""

    name: str
    examples: tuple[WorkedExample, ...] = ()
    max_output_chars: int = 200
    """Kept of an output: the kernel's own figure."""
    empty_output: str = ""
    """What stands in an output block when the program printed nothing."""
    mode: Mode = Mode.FRESH

    @property
    def stop(self) -> tuple[str, ...]:
        """Where a turn ends: the model asks for an output, or, after worked examples, makes up a next problem."""
        return (*_OUTPUT_FENCES, PROBLEM_HEADING.rstrip()) if self.examples else _OUTPUT_FENCES

    def prompt(self, statement: str) -> str:
        """The text that the model continues."""
        plain = f"{PROBLEM_HEADING}{statement}\n{SOLUTION_HEADING}"
        if not self.examples:
            return plain
        # In the examples a tokenizer joins the heading's last space to the word behind it, so that the model has
        # never seen the space alone.
        return "".join(example.render() for example in self.examples) + plain.rstrip(" ")

    def program(self, completion: Completion) -> str | None:
        """The program that the model waits for the output of, or None when this was its last word.

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
        """What follows `completion`: the output, bounded, unable to end its block, and the closing fence."""
        opening = "" if completion.stop_reason in _OUTPUT_FENCES else _open_output(completion.text)
        shown = shorten_output(execution, self.max_output_chars) or self.empty_output
        return f"{opening}{disarm(shown)}\n```"


def _open_output(text: str) -> str:
    """The output fence that a model left out when it ended right behind its code."""
    newline = "" if text.endswith("\n") else "\n"
    if text.rstrip().endswith(_BARE_OUTPUT_FENCE):
        return newline
    fence = "" if unify_newlines(text).rstrip().endswith("```") else "```\n"
    return f"{newline}{fence}{OUTPUT_FENCE}"


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
        block = _read_block(text, opening.end())
        yield block
        position = block.end


def _read_block(text: str, start: int) -> CodeBlock:
    closings = _closings(text, start)
    first = next(closings, None)
    if first is None:
        return _unclosed_block(text, start)
    for closing in (first, *closings):
        code = text[start : closing.start()]
        if not _ends_in_string(code):
            return CodeBlock(_without_fence(code), closing.end(), is_closed=True)
    return CodeBlock(_without_fence(text[start : first.start()]), first.end(), is_closed=True)


def _closings(text: str, start: int) -> Iterator[re.Match[str]]:
    for _, closing in zip(range(_MAX_CLOSINGS_TRIED), _CLOSING.finditer(text, start), strict=False):
        yield closing


def _unclosed_block(text: str, start: int) -> CodeBlock:
    """A block that no line closes; a fence at the end of its last line does."""
    code = text[start:].rstrip()
    bare = _without_fence(code)
    return CodeBlock(bare, len(text), is_closed=bare != code)


def _without_fence(code: str) -> str:
    """`code` without a fence at the end of its last line, as in `print(1)```, unless that is a comment."""
    code = code.rstrip("\n")
    last_line = code[code.rfind("\n") + 1 :]
    return code[:-3].rstrip() if code.endswith("```") and "#" not in last_line else code


def _ends_in_string(code: str) -> bool:
    """True when `code` stops inside a triple-quoted string."""
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "string" in str(error.args[0])
    except SyntaxError:
        return False
    return False


def shorten_output(execution: Execution, max_chars: int) -> str:
    """The first `max_chars` characters of the output and a mark; of an error, the exception's line is kept whole.

    The head is the kernel's rule; that it cuts the exception's name away is one of its known faults.
    """
    output = execution.output
    if len(output) <= max_chars:
        return output
    if execution.status is ExecutionStatus.OK:
        return output[:max_chars] + TRUNCATION_MARK
    last_line = output.rstrip().rpartition("\n")[2][:max_chars]
    head = output[: max(0, max_chars - len(last_line))]
    return f"{head}{TRUNCATION_MARK}\n{last_line}"


_FENCE = re.compile(r"`{3,}")
_HEADING = re.compile(r"###(?=[ \t]*(?:Problem|Solution)\b)", re.IGNORECASE)


def disarm(output: str) -> str:
    """`output` without anything that could end its block or open a turn: fences and the format's headings."""
    without_fences = _FENCE.sub(lambda fence: "'" * len(fence.group()), unify_newlines(output))
    return _HEADING.sub("## #", without_fences)


_EXAMPLES = (
    WorkedExample(
        statement="What is 346 plus 478?",
        reasoning="We compute 346 plus 478 with Python.",
        code="print(346 + 478)",
        output="824",
        conclusion="The program printed 824. The answer is $\\boxed{824}$.",
    ),
    WorkedExample(
        statement="A box holds 24 pencils. How many pencils are in 15 boxes?",
        reasoning="We compute 24 times 15 with Python.",
        code="print(24 * 15)",
        output="360",
        conclusion="The program printed 360. The answer is $\\boxed{360}$.",
    ),
)

_FORMATS = {
    "numina": NuminaFormat("numina"),
    "numina-few-shot": NuminaFormat(
        "numina-few-shot", examples=_EXAMPLES, empty_output="(nothing was printed; print the result)"
    ),
}


def get_format(name: str) -> NuminaFormat:
    """The format called `name`; `ConfigError` naming the known ones otherwise."""
    require(name in _FORMATS, f"no format is called {name!r}; choose one of {', '.join(_FORMATS)}")
    return _FORMATS[name]
