"""DeepSeekMath's and Qwen2.5-Math's formats, which share an instruction.

Sources: deepseek-ai/DeepSeek-Math (evaluation/infer/run_tool_integrated_eval.py and the chat template of
deepseek-math-7b-rl), QwenLM/Qwen2.5-Math (README, evaluation/math_eval.py and python_executor.py).
Both harnesses stop where the model opens an ```output block, and go on in a new line behind its closing fence.
Both run earlier programs again in silence before each new one.
"""

import re

from numina_infer.core.config import Mode
from numina_infer.formats import chatml
from numina_infer.formats.fenced import Fenced

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
    before=chatml.before_statement(_INSTRUCTION),
    after=chatml.AFTER_STATEMENT,
    markers=chatml.MARKERS,
    max_output_chars=400,
    keeps_end=True,
    closing="```\n",
)
