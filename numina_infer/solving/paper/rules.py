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

An answer is the last box of those 100 characters, or all of them, put through Minerva's normalisation (arXiv
2206.14858, appendix; DeepSeekMath's evaluation added the places where an answer may stand), then Python's
`round(float(answer))`; below zero and not a number are dropped, the rest is taken modulo 1000. The most frequent wins,
and the first of equals; pruned samples come first, then the others by index. Without a vote the answer is 0.

All of this contradicts the rest of the library, on purpose.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from numina_infer.core.records import (
    AnswerRange,
    AnswerSource,
    ExtractedAnswer,
    NoAnswer,
)
from numina_infer.formats.fences import OUTPUT_FENCE

STOP = (OUTPUT_FENCE,)
"""The kernel's only stop string."""
NO_ANSWER = "-1"
"""The kernel's mark for a sample without an answer; a boxed -1 looks the same and is dropped too."""
NO_VOTES = 0
"""The submission where no answer is left."""
REGION_CHARS = 100
"""An answer must begin within so many characters of the text's end."""

_PYTHON_BLOCK = re.compile("```python(.*?)```", re.DOTALL)
_OUTPUT_BLOCK = re.compile("```output(.*?)```", re.DOTALL)


# --- the state machine ---


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the N attempts, in the kernel's form."""

    prompt: str
    text: str
    """The prompt and everything behind it; a restart makes it the prompt again."""
    answer: str = NO_ANSWER
    """Normalised, not yet a number."""
    source: AnswerSource = AnswerSource.NOWHERE
    """Where `answer` stood; `NOWHERE` until one could be read."""
    is_pruned: bool = False

    @classmethod
    def of(cls, prompt: str) -> "Sample":
        """A sample before its first round."""
        return cls(prompt, prompt)

    @property
    def is_at_prompt(self) -> bool:
        """True before the first round and after a restart."""
        return self.text == self.prompt

    @property
    def extracted(self) -> ExtractedAnswer:
        """The vote, or why there is none."""
        if self.source is AnswerSource.NOWHERE:
            return ExtractedAnswer(None, NoAnswer.NOT_STATED)
        vote = read_vote(self.answer)
        if isinstance(vote, NoAnswer):
            return ExtractedAnswer(None, vote, self.source, self.answer)
        return ExtractedAnswer(vote, None, self.source, self.answer)

    def extended(self, text: str) -> "Sample":
        """The sample with `text`, a completion or an observation, appended."""
        return replace(self, text=self.text + text)

    def answered(self) -> "Sample":
        """The sample with the answer that its last characters state, or without one if it can't be read."""
        region = self.text[-REGION_CHARS:]
        answer = read_answer(region)
        if answer is None:
            return replace(self, answer=NO_ANSWER, source=AnswerSource.NOWHERE)
        source = AnswerSource.BOXED if "boxed" in region else AnswerSource.SENTENCE
        return replace(self, answer=answer, source=source)


def process(sample: Sample, *, is_last: bool) -> tuple[Sample, str | None]:
    """The sample after a round, and the program to run before the next one, if any; a stored answer stays.

    `is_last` if no other round follows.
    """
    programs, asks = _PYTHON_BLOCK.findall(sample.text), sample.text.endswith(OUTPUT_FENCE)
    if programs and not asks and states_answer(sample.text):
        is_answered = _OUTPUT_BLOCK.search(sample.text) is not None
        return (sample.answered() if is_answered else replace(sample, is_pruned=True)), None
    if programs and is_last:
        return sample, None
    return (sample, programs[-1]) if programs and asks else (replace(sample, text=sample.prompt), None)


# --- answers ---


def states_answer(text: str) -> bool:
    """Whether the last characters of `text` hold what the kernel takes for an answer."""
    region = text[-REGION_CHARS:]
    return "answer is" in region or r"\boxed" in region


def read_answer(region: str) -> str | None:
    """The answer in `region`, the end of a text; None if it has a box that can't be read."""
    if "boxed" not in region:
        return normalize_answer(region)
    boxed = extract_boxed(region)
    return None if boxed is None else normalize_answer(boxed)


def extract_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{…}` of `text`; None if it isn't closed, or no brace follows at once."""
    start = text.rfind(r"\boxed")
    depth = 0
    for at in range(start, len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if text[at] == "}" and depth == 0:
            box = text[start : at + 1]
            return box[len(r"\boxed{") : -1] if box.startswith(r"\boxed{") else None
    return None


_REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    (r"\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (r",\text{and}", ","),
    (r"\text{and}", ","),
    (r"\text{m}", r"\text{}"),
    (r"\le", "<"),
)
_UNITS = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", r"\ldots", "sue"),
    *("points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges"),
    *("students", "childrentickets", "multiples"),
)
_REMAINS = (
    *(r"\text{s}", r"\text{.}", "\\text{\ns}", r"\text{}^2", r"\text{}^3", "\\text{\n}", r"\text{}", r"\mathrm{th}"),
    *(r"^\circ", r"^{\circ}", r"\;", r",\!", "{,}", '"', r"\dots", "\n", "\r", "\f", r"\%"),
)
_WRAPPERS = (
    re.compile(r"\\text\{(.*?)\}"),
    re.compile(r"\\textbf\{(.*?)\}"),
    re.compile(r"\\overline\{(.*?)\}"),
    re.compile(r"\\boxed\{(.*)\}"),
)
_PLACES = (
    re.compile(r"finalansweris(.*)"),
    re.compile(r"answer?is:?(.*)"),
    re.compile(r"oxed\{(.*?)\}"),
    re.compile(r"\$(.*?)\$"),
)


def normalize_answer(answer: str) -> str:
    r"""`answer` without blanks, units and wrappers, or the part of a sentence that states it.

    It replaces letters without any grammar: `an ` is removed everywhere, `\left` becomes `<`.
    """
    answer = answer.partition("Problem:")[0]
    for old, new in _REPLACED:
        answer = answer.replace(old, new)
    for word in (*_UNITS, *_REMAINS):
        answer = answer.replace(word, "")
    for wrapper in _WRAPPERS:
        answer = wrapper.sub(r"\1", answer)
    for place in _PLACES:
        answer = (place.findall(answer) or [answer])[-1]
    answer = _with_braces(answer.strip()).replace("$", "")
    digits = answer.replace(",", "")
    return digits if digits.isdigit() else answer


def _with_braces(answer: str) -> str:
    r"""`\frac12` as `\frac{1}{2}`, `\sqrt2` as `\sqrt{2}`; a `rac` whose `\f` was read as an escape as `\frac`."""
    if "rac" in answer and r"\frac" not in answer:
        answer = answer.replace("rac", r"\frac")
    answer = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", answer)
    return re.sub(r"sqrt([^{])", r"sqrt{\1}", answer)


def read_vote(answer: str) -> int | NoAnswer:
    """The vote of a normalised answer, rounded and modulo 1000, or why it is dropped."""
    try:
        return AnswerRange.MOD_1000.place(round(float(answer)))
    except (ValueError, OverflowError):
        return NoAnswer.UNREADABLE


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
