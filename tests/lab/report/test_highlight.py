"""Programs as spans: coloured, and not a character changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.lab.report.texts import MAX_CHARS, highlight
from tests.lab.report.pages import HOSTILE

PROGRAMS = st.lists(
    st.sampled_from(
        ["def ", "x", "'", '"""', "#", "\n", "  ", "1", "\\", "f'{", "}", "(", "@", "é", "\r", "\x00", "0x"]
    )
).map("".join)


@given(PROGRAMS | st.text() | st.sampled_from(HOSTILE))
def test_spans_are_the_program(code: str) -> None:
    """Whatever it is, and however broken."""
    spans = highlight(code)
    assert "".join(spans[1::2]) == code
    assert set(spans[::2]) <= {"", *"kscmbfo"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("for", "k"),
        ("'a'", "s"),
        ("# why", "c"),
        ("12", "m"),
        ("print", "b"),
        ("solve", "f"),
        ("in", "k"),
        ("ValueError", "b"),
    ],
)
def test_kinds_are_told_apart(text: str, kind: str) -> None:
    """A span a kind."""
    spans = highlight("def solve(n):\n    for i in range(12):\n        print('a')  # why\n    raise ValueError\n")
    assert kind in [spans[place - 1] for place in range(1, len(spans), 2) if text in spans[place]]


def test_a_flood_stays_plain() -> None:
    """Colouring it would take longer than reading it."""
    code = "x = 1\n" * MAX_CHARS
    assert highlight(code) == ("", code)
