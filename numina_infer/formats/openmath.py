"""OpenMath-Nemotron's tool calls: the program between tags, the output in an ```output block.

Sources: NVIDIA/NeMo-Skills, prompt/config/openmath/tir.yaml, prompt/code_tags/openmath.yaml and
code_execution/utils.py; the system turn is there and empty, as in the training data (arXiv 2504.16891).
Their evaluation also says after each output how many calls are left; this format doesn't.
"""

import re
from dataclasses import dataclass

from numina_infer.core.config import Mode, require_whole
from numina_infer.core.records import Completion, Execution, Turn
from numina_infer.formats import chatml
from numina_infer.formats.fenced import Parts
from numina_infer.formats.fences import OUTPUT_FENCE, disarm, shorten_output, unify_newlines

_OPENING = "<tool_call>"
_CLOSING = "</tool_call>"
_CALL = re.compile(f"{_OPENING}(.*?)(?:{_CLOSING}|\\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OpenMath:
    """A `ports.Format` with tool calls."""

    max_calls: int = 8
    """The prompt allows the model this many programs; 8 is the evaluation's own."""
    name: str = "openmath"
    mode: Mode = Mode.SESSION
    max_output_chars: int = 1000

    def __post_init__(self) -> None:
        require_whole("max_calls", self.max_calls, 0)

    @property
    def stop(self) -> tuple[str, ...]:
        """A turn ends where a call is complete."""
        return (_CLOSING,)

    def prompt(self, statement: str) -> Parts:
        """An empty system turn, then the instruction with the number of calls, then the statement."""
        lead = (
            "Solve the following math problem, integrating natural language reasoning with Python code executions.\n"
            f"You may perform up to {self.max_calls} Python code calls to assist your reasoning.\n"
            "Make sure to put the answer (and only answer) inside \\boxed{}.\n\n"
        )
        return (*chatml.before_statement("", lead), statement.strip(), *chatml.AFTER_STATEMENT)

    def program(self, completion: Completion) -> str | None:
        """The program of the call that ended the turn, or None when there is none."""
        if completion.stop_reason != _CLOSING:
            return None
        _, opening, code = unify_newlines(completion.text.removesuffix(_CLOSING)).rpartition(_OPENING)
        return code.strip("\n") if opening else None

    def observation(self, completion: Completion, execution: Execution) -> str:  # noqa: ARG002 (the port's)
        """A block with the output, shortened and disarmed; a program that printed nothing gets an empty block."""
        output = disarm(shorten_output(execution, self.max_output_chars), chatml.MARKERS)
        line_end = "\n" if output else ""
        return f"\n{OUTPUT_FENCE}{output}{line_end}```\n"

    def said(self, turn: Turn) -> str:
        """The turn's text with its calls as Python blocks, which the answer reader leaves out."""
        return _CALL.sub(_as_block, turn.completion.text)


def _as_block(call: re.Match[str]) -> str:
    code = call.group(1).replace("```", "'''")
    return f"```python\n{code}\n```"
