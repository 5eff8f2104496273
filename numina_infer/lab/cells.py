"""How results look: tables in a terminal, and tables and single trajectories in a Jupyter cell.

Jupyter typesets the formulae. All text is escaped, so that a text of the model's can't make markup.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.table import Table

from numina_infer.core.config import require
from numina_infer.core.records import Trajectory, Turn
from numina_infer.formats.fences import unify_newlines
from numina_infer.lab.evaluate.matching import named
from numina_infer.lab.report.texts import find_programs, highlight, said
from numina_infer.runs.history import read_logged_problems

_BLOCK = "margin:4px 0;padding:6px 10px;overflow-x:auto;background:#8881;border-left:3px solid"
_COLOURS = {"k": "#07a", "s": "#690", "c": "#888", "m": "#905", "b": "#a50", "f": "#d46"}
"""Of the kinds that `highlight` tells apart; they can be read on white and on black."""


def make_table(title: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table for a terminal: the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def html_table(table: Table, *lines: str) -> str:
    """A table that a terminal shows too, and a paragraph below it for each of `lines` that says something."""
    head = _row("th", (str(column.header) for column in table.columns))
    body = "".join(_row("td", map(str, cells)) for cells in zip(*(one.cells for one in table.columns), strict=True))
    title = f"<caption>{escape(str(table.title))}</caption>" if table.title else ""
    shown = f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"
    return shown + "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def _row(element: str, texts: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{element}>{escape(text)}</{element}>" for text in texts) + "</tr>"


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """One trajectory: as HTML where Jupyter shows it, as plain text when printed."""

    trajectory: Trajectory

    def _repr_html_(self) -> str:
        parts = (part for turn in self.trajectory.turns for part in _shown(turn))
        return "\n".join((f"<b>{escape(self.title)}</b>", *parts))

    def __str__(self) -> str:
        turns = "".join(turn.completion.text + turn.observation for turn in self.trajectory.turns)
        return f"{self.title}\n\n{turns}"

    __repr__ = __str__

    @property
    def title(self) -> str:
        """Which trajectory it is, how it ended and what it answered."""
        trajectory, answer = self.trajectory, self.trajectory.answer
        stated = f"no vote: {answer.reason}" if answer.value is None else f"answer {answer.value}"
        return (
            f"{trajectory.problem_id}, trajectory {trajectory.index}: {trajectory.outcome}, {stated}, "
            f"{trajectory.num_tokens} tokens"
        )


def read_trajectory(run: str | Path, problem_id: str, index: int = 0) -> Reading:
    """Trajectory `index` of a problem, out of the run folder at `run`.

    Raises:
        RunLogError: there is no run, or it is damaged.
        ConfigError: the run has no such trajectory.
    """
    problems = {problem.opened.problem_id: problem for problem in read_logged_problems(Path(run))}
    require(problem_id in problems, f"the run in {run} has no problem {problem_id!r}; it has {named(tuple(problems))}")
    found = {trajectory.index: trajectory for trajectory in problems[problem_id].trajectories}
    indices = (", ".join(map(str, [*found][:9])) or "none") + (" …" if len(found) > 9 else "")
    require(index in found, f"problem {problem_id} has no trajectory {index} that ended; it has {indices}")
    return Reading(found[index])


def _shown(turn: Turn) -> Iterator[str]:
    """Prose and programs of a turn in their order, then the output."""
    text, position = unify_newlines(said(turn)), 0
    for start, end, code in find_programs(text, turn.code):
        yield _prose(text[position:start])
        yield html_code(code)
        position = end
    yield _prose(text[position:])
    if turn.execution is not None:
        yield f"<small>output ({turn.execution.status})</small>"
        yield _block(escape(turn.execution.output.rstrip()), "#888")


def _prose(text: str) -> str:
    return f'<div style="white-space:pre-wrap">{escape(text.strip())}</div>' if text.strip() else ""


def html_code(code: str) -> str:
    """A Python program as a block with coloured words."""
    spans = highlight(code.rstrip())
    return _block("".join(_span(*pair) for pair in zip(spans[::2], spans[1::2], strict=True)), "#07a")


def _span(kind: str, text: str) -> str:
    colour = _COLOURS.get(kind)
    return f'<span style="color:{colour}">{escape(text)}</span>' if colour else escape(text)


def _block(markup: str, colour: str) -> str:
    return f'<pre style="{_BLOCK} {colour}"><code>{markup}</code></pre>'
