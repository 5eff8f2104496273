"""A run folder read back: as typed events for resuming and replay, as pandas frames for people.

Events are read one by one, and outlines keep a few numbers of each problem, so that a log may be larger than memory.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numina_infer.budget import Bound, Slice
from numina_infer.errors import RunLogError
from numina_infer.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.runlog import READABLE_VERSIONS, RUN_FILE, SOLUTIONS_FILE, TRAJECTORIES_FILE, read_rows
from numina_infer.trajectory import (
    AnswerSource,
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
)

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder as pandas frames; the columns are in docs/run-log.md."""

    folder: Path
    info: Mapping[str, Any]
    """`run.json`."""
    problems: "pd.DataFrame"
    """One row a problem opened."""
    trajectories: "pd.DataFrame"
    """One row a trajectory ended."""
    turns: "pd.DataFrame"
    """One row a turn: what the model wrote, the program, what it printed."""
    solutions: "pd.DataFrame"
    """One row a verdict."""


def read_run(path: str | Path) -> Run:
    """Read the run folder at `path`, finished or not; of a problem that was opened again, the last opening.

    Raises:
        RunLogError: there is no run, it is of another format, or a line in the middle is damaged.
    """
    folder = Path(path)
    info = read_info(folder)
    attempts = read_attempts(folder)
    trajectories = [trajectory for attempt in attempts for trajectory in attempt.trajectories]
    solutions = [attempt.solution for attempt in attempts if attempt.solution is not None]
    return Run(
        folder=folder,
        info=info,
        problems=_frame(_PROBLEM_COLUMNS, map(_problem_row, attempts)),
        trajectories=_frame(_TRAJECTORY_COLUMNS, map(_trajectory_row, trajectories)),
        turns=_frame(_TURN_COLUMNS, (row for trajectory in trajectories for row in _turn_rows(trajectory))),
        solutions=_frame(_SOLUTION_COLUMNS, map(_solution_row, solutions)),
    )


@dataclass(slots=True)
class Attempt:
    """What a run log says of one problem since it was last opened."""

    opened: Opened
    trajectories: list[Trajectory] = field(default_factory=list)
    solution: Solution | None = None


def read_attempts(folder: Path) -> list[Attempt]:
    """One attempt a problem, in the order of their openings.

    Raises:
        RunLogError: the log is damaged.
    """
    open_now: dict[str, Attempt] = {}
    attempts: dict[Problem, Attempt] = {}
    for event in read_events(folder):
        match event:
            case Opened():
                attempts.pop(event.problem, None)
                attempts[event.problem] = open_now[event.problem_id] = Attempt(event)
            case Ended() if event.problem_id in open_now:
                open_now[event.problem_id].trajectories.append(event.trajectory)
            case Solved() if event.problem_id in open_now:
                open_now[event.problem_id].solution = event.solution
            case _:
                pass
    return list(attempts.values())


