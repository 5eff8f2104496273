r"""Formulae: found where they stand, typeset where that can be done, harmless always."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.lab.report.formulae import (
    ATTRIBUTES,
    ELEMENTS,
    MAX_CHARS,
    MAX_DEPTH,
    Formula,
    Tree,
    split_formulae,
    typeset,
)
from tests.lab.report.pages import HOSTILE

PIECES = ["$", "$$", r"\(", r"\)", r"\[", r"\]", r"\$", "\\", "x", " ", "\n\n", "5", r"\frac", "{", "}", "^", "_", "&"]
TEX = st.lists(
    st.sampled_from([*PIECES, r"\sqrt", r"\text{<b>}", r"\left(", r"\right)", r"\\", r"\begin{matrix}"])
).map("".join)


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_no_text_is_lost_or_changed(text: str) -> None:
    """Prose and the formulae's sources, put together, are the text."""
    pieces = split_formulae(text)
    assert "".join(piece if isinstance(piece, str) else piece.source for piece in pieces) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so $x^2$ is", [("x^2", False)]),
        (r"so \(x\) and \[y\] and $$z$$.", [("x", False), ("y", True), ("z", True)]),
        ("$a$ and $b$", [("a", False), ("b", False)]),
        ("a pen is $5 and a pencil $6", []),
        ("from $5 to $10, or $x$", [("x", False)]),
        (r"it costs $3.50, with \(n\) nickels", [("n", False)]),
        (r"\$5 and \$6", []),
        ("$ a $", []),
        ("$a\n\nb$", []),
        (r"$\$5$", [(r"\$5", False)]),
        ("$$ \n $$", []),
        (r"\(never closed, $x$", []),
    ],
)
def test_formulae_are_told_from_prices(text: str, found: list[tuple[str, bool]]) -> None:
    """Delimiters alone decide; what stands between isn't looked at."""
    formulae = [piece for piece in split_formulae(text) if isinstance(piece, Formula)]
    assert [(formula.tex, formula.is_display) for formula in formulae] == found


def test_a_long_text_of_delimiters_takes_one_pass() -> None:
    """A text that opens a formula a hundred thousand times is done when it has been read once."""
    text = r"\(" * 100_000
    assert list(split_formulae(text)) == [text]


def assert_harmless(tree: Tree, depth: int = 1) -> None:
    """Nothing but listed elements with listed attributes, texts, and not too deep."""
    element, attributes, *children = tree
    assert element in ELEMENTS
    assert set(attributes) <= ATTRIBUTES
    assert all(isinstance(value, str) and not set(value) & set("<>&:;()\"'/\\") for value in attributes.values())
    assert depth <= MAX_DEPTH
    for child in children:
        if not isinstance(child, str):
            assert_harmless(child, depth + 1)


@given(TEX | st.text(), st.booleans())
@example(r"\href{javascript:alert(1)}{x}", False)
@example(r"\color{red;background:url(x)}{x}", False)
@example(r"\class{a}{x} \style{background:url(x)}{y} \rule{1em}{url(x)}", False)
@example(r"\text{</math><script>alert(1)</script>}", True)
@example(r"{" * 500 + "}" * 500, False)
@example(r"\left(" * 300 + r"\right)" * 300, False)
def test_whatever_is_typeset_is_harmless(tex: str, is_display: bool) -> None:
    """And whatever latex2mathml chokes on stays text."""
    tree = typeset(Formula(f"${tex}$", tex, is_display))
    if tree is not None:
        assert_harmless(tree)


@pytest.mark.parametrize("text", HOSTILE)
def test_formulae_of_hostile_texts_are_harmless(text: str) -> None:
    """Each that is found in them."""
    for piece in split_formulae(text):
        tree = typeset(piece) if isinstance(piece, Formula) else None
        if tree is not None:
            assert_harmless(tree)


@pytest.mark.parametrize(
    "tex",
    [
        r"\frac",
        "x_",
        "x^a^b",
        r"\begin{matrix}",
        r"\left(",
        r"\newcommand{\a}{\a\a}\a",
        r"\def\a{xx}\a",
        "x" * (MAX_CHARS + 1),
    ],
)
def test_what_can_not_be_typeset_stays_text(tex: str) -> None:
    """Errors of the converter, macros that could grow without bound, and texts as long as a page."""
    assert typeset(Formula(f"${tex}$", tex, is_display=False)) is None


def test_a_formula_is_mathml() -> None:
    """Characters are characters, not references."""
    tree = typeset(Formula(r"$\frac{a}{2} \le \sqrt{\pi}$", r"\frac{a}{2} \le \sqrt{\pi}", is_display=False))
    assert tree is not None
    assert tree[:2] == ["math", {"display": "inline"}]
    row = tree[2]
    assert [child[0] for child in row[2:]] == ["mfrac", "mo", "msqrt"]
    assert row[3][2] == "≤"
    assert "π" in str(row[4])


def test_less_than_in_a_formula_is_a_text() -> None:
    """It is on its way into a text node."""
    tree = typeset(Formula("$a<b$", "a<b", is_display=False))
    assert tree is not None
    assert [child[2] for child in tree[2][2:]] == ["a", "<", "b"]
