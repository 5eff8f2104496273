"""Reads a run folder: as typed events for resuming and replay, as pandas frames for people.

Events are read one by one, and outlines keep a few numbers of each problem, so that a log may be larger than memory.
"""

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from numina_infer.core.errors import RunLogError
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.records import ExecutionStatus, Problem, Solution, Trajectory
from numina_infer.runs.log import READABLE_VERSIONS, RUN_FILE, SOLUTIONS_FILE, TRAJECTORIES_FILE
from numina_infer.runs.rows import RowError, read_record, read_rows

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Kept = TypeVar("Kept")
Taking = TypeVar("Taking", bound="TakesEvents")


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder as pandas frames; the columns are in docs/run-log.md."""

    folder: Path
    info: Mapping[str, Any]
    """`run.json`."""
    problems: "pd.DataFrame"
    """One row for each problem opened."""
    trajectories: "pd.DataFrame"
    """One row for each trajectory ended."""
    turns: "pd.DataFrame"
    """One row for each turn: the model's text, the program, its output."""
    solutions: "pd.DataFrame"
    """One row for each verdict."""


def read_run(path: str | Path) -> Run:
    """Read the run folder at `path`, finished or not; only the last opening of each problem.

    Raises:
        RunLogError: there is no run, its format isn't known, or a line in the middle is damaged.
    """
    folder = Path(path)
    info = read_info(folder)
    problems = read_logged_problems(folder)
    trajectories = [trajectory for problem in problems for trajectory in problem.trajectories]
    solutions = [problem.solution for problem in problems if problem.solution is not None]
    return Run(
        folder=folder,
        info=info,
        problems=_frame(_PROBLEM_COLUMNS, map(_problem_row, problems)),
        trajectories=_frame(_TRAJECTORY_COLUMNS, map(_trajectory_row, trajectories)),
        turns=_frame(_TURN_COLUMNS, (row for trajectory in trajectories for row in _turn_rows(trajectory))),
        solutions=_frame(_SOLUTION_COLUMNS, map(_solution_row, solutions)),
    )


class ByProblem(Generic[Kept]):
    """Sorts the events of a log by problem, and keeps a value for each, begun anew whenever the problem is opened.

    A resumed run opens unsolved problems again. Iterating gives the values in the order of the last openings.
    """

    def __init__(self) -> None:
        self._open: dict[str, Kept] = {}
        self._last: dict[Problem, Kept] = {}

    def get(self, problem_id: str) -> Kept | None:
        """The value of the problem that was last opened under this id, if any."""
        return self._open.get(problem_id)

    def of(self, event: Event, begin: Callable[[Opened], Kept]) -> Kept | None:
        """The value of the event's problem, made by `begin` if the event opens it; None if it was never opened."""
        if isinstance(event, Opened):
            self._last.pop(event.problem, None)
            self._last[event.problem] = self._open[event.problem_id] = begin(event)
        return self._open.get(event.problem_id)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._last.values())


class TakesEvents(Protocol):
    """A value that is folded from a problem's events."""

    def take(self, event: Event, /) -> None:
        """Take in one event; the first is the problem's opening."""


def fold_by_problem(events: Iterable[Event], begin: Callable[[Opened], Taking]) -> list[Taking]:
    """One value for each problem, folded from the events since its last opening, in the order of these openings."""
    problems = ByProblem[Taking]()
    for event in events:
        kept = problems.of(event, begin)
        if kept is not None:
            kept.take(event)
    return list(problems)


@dataclass(slots=True)
class LoggedProblem:
    """A problem of a run log since its last opening."""

    opened: Opened
    trajectories: list[Trajectory] = field(default_factory=list)
    solution: Solution | None = None

    def take(self, event: Event) -> None:
        """Keep an ended trajectory or the verdict."""
        if isinstance(event, Ended):
            self.trajectories.append(event.trajectory)
        elif isinstance(event, Solved):
            self.solution = event.solution


def read_logged_problems(folder: Path) -> list[LoggedProblem]:
    """The problems of a run, in the order of their last openings; `RunLogError` if the log is damaged."""
    return fold_by_problem(read_events(folder), LoggedProblem)


@dataclass(slots=True)
class Outline:
    """A logged problem without the texts of its trajectories."""

    opened: Opened
    num_ended: int = 0
    num_failed: int = 0
    """Trajectories that failed."""
    num_tokens: int = 0
    """Tokens sampled."""
    programs: Counter[ExecutionStatus] = field(default_factory=Counter)
    """Programs that were run, by how they ended."""
    answers: Counter[int] = field(default_factory=Counter)
    """Trajectories by their vote."""
    errors: list[str] = field(default_factory=list)
    """The errors that ended trajectories."""
    solution: Solution | None = None

    @property
    def problem(self) -> Problem:
        """The problem itself."""
        return self.opened.problem

    @property
    def is_complete(self) -> bool:
        """Whether there is a verdict, and every failed trajectory was replaced by another."""
        is_whole = not self.num_failed or self.num_ended - self.num_failed >= self.opened.num_samples
        return self.solution is not None and not self.solution.error and is_whole

    def take(self, event: Event) -> None:
        """Count an ended trajectory or keep the verdict."""
        if isinstance(event, Ended):
            self._count(event.trajectory)
        elif isinstance(event, Solved):
            self.solution = event.solution

    def _count(self, trajectory: Trajectory) -> None:
        self.num_ended += 1
        self.num_failed += trajectory.outcome.is_failure
        self.num_tokens += trajectory.num_tokens
        self.programs.update(execution.status for execution in trajectory.executions)
        self.errors += [trajectory.error] if trajectory.error else []
        if trajectory.answer.value is not None:
            self.answers[trajectory.answer.value] += 1


