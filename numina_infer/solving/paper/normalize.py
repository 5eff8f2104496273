r"""Minerva's normalisation of an answer's text (arXiv 2206.14858, appendix), as NuminaMath's 2024 kernel has it.

DeepSeekMath's evaluation added the places where an answer may stand («final answer is», boxes, dollars).
It replaces letters without any grammar: `an ` is removed everywhere, `\left` becomes `<`.
Only `rules.py` uses it; our own reader is `answers/extract.py`.
"""

import re

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
    """`answer` without blanks, units and wrappers, or the part of a sentence that states it."""
    answer = answer.partition("Problem:")[0]
    for old, new in _REPLACED:
        answer = answer.replace(old, new)
    for word in (*_UNITS, *_REMAINS):
        answer = answer.replace(word, "")
    for wrapper in _WRAPPERS:
        answer = wrapper.sub(r"\1", answer)
    for place in _PLACES:
        answer = (place.findall(answer) or [answer])[-1]
    return _without_separators(_with_braces(answer.strip()).replace("$", ""))


def _with_braces(answer: str) -> str:
    r"""`\frac12` as `\frac{1}{2}`, `\sqrt2` as `\sqrt{2}`; a `rac` whose `\f` was read as an escape as `\frac`."""
    if "rac" in answer and r"\frac" not in answer:
        answer = answer.replace("rac", r"\frac")
    answer = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", answer)
    return re.sub(r"sqrt([^{])", r"sqrt{\1}", answer)


def _without_separators(answer: str) -> str:
    digits = answer.replace(",", "")
    return digits if digits.isdigit() else answer
