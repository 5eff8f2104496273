"""Compile a program so that the value of its last expression can be printed, as a notebook shows it.

The Numina kernel wraps the text of the last line in print(), which breaks on an indented last line, an assignment or a
comment. Here the syntax tree decides.
"""

import __future__

import ast
import operator
from dataclasses import dataclass
from functools import reduce
from types import CodeType

_FUTURES = reduce(operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


@dataclass(frozen=True, slots=True)
class Program:
    """The two parts of a program, run one after the other in the same namespace."""

    body: CodeType
    last: CodeType | None
    """The last expression; None where no value is to be printed."""


def compile_program(source: str, filename: str) -> Program:
    """Compile `source`.

    Raises:
        SyntaxError: `source` is no Python; `compile` may also raise ValueError, RecursionError or MemoryError.
    """
    tree = ast.parse(source, filename)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or _prints(last.value):
        return Program(compile(tree, filename, "exec", dont_inherit=True), None)
    expression = ast.Expression(last.value)
    tree.body.pop()
    body = compile(tree, filename, "exec", dont_inherit=True)
    # A `from __future__` in the body holds for the last expression too; the flags of a code object name it.
    futures = body.co_flags & _FUTURES
    return Program(body, compile(expression, filename, "eval", flags=futures, dont_inherit=True))


def _prints(expression: ast.expr) -> bool:
    """True if `expression` calls print itself, so that its value is just print's None."""
    calls = (node for node in ast.walk(expression) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
