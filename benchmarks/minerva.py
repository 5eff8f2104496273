r"""How NuminaMath's 2024 kernel read an answer: Minerva's normalisation (arXiv 2206.14858, appendix), then `float`.

DeepSeekMath's evaluation added the places where an answer may stand («final answer is», boxes, dollars).
"""

import re

from numina_infer.core.records import AnswerRange, NoAnswer
from numina_infer.solving.paper import REGION_CHARS, states_answer


def kernels_vote(text: str) -> int | None:
    """The vote of `text` by the kernel's rules, without those on blocks."""
    answer = read_answer(text[-REGION_CHARS:]) if states_answer(text) else None
    vote = NoAnswer.NOT_STATED if answer is None else read_vote(answer)
    return None if isinstance(vote, NoAnswer) else vote


def read_vote(answer: str) -> int | NoAnswer:
    """The vote of a normalised answer, rounded and modulo 1000, or why it is dropped."""
    try:
        return AnswerRange.MOD_1000.place(round(float(answer)))
    except (ValueError, OverflowError):
        return NoAnswer.UNREADABLE


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
