"""Reports as tests read them: the elements of a page, and the data in it."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HOSTILE = (
    "</script><script>window.hit = 1</script>",
    "<!--<script>",
    "]]>",
    "<img src=x onerror='window.hit = 2'>",
    "<svg onload=window.hit=3>",
    '"><iframe srcdoc="<script>parent.hit=4</script>">',
    "javascript:window.hit=5",
    "NUL \x00, half a pair \ud800, line ends \u2028\u2029\r\n",
    "@data@ @policy@ ${window.hit=6} {{7}}",
    "$\\text{<img src=x onerror=window.hit=8>}$ and \\(\\href{javascript:window.hit=9}{x}\\)",
    "$\\def\\a{\\a\\a}\\a$ $\\frac$ $x_$ \\[\\begin{matrix}\\] $" + "{" * 400 + "}" * 400 + "$",
    "```python\nprint('</pre><script>window.hit=10</script>')\n```",
)
"""Texts that a careless page would run, or break on."""


@dataclass
class Page(HTMLParser):
    """What a browser's parser finds in a page."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    """Start tags with their attributes."""
    data: dict[str, Any] = field(default_factory=dict)
    """JSON by the id of its element."""
    texts: list[str] = field(default_factory=list)
    _inside: str | None = None

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element, and whether its text is data."""
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._inside = attributes.get("id") if attributes.get("type") == "application/json" else None

    def handle_endtag(self, tag: str) -> None:
        """Data end with their element."""
        self._inside = None

    def handle_data(self, data: str) -> None:
        """Data are read, other text is kept."""
        if self._inside:
            self.data[self._inside] = json.loads(data)
        else:
            self.texts.append(data)

    @property
    def tags(self) -> list[str]:
        """The page's own elements, without those that hold data."""
        return [tag for tag, attributes in self.elements if attributes.get("type") != "application/json"]

    @property
    def index(self) -> dict[str, Any]:
        """What is shown at first."""
        return dict(self.data["index"])

    @property
    def trajectories(self) -> list[dict[str, Any]]:
        """The rows of trajectories, by column."""
        index = self.index
        return [dict(zip(index["columns"], row, strict=True)) for row in index["trajectories"]]

    def body(self, row: dict[str, Any]) -> dict[str, Any]:
        """The texts of the trajectory in `row`."""
        chunk = self.data[f"chunk-{row['chunk']}"]
        return {**chunk["bodies"][row["place"]], "formulae": chunk["formulae"]}


def read_page(path: Path) -> Page:
    """The page at `path`, parsed as HTML."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


def strings(value: object) -> list[str]:
    """All texts in a JSON value, keys aside."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    return [text for inner in value for text in strings(inner)] if isinstance(value, list) else []
