"""Splits Python programs into spans, each with a kind and a text, so that a page can colour them.

Pygments finds the tokens; its many kinds are reduced to as few as colours can be told apart.
"""

from functools import lru_cache

MAX_CHARS = 20_000
"""Longer programs stay plain, since colouring them takes seconds."""


@lru_cache(maxsize=4096)
def highlight(code: str) -> tuple[str, ...]:
    """`code` as kind, text, kind, text, …; the texts joined are `code`.

    Kinds are `k` keyword, `s` string, `c` comment, `m` number, `b` builtin, `f` name that is defined, `o` operator,
    and nothing for the rest.
    """
    if len(code) > MAX_CHARS:
        return ("", code)
    from pygments.lexers.python import PythonLexer

    spans: list[str] = []
    for _, token, text in PythonLexer(ensurenl=False).get_tokens_unprocessed(code):
        _append(spans, _kind(tuple(token)), text)
    return tuple(spans)


def _append(spans: list[str], kind: str, text: str) -> None:
    """Text of the kind that stands last, or that is only white space, needs no span of its own."""
    if spans and (spans[-2] == kind or text.isspace()):
        spans[-1] += text
    elif text:
        spans += (kind, text)


_KINDS = (
    (("Keyword",), "k"),
    (("Literal", "String"), "s"),
    (("Literal", "Number"), "m"),
    (("Comment",), "c"),
    (("Name", "Builtin"), "b"),
    (("Name", "Exception"), "b"),
    (("Name", "Function"), "f"),
    (("Name", "Class"), "f"),
    (("Name", "Decorator"), "f"),
    (("Operator",), "o"),
)
"""The first prefix of a token's type decides."""


def _kind(token: tuple[str, ...]) -> str:
    if token[:2] == ("Operator", "Word"):
        return "k"
    return next((kind for path, kind in _KINDS if token[: len(path)] == path), "")
