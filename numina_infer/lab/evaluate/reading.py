"""A trajectory to read in Jupyter: what the model wrote, its programs, what they printed, and how it ended.

Jupyter typesets Markdown and formulae by itself. A text of the model's can't make markup: angle brackets are written
as entities, and a fence is longer than any run of backticks inside it.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.records import Trajectory, Turn
from numina_infer.formats.fences import code_blocks, unify_newlines
from numina_infer.runs.history import read_logged_problems


@dataclass(frozen=True, slots=True)
class Reading:
    """One trajectory, displayed as Markdown where Jupyter shows it, and as plain text when printed."""

    trajectory: Trajectory

    def _repr_markdown_(self) -> str:
        return "\n\n".join((f"**{html.escape(self.title)}**", *self._parts()))

    def __str__(self) -> str:
        turns = "".join(turn.completion.text + turn.observation for turn in self.trajectory.turns)
        return f"{self.title}\n\n{turns}"

    @property
    def title(self) -> str:
        """Whose it is, how it ended and what it answered."""
        trajectory, answer = self.trajectory, self.trajectory.answer
        said = f"no vote: {answer.reason}" if answer.value is None else f"answer {answer.value}"
        return (
            f"{trajectory.problem_id}, trajectory {trajectory.index}: {trajectory.outcome}, {said}, "
            f"{trajectory.num_tokens} tokens"
        )

    def _parts(self) -> Iterator[str]:
        for turn in self.trajectory.turns:
            yield from _written(turn)
            if turn.execution is not None:
                yield f"*{turn.execution.status}*"
                yield _fenced(turn.execution.output, "text")


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


def _some(names: object) -> str:
    listed = list(map(str, names)) if isinstance(names, dict) else []
    return ", ".join(listed[:9]) + (" …" if len(listed) > 9 else "") if listed else "none"


def _written(turn: Turn) -> Iterator[str]:
    """Prose and programs in turn, without the fence that opens the output where the output follows."""
    stop = (turn.completion.stop_reason or "") if turn.execution is not None else ""
    text = unify_newlines(turn.completion.text.removesuffix(stop))
    position = 0
    for block in code_blocks(text):
        yield _prose(text[position : block.start])
        yield _fenced(block.code, "python")
        position = block.end
    yield _prose(text[position:])


def _prose(text: str) -> str:
    """Fences that aren't programs stay as they are read, not as they would be obeyed."""
    return re.sub(r"^(\s*)([`~#>])", r"\1\\\2", html.escape(text, quote=False).strip(), flags=re.MULTILINE)


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
