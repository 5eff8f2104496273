r"""Finds formulae in a text by their delimiters, and typesets them as harmless MathML by latex2mathml.

A formula stands between `$…$`, `$$…$$`, `\(…\)` or `\[…\]`. Of latex2mathml's elements only those of MathML Core are
kept, with attributes that only set type. A formula that it can't read stays text. Prices stay text too, by pandoc's
rule: a single dollar opens only in front of a character, and closes only behind one and not in front of a digit.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_CHARS = 1500
"""Longer formulae stay text."""
MAX_DEPTH = 60
"""Elements within elements; deeper ones stay text."""

ELEMENTS = frozenset(
    {
        *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"),
        *("munder", "mover", "munderover", "mmultiscripts", "mprescripts", "mtable", "mtr", "mtd", "mstyle"),
        *("mpadded", "mphantom", "menclose", "merror"),
    }
)
"""The page gets this list, and makes no other elements either."""
ATTRIBUTES = frozenset(
    {
        *("display", "displaystyle", "scriptlevel", "mathvariant", "stretchy", "fence", "form", "separator"),
        *("symmetric", "largeop", "movablelimits", "accent", "accentunder", "lspace", "rspace", "minsize", "maxsize"),
        *("width", "height", "depth", "voffset", "linethickness", "columnalign", "notation"),
    }
)
_VALUE = re.compile(r"[-+.%a-z0-9 ]{1,40}", re.IGNORECASE)

Tree = list[Any]
"""`[element, {attribute: value}, child, …]`; a child is a tree or a text."""


@dataclass(frozen=True, slots=True)
class Formula:
    """One formula as it stands in a text."""

    source: str
    """With its delimiters."""
    tex: str
    is_display: bool
    """On a line of its own."""


_CLOSINGS = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_DELIMITER = re.compile(r"\\[^\n]|\$\$|\$|\n[ \t]*\n")


def split_formulae(text: str) -> Iterator[str | Formula]:
    """`text` in pieces, prose and formulae; their sources joined are `text`. One pass over it."""
    end, opening = 0, None
    for mark in _DELIMITER.finditer(text):
        formula = opening and _between(text, opening, mark)
        if opening is not None and formula is not None:
            if opening.start() > end:
                yield text[end : opening.start()]
            yield formula
            end, opening = mark.end(), None
        elif _opens(text, mark) and (opening is None or opening.group() == "$"):
            opening = mark
        elif mark.group().isspace():
            opening = None
    if end < len(text):
        yield text[end:]


def _opens(text: str, mark: re.Match[str]) -> bool:
    return mark.group() in _CLOSINGS and (mark.group() != "$" or not text[mark.end() : mark.end() + 1].isspace())


def _between(text: str, opening: re.Match[str], closing: re.Match[str]) -> Formula | None:
    """The formula from one mark to the other, if the second closes the first."""
    tex = text[opening.end() : closing.start()]
    if closing.group() != _CLOSINGS[opening.group()] or not tex.strip():
        return None
    if closing.group() == "$" and (tex[-1].isspace() or text[closing.end() : closing.end() + 1].isdigit()):
        return None
    return Formula(text[opening.start() : closing.end()], tex, closing.group() in {"$$", r"\]"})


def can_typeset() -> bool:
    """Whether latex2mathml is installed; without it formulae stay as they were written."""
    from importlib.util import find_spec

    return find_spec("latex2mathml") is not None


_DEFINES = re.compile(r"\\(?:(?:re|provide)?newcommand|providecommand|[egx]?def|let|DeclareMathOperator)(?![a-zA-Z])")
"""Definitions of macros, which can grow without bound."""


@lru_cache(maxsize=2**16)
def typeset(formula: Formula) -> Tree | None:
    """The formula as a tree of harmless MathML; None where it stays text."""
    if len(formula.tex) > MAX_CHARS or _DEFINES.search(formula.tex) or not can_typeset():
        return None
    from latex2mathml.converter import convert_to_element

    try:
        element = convert_to_element(formula.tex.strip(), display="block" if formula.is_display else "inline")
    except Exception:  # noqa: BLE001 (it raises a dozen kinds, plain IndexErrors among them, and a model writes anything)
        return None
    return _tree(element, MAX_DEPTH)


def _tree(element: "Element", depth: int) -> Tree | None:
    """The element and all below it, or None where one of them isn't known or stands too deep."""
    if depth == 0 or element.tag not in ELEMENTS:
        return None
    children: list[Tree | str] = [html.unescape(element.text)] if element.text else []
    for child in element:
        below = _tree(child, depth - 1)
        if below is None:
            return None
        children.append(below)
    given = element.attrib.items()
    harmless = {name: value for name, value in given if name in ATTRIBUTES and _VALUE.fullmatch(str(value))}
    return [element.tag, harmless, *children]
