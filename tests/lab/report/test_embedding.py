"""JSON in a page: it comes out as it went in, whatever it holds, and is never markup."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.core.errors import RunLogError
from numina_infer.lab.report.texts import embed
from tests.lab.report.pages import HOSTILE, Page

TEXTS = (
    st.text(st.characters())
    | st.text(st.sampled_from("</>!-&scriptSCRIPT\x00\u2028\ud800 "))
    | st.sampled_from(HOSTILE)
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(VALUES)
@example("<" * 1_000_000)
@example(list(HOSTILE))
def test_json_in_an_element_round_trips_and_is_no_markup(value: object) -> None:
    """A parser finds the one element that it was put into, and in it the same value."""
    page = Page()
    page.feed(f'<script type="application/json" id="it">{embed(value)}</script>')
    page.close()
    assert [tag for tag, _ in page.elements] == ["script"]
    assert not page.texts
    assert page.data == {"it": json.loads(json.dumps(value))}


@given(VALUES)
def test_json_in_a_page_is_plain_ascii_without_angles(value: object) -> None:
    """So no encoding, no comment and no line end of JavaScript's can change it."""
    text = embed(value)
    assert text.isascii()
    assert not set(text) & set("<>&\n\x00")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_refused(number: float) -> None:
    """A browser would refuse the whole page."""
    with pytest.raises(RunLogError, match="no page can show"):
        embed({"at": number})
