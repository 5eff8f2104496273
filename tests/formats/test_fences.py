"""Programs in a text, and outputs on their way back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.formats.fences import TRUNCATION_MARK, code_blocks, disarm, last_code_block, shorten_output


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Let us see.\n```python\nprint(1)\n```\n```output\n", "print(1)"),
        ("```python3\nprint(1)\n```\n", "print(1)"),
        ("```py\nprint(1)\n```\n", "print(1)"),
        ("```Python\nprint(1)\n```\n", "print(1)"),
        ("``` python\nprint(1)\n```\n", "print(1)"),
        ("So: ```python\nprint(1)\n```\n", "print(1)"),
        ("```python\r\nprint(1)\r\nprint(2)\r\n```\r\n", "print(1)\nprint(2)"),
        ("```python\na = 1\n```\nand\n```python\nb = 2\n```\n", "b = 2"),
        ("```python\nprint(1)\n", "print(1)"),
        ("```python\nprint(1)```", "print(1)"),
        ("```python\nprint(1)```\n```output\n", "print(1)"),
        ("```python\nprint(1)  # ```\n```output\n", "print(1)  # ```"),
        ("```python\nprint(1)\n```output\n", "print(1)"),
        ("```python\n  ```\n", ""),
        ('```python\ns = """\n```\n"""\nprint(s)\n```\n', 's = """\n```\n"""\nprint(s)'),
        ('```python\nprint("```")\nprint(2)\n```\n', 'print("```")\nprint(2)'),
        ("```python\nprint('''open\n```\n```output\n", "print('''open"),
        ("```python\nif True:\n    print(1)\n```\n", "if True:\n    print(1)"),
    ],
)
def test_the_last_block_is_found_as_written(text: str, code: str) -> None:
    """Fence names, places, newlines, fences in strings and missing fences."""
    block = last_code_block(text)
    assert block is not None
    assert block.code == code


@pytest.mark.parametrize(
    "text", ["", "no code", "```\nplain\n```", "```output\n5\n```", "``python\nx``", "```pythonic\nx\n```"]
)
def test_other_fences_are_no_programs(text: str) -> None:
    """Only a fence that says Python opens a block."""
    assert last_code_block(text) is None


def test_blocks_come_in_order() -> None:
    """Several blocks in one turn are all seen, first to last."""
    text = "```python\n1\n```\nx\n```py\n2\n```\ny\n```python\n3"
    assert [(block.code, block.is_closed) for block in code_blocks(text)] == [("1", True), ("2", True), ("3", False)]


@given(st.text(max_size=300))
def test_parsing_never_raises_and_stays_within_the_text(text: str) -> None:
    """Any text has a list of blocks, each of them a part of it."""
    for block in code_blocks("```python\n" + text):
        assert block.end <= len(text) + len("```python\n")


@given(st.lists(st.sampled_from(["x = 1", "print(x)", "# ```", "s = '```'", "for i in x:", "    pass"]), max_size=8))
def test_a_rendered_block_reads_back(lines: list[str]) -> None:
    """Fencing a program and reading the last block gives the program."""
    code = "\n".join(lines)
    block = last_code_block(f"We compute.\n```python\n{code}\n```\n```output\n")
    assert block is not None
    assert block.code == code.rstrip("\n")


@pytest.mark.parametrize(("keeps_end", "kept"), [(False, "0123456789" + TRUNCATION_MARK), (True, "01234...vwxyz")])
def test_a_long_output_keeps_its_head_or_both_ends(keeps_end: bool, kept: str) -> None:
    """Formats differ in what they keep; an output that fits is left as it is."""
    long = Execution(ExecutionStatus.OK, "0123456789abcdefghijklmnopqrstuvwxyz")
    assert shorten_output(long, 10, keeps_end=keeps_end) == kept
    assert shorten_output(long, 36, keeps_end=keeps_end) == long.output


def test_a_marker_is_broken_and_a_fence_is_none_any_more() -> None:
    """And all else stays."""
    assert disarm("a ```` <b> c", re.compile("<b>")) == "a '''' <b > c"


@pytest.mark.parametrize("code", ["x = 'abc", "print(\"it's\")  # isn't it", 'print("\\{")'])
def test_a_quote_that_was_left_open_ends_with_its_line(code: str) -> None:
    """So the fence behind it closes the block, on every Python."""
    block = last_code_block(f"```python\n{code}\n```\nand ```python\nprint(2)\n```")
    assert block is not None
    assert block.code == "print(2)"
