r"""The rules of NuminaMath's 2024 kernel as they were run, a baseline to measure ours against.

Rewritten from project-numina/aimo-progress-prize, kaggle-solution.ipynb; the technical report's algorithms 1 and 2 are
a cleaner version of it. Everything here is pure: text in, decision out; `paper_solver.py` drives it.

After every round `process` rules on a sample's whole text, prompt included, in this order:

1. No ```python block: the sample starts again from the prompt, and the round is used up.
2. It doesn't ask for an output, and `\boxed` or «answer is» stands in its last 100 characters: without an ```output
   block the model made the output up, and the sample is pruned; with one the answer is stored. Such a sample isn't
   done: it is continued in every later round, may be reset, and keeps its answer until a later round overwrites it.
3. It is the last round: nothing more happens, so a program of it never runs.
4. It doesn't ask for an output: it starts again.
5. The last ```python block runs, and the first 200 characters of what it printed are appended, as the format shows
   outputs: errors look like ours, and nothing in an output opens a turn.

An answer is what our own reader finds in those 100 characters (`answers/extract.py`), and a decimal is rounded as
Python's `round(float(answer))` does it; below zero is dropped, the rest is taken modulo 1000. The most frequent wins,
and the first of equals; pruned samples come first, then the others by index. Without a vote the answer is 0.

All of this contradicts the rest of the library, on purpose.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from numina_infer.answers.extract import extract_answer
from numina_infer.core.records import AnswerRange, ExtractedAnswer, NoAnswer
from numina_infer.formats.fences import OUTPUT_FENCE

STOP = (OUTPUT_FENCE,)
"""The kernel's only stop string."""
NO_VOTES = 0
"""The submission where no answer is left."""
REGION_CHARS = 100
"""An answer must begin within so many characters of the text's end."""

_NO_ANSWER = ExtractedAnswer(None, NoAnswer.NOT_STATED)
_PYTHON_BLOCK = re.compile("```python(.*?)```", re.DOTALL)
_OUTPUT_BLOCK = re.compile("```output(.*?)```", re.DOTALL)


# --- the state machine ---


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the N attempts, in the kernel's form."""

    prompt: str
    text: str
    """The prompt and everything behind it; a restart makes it the prompt again."""
    answer: ExtractedAnswer = _NO_ANSWER
    """The stored one, rounded."""
    is_pruned: bool = False

    @classmethod
    def of(cls, prompt: str) -> "Sample":
        """A sample before its first round."""
        return cls(prompt, prompt)

    @property
    def is_at_prompt(self) -> bool:
        """True before the first round and after a restart."""
        return self.text == self.prompt

    def extended(self, text: str) -> "Sample":
        """The sample with `text`, a completion or an observation, appended."""
        return replace(self, text=self.text + text)


def process(sample: Sample, *, is_last: bool) -> tuple[Sample, str | None]:
    """The sample after a round, and the program to run before the next one, if any; a stored answer stays.

    `is_last` if no other round follows.
    """
    programs, asks = _PYTHON_BLOCK.findall(sample.text), sample.text.endswith(OUTPUT_FENCE)
    if programs and not asks and states_answer(sample.text):
        if _OUTPUT_BLOCK.search(sample.text):
            return replace(sample, answer=read_answer(sample.text)), None
        return replace(sample, is_pruned=True), None
    if programs and is_last:
        return sample, None
    return (sample, programs[-1]) if programs and asks else (replace(sample, text=sample.prompt), None)


# --- answers ---


def states_answer(text: str) -> bool:
    """Whether the last characters of `text` hold what the kernel takes for an answer."""
    region = text[-REGION_CHARS:]
    return "answer is" in region or r"\boxed" in region


def read_answer(text: str) -> ExtractedAnswer:
    """The answer in the last characters of `text`, a decimal rounded; a box counts only if it is closed."""
    region = text[-REGION_CHARS:]
    answer = extract_answer(region, AnswerRange.MOD_1000, complete="boxed" not in region)
    if answer.reason is not NoAnswer.NOT_AN_INTEGER:
        return answer
    try:
        vote = AnswerRange.MOD_1000.place(round(float(answer.raw)))
    except (ValueError, OverflowError):
        return answer
    return answer if isinstance(vote, NoAnswer) else replace(answer, value=vote, reason=None)


def majority(votes: Iterable[int]) -> int:
    """The most frequent vote, the first one seen among equals; `NO_VOTES` without any."""
    leading = Counter(votes).most_common(1)
    return leading[0][0] if leading else NO_VOTES


# --- programs ---

PREAMBLE = "import math\nimport numpy as np\nimport sympy as sp\n"
SILENT_END = "\npass"
"""Appended to a program, so that our sandbox doesn't show its last expression; the kernel's interpreter didn't."""


def make_program(code: str) -> str:
    """The program that the kernel runs: the preamble, then `code` with its last line printed."""
    return print_last_line(PREAMBLE + code)


def print_last_line(program: str) -> str:
    """`program` with its last line in `print()`, unless that prints; everything from a `#` on is cut off.

    This breaks assignments and indented lines, and the model reads the errors.
    """
    *lines, last = program.strip().split("\n")
    if "print(" not in last:
        last = f"print({last.partition('#')[0]})"
    return "\n".join([*lines, last])
