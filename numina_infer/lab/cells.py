"""What a Jupyter cell shows of the lab's results: tables and programs as HTML in which every text is escaped."""

from collections.abc import Iterable
from html import escape

from rich.table import Table

from numina_infer.lab.report.texts import highlight

_BLOCK = "margin:4px 0;padding:6px 10px;overflow-x:auto;background:#8881;border-left:3px solid"
_COLOURS = {"k": "#07a", "s": "#690", "c": "#888", "m": "#905", "b": "#a50", "f": "#d46"}
"""Of the kinds that `highlight` tells apart; they can be read on white and on black."""


def html_table(table: Table, *lines: str) -> str:
    """A table that a terminal shows too, and a paragraph below it for each of `lines` that says something."""
    head = _row("th", (str(column.header) for column in table.columns))
    body = "".join(_row("td", map(str, cells)) for cells in zip(*(one.cells for one in table.columns), strict=True))
    title = f"<caption>{escape(str(table.title))}</caption>" if table.title else ""
    shown = f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"
    return shown + "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def _row(element: str, texts: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{element}>{escape(text)}</{element}>" for text in texts) + "</tr>"


def html_code(code: str) -> str:
    """A Python program as a block with coloured words."""
    spans = highlight(code.rstrip())
    return html_block("".join(_span(*pair) for pair in zip(spans[::2], spans[1::2], strict=True)), "#07a")


def html_block(markup: str, colour: str) -> str:
    """Lines in a box of their own; `markup` is escaped already."""
    return f'<pre style="{_BLOCK} {colour}"><code>{markup}</code></pre>'


def _span(kind: str, text: str) -> str:
    colour = _COLOURS.get(kind)
    return f'<span style="color:{colour}">{escape(text)}</span>' if colour else escape(text)
