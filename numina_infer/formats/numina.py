"""The format of NuminaMath-7B-TIR, and the same with worked examples for models that weren't trained on it.

Sources: project-numina/aimo-progress-prize, training/configs/stage-2-tir.yaml and kaggle-solution.ipynb.
There is no instruction: two headings are the whole prompt.
"""

import re

from numina_infer.core.config import Mode
from numina_infer.formats.fences import EXAMPLES, Fenced

PROBLEM_HEADING = "### Problem: "
SOLUTION_HEADING = "### Solution: "
_HEADINGS = re.compile(r"###(?=[ \t]*(?:Problem|Solution)\b)", re.IGNORECASE)
_MAX_OUTPUT_CHARS = 200
"""The kernel's own figure."""

NUMINA = Fenced(
    name="numina",
    mode=Mode.FRESH,
    before=(PROBLEM_HEADING,),
    after=(f"\n{SOLUTION_HEADING}",),
    markers=_HEADINGS,
    max_output_chars=_MAX_OUTPUT_CHARS,
)

_SHOTS = "".join(
    f"{PROBLEM_HEADING}{example.statement}\n{SOLUTION_HEADING}{example.solution}\n\n" for example in EXAMPLES
)

NUMINA_FEW_SHOT = Fenced(
    name="numina-few-shot",
    mode=Mode.FRESH,
    before=(_SHOTS + PROBLEM_HEADING,),
    # In the examples a tokenizer joins the heading's last space to the word behind it, so that the model has
    # never seen the space alone.
    after=(f"\n{SOLUTION_HEADING}".rstrip(" "),),
    markers=_HEADINGS,
    max_output_chars=_MAX_OUTPUT_CHARS,
    empty_output="(nothing was printed; print the result)",
    made_up=(PROBLEM_HEADING.rstrip(),),
)
