"""Programs in ```python blocks, outputs in ```output blocks: what most models write.

The shape is ToRA's (arXiv 2309.17452). Numina, DeepSeekMath and Qwen2.5-Math took it over; they differ in the prompt,
in how much of an output is kept, and in the state that programs share.
"""

import re
from dataclasses import dataclass

from numina_infer.core.config import Mode
from numina_infer.core.records import Completion, Execution, FinishReason, SpecialToken, Turn
from numina_infer.formats import fences
from numina_infer.formats.fences import OUTPUT_FENCE, last_code_block, unify_newlines

_OUTPUT_FENCES = (OUTPUT_FENCE, "```output\r\n")
"""A model asks for an output with one of these; some write Windows newlines."""
_BARE_OUTPUT_FENCE = OUTPUT_FENCE.rstrip()

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
        output = fences.shorten_output(execution, self.max_output_chars, keeps_end=self.keeps_end) or self.empty_output
        return f"{opening}{fences.disarm(output, self.markers)}\n{self.closing}"

    def said(self, turn: Turn) -> str:
        """The turn's text, its program closed; the last turn's text as it is."""
        return turn.completion.text if turn.code is None else fences.statement(turn.completion)


def _open_output(text: str) -> str:
    """The output fence that a model left out when it ended right behind its code."""
    newline = "" if text.endswith("\n") else "\n"
    if text.rstrip().endswith(_BARE_OUTPUT_FENCE):
        return newline
    fence = "" if unify_newlines(text).rstrip().endswith("```") else "```\n"
    return f"{newline}{fence}{OUTPUT_FENCE}"
