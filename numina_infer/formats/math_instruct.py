"""The formats of DeepSeekMath, Qwen2.5-Math and OpenMath-Nemotron.

Sources: deepseek-ai/DeepSeek-Math (evaluation/infer/run_tool_integrated_eval.py and the chat template of
deepseek-math-7b-rl), QwenLM/Qwen2.5-Math (README, evaluation/math_eval.py and python_executor.py), NVIDIA/NeMo-Skills
(prompt/config/openmath/tir.yaml, prompt/code_tags/openmath.yaml and code_execution/utils.py; arXiv 2504.16891).
The first two share an instruction, stop where the model opens an ```output block, and run earlier programs again in
silence before each new one. OpenMath's programs stand between tags of tool calls.

Qwen's models, OpenMath's among them, have ChatML's turns: `<|im_start|>role`, content, `<|im_end|>`. Its tokens are
special, so neither a statement nor an output can hold one. Tool-call tags are added tokens that aren't special: plain
text that spells one becomes one, so they are markers.
"""

import re
from dataclasses import dataclass

from numina_infer.core.config import Mode, require_whole
from numina_infer.core.records import Completion, Execution, SpecialToken, Turn
from numina_infer.formats.fences import OUTPUT_FENCE, Fenced, Parts, disarm, shorten_output, unify_newlines

_START = SpecialToken("<|im_start|>")
_END = SpecialToken("<|im_end|>")
_CHATML_MARKERS = re.compile(r"</?tool_call>|<\|\w+\|>", re.IGNORECASE)
_CHATML_AFTER: Parts = (_END, "\n", _START, "assistant\n")
"""The end of the user's turn, and the beginning of the model's."""


def _chatml_before(system: str, lead: str = "") -> Parts:
    """A system turn, and the user's turn up to the statement, which stands behind `lead`."""
    return (_START, f"system\n{system}", _END, "\n", _START, f"user\n{lead}")


_INSTRUCTION = (
    "Please integrate natural language reasoning with programs to solve the problem above, "
    "and put your final answer within \\boxed{}."
)

DEEPSEEK_MATH = Fenced(
    name="deepseek-math",
    mode=Mode.REPLAY,
    before=("User: ",),
    after=(f"\n{_INSTRUCTION}\n\nAssistant:",),
    markers=re.compile(r"(?:User|Assistant):", re.IGNORECASE),
    max_output_chars=100,
    keeps_end=True,
    closing="```\n",
)

QWEN_MATH = Fenced(
    name="qwen2.5-math",
    mode=Mode.REPLAY,
    before=_chatml_before(_INSTRUCTION),
    after=_CHATML_AFTER,
    markers=_CHATML_MARKERS,
    max_output_chars=400,
    keeps_end=True,
    closing="```\n",
)

_OPENING = "<tool_call>"
_CLOSING = "</tool_call>"
_CALL = re.compile(f"{_OPENING}(.*?)(?:{_CLOSING}|\\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OpenMath:
    """A `ports.Format` with tool calls, and an output in an ```output block.

    The system turn is there and empty, as in the training data. NVIDIA's evaluation also says after each output how
    many calls are left; this format doesn't.
    """

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
        return (*_chatml_before("", lead), statement.strip(), *_CHATML_AFTER)

    def program(self, completion: Completion) -> str | None:
        """The program of the call that ended the turn, or None when there is none."""
        if completion.stop_reason != _CLOSING:
            return None
        _, opening, code = unify_newlines(completion.text.removesuffix(_CLOSING)).rpartition(_OPENING)
        return code.strip("\n") if opening else None

    def observation(self, completion: Completion, execution: Execution) -> str:  # noqa: ARG002 (the port's)
        """A block with the output, shortened and disarmed; a program that printed nothing gets an empty block."""
        output = disarm(shorten_output(execution, self.max_output_chars), _CHATML_MARKERS)
        line_end = "\n" if output else ""
        return f"\n{OUTPUT_FENCE}{output}{line_end}```\n"

    def said(self, turn: Turn) -> str:
        """The turn's text with its calls as Python blocks, which the answer reader leaves out."""
        return _CALL.sub(_as_block, turn.completion.text)


def _as_block(call: re.Match[str]) -> str:
    code = call.group(1).replace("```", "'''")
    return f"```python\n{code}\n```"
