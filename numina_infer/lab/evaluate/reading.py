"""A trajectory to read in Jupyter: what the model wrote, its programs, what they printed, and how it ended.

Jupyter typesets the formulae. A text of the model's can't make markup, since all of it is escaped.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.records import Trajectory, Turn
from numina_infer.formats.fences import unify_newlines
from numina_infer.lab.cells import html_block, html_code
from numina_infer.lab.report.texts import find_programs, said
from numina_infer.runs.history import read_logged_problems


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
    require(problem_id in problems, f"the run in {run} has no problem {problem_id!r}; it has {_some(problems)}")
    found = {trajectory.index: trajectory for trajectory in problems[problem_id].trajectories}
    require(index in found, f"problem {problem_id} has no trajectory {index} that ended; it has {_some(found)}")
    return Reading(found[index])


def _some(names: Collection[object]) -> str:
    first = ", ".join(map(str, islice(names, 9)))
    return first + (" …" if len(names) > 9 else "") or "none"


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
        yield html_block(escape(turn.execution.output.rstrip()), "#888")


def _prose(text: str) -> str:
    return f'<div style="white-space:pre-wrap">{escape(text.strip())}</div>' if text.strip() else ""
