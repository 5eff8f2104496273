"""Programs in ```python blocks, outputs in ```output blocks: what most models write.

The shape is ToRA's (arXiv 2309.17452). Numina, DeepSeekMath and Qwen2.5-Math took it over and differ in the prompt,
in what is kept of an output, and in what programs share.
"""

import re
from dataclasses import dataclass

from numina_infer.core.config import Mode
from numina_infer.core.records import Completion, Execution, FinishReason, SpecialToken, Turn
from numina_infer.formats.fences import (
    OUTPUT_FENCE,
    disarm,
    last_code_block,
    shorten_output,
    statement,
    unify_newlines,
)

_OUTPUT_FENCES = (OUTPUT_FENCE, "```output\r\n")
"""How a model asks for an output; some write Windows newlines."""
_BARE_OUTPUT_FENCE = OUTPUT_FENCE.rstrip()

Parts = tuple[str | SpecialToken, ...]
"""Text of ours, with special tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """A `ports.Format` of the common shape."""

    name: str
    mode: Mode
    before: Parts
    """What stands in a prompt before the statement."""
    after: Parts
    """What stands behind it, down to where the model goes on."""
    markers: re.Pattern[str]
    """What opens a turn or a tool call here; no output keeps it."""
    max_output_chars: int
    """Kept of an output."""
    keeps_end: bool = False
    """Keep both ends of a long output, not its head alone."""
    empty_output: str = ""
    """What stands in an output block when the program printed nothing."""
    closing: str = "```"
    """The fence behind an output, with what follows it before the model goes on."""
    made_up: tuple[str, ...] = ()
    """Stop strings at which a turn ends because the model goes on for somebody else."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Where a turn ends: the model asks for an output, or makes something up."""
        return (*_OUTPUT_FENCES, *self.made_up)

    def prompt(self, statement: str) -> Parts:
        """What the model continues."""
        return (*self.before, statement.strip(), *self.after)

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
        output = shorten_output(execution, self.max_output_chars, keeps_end=self.keeps_end) or self.empty_output
        return f"{opening}{disarm(output, self.markers)}\n{self.closing}"

    def said(self, turn: Turn) -> str:
        """The turn's text, its program closed; the last turn's text as it is."""
        return turn.completion.text if turn.code is None else statement(turn.completion)


def _open_output(text: str) -> str:
    """The output fence that a model left out when it ended right behind its code."""
    newline = "" if text.endswith("\n") else "\n"
    if text.rstrip().endswith(_BARE_OUTPUT_FENCE):
        return newline
    fence = "" if unify_newlines(text).rstrip().endswith("```") else "```\n"
    return f"{newline}{fence}{OUTPUT_FENCE}"
