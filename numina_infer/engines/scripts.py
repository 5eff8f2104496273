"""Scripts for the scripted engine: functions, lists of texts, files, and one that really solves sums."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError, EngineRefusalError

_STATEMENT = re.compile(r".*### Problem:(?P<statement>.*?)### Solution:(?P<solution>.*)", re.DOTALL)
_LAST_OUTPUT = re.compile(r".*```output\n(?P<output>.*?)\n?```", re.DOTALL)
_OPENINGS = ("We add the numbers with Python.", "The answer is the sum of the given numbers.", "Let us add them up.")


@dataclass(frozen=True, slots=True)
class Cue:
    """Where a trajectory asks for its next text."""

    context_text: str
    """The prompt and everything after it."""
    seed: int
    ticket: int
    turn: int
    """Counted from 0."""


class Script(Protocol):
    """Texts for trajectories."""

    @property
    def name(self) -> str:
        """Its name in a run log, different for different scripts."""
        ...

    def line(self, cue: Cue) -> str:
        """All that the model would write from here on; the engine cuts it at stop strings and limits."""
        ...


@dataclass(frozen=True, slots=True)
class Improvised:
    """A script that is a function of the context's text and the turn's seed."""

    function: Callable[[str, int], str]

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__qualname__", type(self.function).__name__)

    def line(self, cue: Cue) -> str:
        """The function's text."""
        return self.function(cue.context_text, cue.seed)


@dataclass(frozen=True, slots=True)
class Lines:
    """A list of trajectories, each a list of its turns; ticket t speaks entry t modulo their number.

    A trajectory that has no line left ends its text at once.
    """

    trajectories: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        require(bool(self.trajectories), "the script is empty; give at least one trajectory")
        is_flat = any(isinstance(turns, str) for turns in self.trajectories)
        require(not is_flat, "the script is a list of texts; give a list of trajectories, each a list of turns")

    @property
    def name(self) -> str:
        """A hash of the lines."""
        listed = [list(turns) for turns in self.trajectories]
        return f"lines-{hashlib.sha256(repr(listed).encode()).hexdigest()[:12]}"

    def line(self, cue: Cue) -> str:
        """This turn's text."""
        turns = self.trajectories[cue.ticket % len(self.trajectories)]
        return turns[cue.turn] if cue.turn < len(turns) else ""


def as_script(script: Callable[[str, int], str] | Sequence[Sequence[str]] | Script) -> Script:
    """`script` as a `Script`."""
    if isinstance(script, Sequence):
        return Lines(script)
    return Improvised(script) if callable(script) else script


def sum_of_numbers(context_text: str, seed: int) -> str:
    """Write a program that adds the whole numbers in the last problem, then box what its output block says.

    The sum is left to the program, so the answer is right only if the sandbox ran it.
    `seed` chooses the wording.
    """
    parts = _STATEMENT.fullmatch(context_text)
    statement, solution = (parts["statement"], parts["solution"]) if parts else (context_text, "")
    if last := _LAST_OUTPUT.match(solution):
        return _conclusion(last["output"].strip())
    numbers = ", ".join(re.findall(r"\d+", statement))
    opening = _OPENINGS[seed % len(_OPENINGS)]
    return f"{opening}\n```python\nnumbers = [{numbers}]\nprint(sum(numbers))\n```\n```output\n"


def _conclusion(output: str) -> str:
    if re.fullmatch(r"\d+", output):
        return f"\nThe answer is $\\boxed{{{output}}}$."
    return "\nThe program printed no whole number, so there is no answer to give."


@dataclass(frozen=True, slots=True)
class FileScript:
    """Lines by problem; the problem that occurs last in the context is the one to solve, of several the longest."""

    name: str
    """The file's name and a hash of what is in it."""
    lines: dict[str, Lines]
    """By a text that occurs in the problem's statement."""

    def line(self, cue: Cue) -> str:
        """The file's text for this problem, ticket and turn."""
        place, _, problem = max((cue.context_text.rfind(problem), len(problem), problem) for problem in self.lines)
        if place < 0:
            raise EngineRefusalError(f"the script {self.name} has no row for the problem that was asked")
        return self.lines[problem].line(cue)


def load_script(path: Path) -> FileScript:
    r"""Read a script from JSON lines.

    A row is `{"problem": "a text in the statement", "completions": [["turn 1", "turn 2"], ["turn 1"]]}`: one list of
    turns a trajectory, of which ticket t takes number t modulo their count.

    Raises:
        ConfigError: the file can't be read, or a row isn't of this shape; the text says which and why.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the script {path} can't be read: {error}") from error
    rows = text.split("\n")
    read = [_row(row, f"{path}, line {number}") for number, row in enumerate(rows, 1) if row.strip()]
    require(bool(read), f"the script {path} has no rows")
    lines = dict(read)
    require(len(lines) == len(read), f"the script {path} has two rows for one problem; put them into one")
    return FileScript(f"{path.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", lines)


def _row(text: str, place: str) -> tuple[str, Lines]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{place} is no JSON: {error}") from error
    require(isinstance(row, dict), f"{place} is no JSON object")
    problem, completions = row.get("problem"), row.get("completions")
    require(isinstance(problem, str) and bool(problem.strip()), f"{place}: problem is {problem!r}; give a text")
    require(
        isinstance(completions, list) and bool(completions) and all(map(_is_turns, completions)),
        f"{place}: completions must be a list with at least one list of texts, one text a turn",
    )
    return problem, Lines(completions)


def _is_turns(turns: object) -> bool:
    return isinstance(turns, Sequence) and not isinstance(turns, str) and all(isinstance(turn, str) for turn in turns)