@dataclass(slots=True)
class Outline:
    """An attempt without the texts of its trajectories."""

    problem: Problem
    num_ended: int = 0
    num_failed: int = 0
    """Trajectories that the engine or the sandbox ended."""
    num_tokens: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    """How many trajectories voted for each."""
    solution: Solution | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is a verdict, and every trajectory came to an end of its own or by the policy."""
        return self.solution is not None and not self.solution.error and not self.num_failed

    def add(self, trajectory: Trajectory) -> None:
        """Count one trajectory that has ended."""
        self.num_ended += 1
        self.num_failed += trajectory.outcome in _FAILED
        self.num_tokens += trajectory.num_tokens
        if trajectory.answer.value is not None:
            self.answers[trajectory.answer.value] += 1


_FAILED = {Outcome.ENGINE_ERROR, Outcome.SANDBOX_ERROR}


def read_outlines(folder: Path) -> list[Outline]:
    """One outline a problem, in the order of their last openings.

    Raises:
        RunLogError: the log is damaged.
    """
    open_now: dict[str, Outline] = {}
    outlines: dict[Problem, Outline] = {}
    for event in read_events(folder):
        if isinstance(event, Opened):
            outlines.pop(event.problem, None)
            outlines[event.problem] = open_now[event.problem_id] = Outline(event.problem)
        elif (outline := open_now.get(event.problem_id)) is not None:
            _outline(outline, event)
    return list(outlines.values())


def _outline(outline: Outline, event: Event) -> None:
    match event:
        case Ended():
            outline.add(event.trajectory)
        case Solved():
            outline.solution = event.solution
        case _:
            pass


def solved_problems(folder: Path) -> dict[Problem, Solution]:
    """The problems of a run that have a verdict, to be given again when it is resumed."""
    return {outline.problem: outline.solution for outline in read_outlines(folder) if outline.solution is not None}


def read_info(folder: Path) -> Mapping[str, Any]:
    """`run.json` of a run folder.

    Raises:
        RunLogError: it is missing, damaged, or of another format.
    """
    try:
        info = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunLogError(f"{folder} holds no run: there is no {RUN_FILE} in it") from error
    except (OSError, ValueError) as error:
        raise RunLogError(f"can't read {folder / RUN_FILE}: {error}") from error
    if not isinstance(info, dict) or info.get("format_version") not in READABLE_VERSIONS:
        found = info.get("format_version") if isinstance(info, dict) else None
        known = " and ".join(map(str, sorted(READABLE_VERSIONS)))
        raise RunLogError(f"{folder} has run log format {found}; this version reads {known}")
    return info


def read_events(folder: Path) -> Iterator[Event]:
    """All events of a run in the order in which they were written, which each of its files keeps."""
    files = [read_rows(folder / name) for name in (TRAJECTORIES_FILE, SOLUTIONS_FILE)]
    for row in heapq.merge(*files, key=lambda row: int(row["seq"])):
        try:
            yield _event(row)
        except (KeyError, TypeError, ValueError) as error:
            raise RunLogError(f"row {row['seq']} of the run in {folder} can't be read: {error!r}") from error


def _event(row: Row) -> Event:
    match row["event"]:
        case "opened":
            problem = Problem(str(row["problem"]["id"]), str(row["problem"]["statement"]))
            cut = _slice(row["slice"]) if row.get("slice") else None
            return Opened(problem, row["prompt"], row["deadline"], row["num_samples"], row["at"], cut)
        case "started":
            return Started(row["problem_id"], row["index"], row["at"])
        case "ended":
            return Ended(_trajectory(row["trajectory"]), row["at"])
        case "stopped":
            return Stopped(row["problem_id"], StopReason(row["reason"]), row["at"])
        case "solved":
            return Solved(_solution(row["solution"]), row["at"])
        case unknown:
            raise ValueError(f"no event is called {unknown!r}")


def _slice(row: Row) -> Slice:
    return Slice(**{**row, "bound": Bound(row["bound"])})


def _trajectory(row: Row) -> Trajectory:
    turns = tuple(_turn(turn) for turn in row["turns"])
    rest = {**row, "turns": turns, "outcome": Outcome(row["outcome"]), "answer": _answer(row["answer"])}
    return Trajectory(**rest)


def _turn(row: Row) -> Turn:
    completion = row["completion"]
    execution = row["execution"]
    return Turn(
        completion=Completion(
            **{
                **completion,
                "token_ids": tuple(completion["token_ids"]),
                "finish_reason": FinishReason(completion["finish_reason"]),
            }
        ),
        code=row["code"],
        execution=execution and Execution(**{**execution, "status": ExecutionStatus(execution["status"])}),
        observation=row["observation"],
    )


def _answer(row: Row) -> ExtractedAnswer:
    reason = row["reason"] and NoAnswer(row["reason"])
    return ExtractedAnswer(row["value"], reason, AnswerSource(row["source"]), row["raw"])


def _solution(row: Row) -> Solution:
    rest = {
        **row,
        "stop_reason": StopReason(row["stop_reason"]),
        "votes": {int(answer): votes for answer, votes in row["votes"].items()},
        "invalid": {NoAnswer(reason): count for reason, count in row["invalid"].items()},
        "incidents": tuple(row.get("incidents", ())),
    }
    return Solution(**rest)


def _frame(columns: tuple[str, ...], rows: Iterable[Row]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


_PROBLEM_COLUMNS = ("problem_id", "statement", "prompt", "num_samples", "opened_at", "deadline")


def _problem_row(attempt: Attempt) -> Row:
    opened = attempt.opened
    rest = {name: getattr(opened, name) for name in ("problem_id", "prompt", "num_samples", "deadline")}
    return {**rest, "statement": opened.problem.statement, "opened_at": opened.at}


_TRAJECTORY_COLUMNS = (
    *("problem_id", "index", "outcome", "answer", "no_answer", "answer_source", "raw_answer", "printed"),
    *("num_turns", "num_tokens", "num_executions", "started_at", "ended_at", "error"),
)


def _trajectory_row(trajectory: Trajectory) -> Row:
    plain = ("problem_id", "index", "printed", "num_tokens", "started_at", "ended_at", "error")
    answer = trajectory.answer
    return {
        **{name: getattr(trajectory, name) for name in plain},
        "outcome": str(trajectory.outcome),
        "answer": answer.value,
        "no_answer": answer.reason and str(answer.reason),
        "answer_source": str(answer.source),
        "raw_answer": answer.raw,
        "num_turns": len(trajectory.turns),
        "num_executions": len(trajectory.executions),
    }


_COMPLETION_COLUMNS = (
    "stop_reason",
    "num_tokens",
    "num_prompt_tokens",
    "num_cached_tokens",
    "cumulative_logprob",
    "seed",
)
_EXECUTION_COLUMNS = ("output", "wall_s", "cpu_s")
_TURN_COLUMNS = (
    *("problem_id", "index", "turn", "completion", "finish_reason"),
    *_COMPLETION_COLUMNS,
    *("code", "status"),
    *_EXECUTION_COLUMNS,
    "observation",
)


def _turn_rows(trajectory: Trajectory) -> Iterator[Row]:
    for number, turn in enumerate(trajectory.turns):
        completion, execution = turn.completion, turn.execution
        yield {
            "problem_id": trajectory.problem_id,
            "index": trajectory.index,
            "turn": number,
            "completion": completion.text,
            "finish_reason": str(completion.finish_reason),
            **{name: getattr(completion, name) for name in _COMPLETION_COLUMNS},
            "code": turn.code,
            "status": execution and str(execution.status),
            **{name: execution and getattr(execution, name) for name in _EXECUTION_COLUMNS},
            "observation": turn.observation,
        }


_SOLUTION_COLUMNS = (
    *("problem_id", "answer", "is_fallback", "stop_reason", "votes", "invalid"),
    *("num_started", "num_ended", "opened_at", "solved_at", "error", "incidents"),
)


def _solution_row(solution: Solution) -> Row:
    return {
        **{name: getattr(solution, name) for name in _SOLUTION_COLUMNS},
        "stop_reason": str(solution.stop_reason),
        "invalid": {str(reason): count for reason, count in solution.invalid.items()},
    }