def read_outlines(folder: Path) -> list[Outline]:
    """The outlines of all problems, in the order of their last openings; `RunLogError` if the log is damaged."""
    return fold_by_problem(read_events(folder), lambda opened: Outline(replace(opened, prompt="")))


def solved_problems(folder: Path, *, are_complete: bool = False) -> dict[Problem, Solution]:
    """The problems of a run with their verdicts, which a resumed run gives again; only complete ones on request."""
    return {
        outline.problem: outline.solution
        for outline in read_outlines(folder)
        if outline.solution is not None and (outline.is_complete or not are_complete)
    }


def read_info(folder: Path) -> Mapping[str, Any]:
    """`run.json` of a run folder; `RunLogError` if it is missing or damaged, or its format isn't known."""
    try:
        read = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunLogError(f"{folder} holds no run: there is no {RUN_FILE} in it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunLogError(f"can't read {folder / RUN_FILE}: {error}") from error
    info: dict[str, Any] = read if isinstance(read, dict) else {}
    version = info.get("format_version")
    found = version if isinstance(version, int) else None
    if found not in READABLE_VERSIONS:
        known = " and ".join(map(str, sorted(READABLE_VERSIONS)))
        text = f"{folder} has run log format {found}; this version reads {known}"
        raise RunLogError(text, format_version=version)
    _require_shape(folder / RUN_FILE, info)
    return info


_INFO_SHAPES: Mapping[str, type] = {
    **dict.fromkeys(("command", "competition", "problems", "problems_sha256"), str),
    **dict.fromkeys(("choices", "preset", "engine", "sandbox", "machine", "versions"), dict),
    "sessions": list,
}
_MAX_DEPTH = 10
"""Levels of `run.json`, at most; a preset's configs have four."""


def _require_shape(path: Path, info: Row) -> None:
    """Raise `RunLogError` if a field of `run.json` has another type than the one written."""
    for name, shape in _INFO_SHAPES.items():
        if not isinstance(info.get(name), shape | None):
            raise RunLogError(f"{name} in {path} is no {shape.__name__}; the file was changed")
    if not _is_within(info, _MAX_DEPTH):
        raise RunLogError(f"{path} has more than {_MAX_DEPTH} levels; the file was changed")


def _is_within(value: object, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_within(one, depth - 1) for one in inner)


def read_events(folder: Path) -> Iterator[Event]:
    """All events of a run, in the order in which they were written."""
    files = [read_rows(folder / name) for name in (TRAJECTORIES_FILE, SOLUTIONS_FILE)]
    for row in heapq.merge(*files, key=lambda row: int(row["seq"])):
        try:
            yield _event(row)
        except RowError as error:
            raise RunLogError(f"row {row['seq']} of the run in {folder} can't be read: {error}") from error


def _event(row: Row) -> Event:
    name = row["event"]
    if not isinstance(name, str) or name not in _EVENTS:
        raise RowError("its event is none that is known")
    return read_record(_EVENTS[name], {key: value for key, value in row.items() if key not in {"seq", "event"}})


_EVENTS: Mapping[str, type[Event]] = {
    kind.__name__.lower(): kind for kind in (Opened, Started, Ended, Stopped, Solved)
}


def _frame(columns: Sequence[str], rows: Iterable[Row]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


def _row(columns: Sequence[str], *records: object, **more: object) -> Row:
    """One row of a frame: the fields of `records` that are columns, and `more`; enums become plain text."""
    own = {name: getattr(record, name) for record in records for name in columns if hasattr(record, name)}
    row = {**dict.fromkeys(columns), **own, **more}
    return {name: str(value) if isinstance(value, StrEnum) else value for name, value in row.items()}


_PROBLEM_COLUMNS = ("problem_id", "statement", "prompt", "num_samples", "opened_at", "deadline")
_TRAJECTORY_COLUMNS = (
    *("problem_id", "index", "outcome", "answer", "no_answer", "answer_source", "raw_answer", "printed"),
    *("num_turns", "num_tokens", "num_executions", "started_at", "ended_at", "error"),
)
_TURN_COLUMNS = (
    *("problem_id", "index", "turn", "completion", "finish_reason", "stop_reason", "num_tokens", "num_prompt_tokens"),
    *("num_cached_tokens", "cumulative_logprob", "seed", "code", "status", "output", "wall_s", "cpu_s", "observation"),
)
_SOLUTION_COLUMNS = (
    *("problem_id", "answer", "is_fallback", "stop_reason", "votes", "invalid"),
    *("num_started", "num_ended", "opened_at", "solved_at", "error", "incidents"),
)


def _problem_row(problem: LoggedProblem) -> Row:
    opened = problem.opened
    return _row(_PROBLEM_COLUMNS, opened, opened.problem, opened_at=opened.at)


def _trajectory_row(trajectory: Trajectory) -> Row:
    answer = trajectory.answer
    read = {"answer": answer.value, "no_answer": answer.reason, "answer_source": answer.source}
    counts = {"num_turns": len(trajectory.turns), "num_executions": len(trajectory.executions)}
    return _row(_TRAJECTORY_COLUMNS, trajectory, raw_answer=answer.raw, **read, **counts)


def _turn_rows(trajectory: Trajectory) -> Iterator[Row]:
    own = {"problem_id": trajectory.problem_id, "index": trajectory.index}
    for number, turn in enumerate(trajectory.turns):
        text = turn.completion.text
        yield _row(_TURN_COLUMNS, turn.completion, turn.execution, turn, **own, turn=number, completion=text)


def _solution_row(solution: Solution) -> Row:
    invalid = {str(reason): count for reason, count in solution.invalid.items()}
    return _row(_SOLUTION_COLUMNS, solution, invalid=invalid)
