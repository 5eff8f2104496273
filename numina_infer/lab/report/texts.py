"""Texts as a page shows them: split into prose, formulae and programs, cut, and written as JSON that is safe in HTML.

A piece is a text (prose), a number (a formula, in the order of its list), or a list (a program, as `highlight` has
it). No piece is markup: the page builds its elements from them.
"""

import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from numina_infer.core.errors import RunLogError
from numina_infer.core.records import Trajectory, Turn
from numina_infer.formats.fences import code_blocks, unify_newlines
from numina_infer.lab.report.formulae import Formula, Tree, split_formulae, typeset

MAX_CHARS = 20_000
"""The length of one text at most; the run log has the rest."""

_MAX_S = 1e12
"""Longer than any run."""
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})

Piece = str | int | list[str]


def embed(value: object) -> str:
    """`value` as JSON in plain ASCII.

    Inside `<script type="application/json">` a browser looks for `</script` and `<!--` only, so `<` is escaped, and
    with it `>` and `&`. All that isn't ASCII is escaped too: lone surrogates survive, and U+2028 ends no line.

    Raises:
        RunLogError: it holds a number that JSON hasn't, such as NaN, which no run writes.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)
    except ValueError as error:
        raise RunLogError(f"the run log holds a number that no page can show: {error}") from error


def finite(number: float) -> float:
    """`number` as a time in seconds, 0 where a damaged log has none that is usable; sums of many stay finite."""
    return float(number) if math.isfinite(number) and abs(number) <= _MAX_S else 0.0


@dataclass(slots=True)
class Texts:
    """The texts of one chunk of a page, with each formula in them once."""

    formulae: list[tuple[str, int, Tree]] = field(default_factory=list)
    """Source, whether it stands on a line of its own, and MathML."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Trajectories, as `add` makes them."""
    _numbers: dict[Formula, int] = field(default_factory=dict)

    def add(self, trajectory: Trajectory) -> None:
        """One trajectory's turns."""
        self.bodies.append({"turns": [self._turn(turn) for turn in trajectory.turns], "error": cut(trajectory.error)})

    def pieces(self, text: str, program: str | None = None) -> list[Piece]:
        """A text in pieces; `program` is found in it even without a fence."""
        text = unify_newlines(cut(text))
        pieces: list[Piece] = []
        position = 0
        for start, end, code in find_programs(text, program):
            pieces += self._prose(text[position:start])
            pieces.append(list(highlight(code)))
            position = end
        return [*pieces, *self._prose(text[position:])]

    def _prose(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        for piece in split_formulae(text):
            shown = piece if isinstance(piece, str) else self._formula(piece)
            if isinstance(shown, str) and pieces and isinstance(pieces[-1], str):
                pieces[-1] += shown
            else:
                pieces.append(shown)
        return pieces

    def _formula(self, formula: Formula) -> str | int:
        """Its number, or its source where it can't be typeset."""
        if formula not in self._numbers:
            tree = typeset(formula)
            if tree is None:
                return formula.source
            self._numbers[formula] = len(self.formulae)
            self.formulae.append((formula.source, int(formula.is_display), tree))
        return self._numbers[formula]

    def _turn(self, turn: Turn) -> dict[str, Any]:
        completion, execution = turn.completion, turn.execution
        pieces = self.pieces(said(turn), turn.code)
        shows_program = any(isinstance(piece, list) and "".join(piece[1::2]) == turn.code for piece in pieces)
        return {
            "pieces": pieces,
            "tokens": completion.num_tokens,
            "finish": str(completion.finish_reason),
            "program": None if shows_program or turn.code is None else list(highlight(cut(turn.code))),
            "status": execution and str(execution.status),
            "seconds": execution and finite(execution.wall_s),
            "output": cut(execution.output) if execution else "",
        }


def find_programs(text: str, program: str | None) -> list[tuple[int, int, str]]:
    """Start, end and code of the fenced programs, or else of the one that was run, where that stands in `text`."""
    fenced = [(block.start, block.end, block.code) for block in code_blocks(text)]
    start = text.rfind(program) if program and not fenced else -1
    return [(start, start + len(program), program)] if program and start >= 0 else fenced


def said(turn: Turn) -> str:
    """What the model wrote, without the fence that opens the output where the output stands below."""
    stop = turn.completion.stop_reason or ""
    return turn.completion.text.removesuffix(stop) if turn.execution is not None else turn.completion.text


def cut(text: str) -> str:
    """The first `MAX_CHARS` characters, and the number of the others."""
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[:MAX_CHARS]}\n… {len(text) - MAX_CHARS} more characters are in the run log."


_KINDS = {
    "k": ("Keyword", "Operator.Word"),
    "o": ("Operator",),
    "s": ("Literal.String",),
    "m": ("Literal.Number",),
    "c": ("Comment",),
    "b": ("Name.Builtin", "Name.Exception"),
    "f": ("Name.Function", "Name.Class", "Name.Decorator"),
}
"""The beginnings of Pygments' names; the first that fits decides."""


@lru_cache(maxsize=4096)
def highlight(code: str) -> tuple[str, ...]:
    """A Python program as kind, text, kind, text, …; the texts joined are `code`.

    Kinds are `k` keyword, `s` string, `c` comment, `m` number, `b` builtin, `f` name that is defined, `o` operator,
    and nothing for the rest. Long programs stay plain, since colouring them takes seconds.
    """
    if len(code) > MAX_CHARS:
        return ("", code)
    from pygments.lexers.python import PythonLexer

    spans: list[str] = []
    for _, token, text in PythonLexer(ensurenl=False).get_tokens_unprocessed(code):
        kind = next((kind for kind, names in _KINDS.items() if ".".join(token).startswith(names)), "")
        if spans and (spans[-2] == kind or text.isspace()):
            spans[-1] += text
        elif text:
            spans += (kind, text)
    return tuple(spans)
