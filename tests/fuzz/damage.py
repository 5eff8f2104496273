"""How bytes and JSON come to harm: what fuzzing does to a file, a message or a row that was good."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

DEEP = 100_000
"""Brackets within brackets, far beyond what Python's own reader takes."""

texts = st.text(max_size=30)
numbers = (
    st.integers(-5, 5)
    | st.sampled_from([0, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400])
    | st.floats()
    | st.sampled_from([1e308, 5e-324])
)
plain = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
"""What JSON can hold, with numbers that nobody can: Python writes and reads them."""


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` after one to four edits."""
    for _ in range(draw(st.integers(1, 4))):
        content = draw(st.sampled_from(_EDITS))(draw, content)
    return content


def _overwrite(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    put = draw(st.binary(min_size=1, max_size=4))
    return content[:at] + put + content[at + len(put) :]


def _insert(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=8)) + content[at:]


def _take_out(draw: st.DrawFn, content: bytes) -> bytes:
    start, end = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
    return content[:start] + content[end:]


def _repeat(draw: st.DrawFn, content: bytes) -> bytes:
    start, end = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
    return content[:end] + content[start:end] + content[end:]


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: draw(st.integers(0, len(content)))]


_EDITS: list[Callable[[st.DrawFn, bytes], bytes]] = [_overwrite, _insert, _take_out, _repeat, _cut]


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """`value`, of JSON, with one place in it changed, taken away or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        match draw(st.integers(0, 9)):
            case 0:
                return {key: inner for key, inner in value.items() if key != name}
            case 1:
                return {**value, draw(texts): value[name]}
            case _:
                return {**value, name: draw(altered(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(altered(value[at])), *value[at + 1 :]]
    return draw(json_values)


def line(row: object) -> bytes:
    """A row as a run log has it."""
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
