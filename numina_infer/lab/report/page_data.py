"""Turns a run's events into the data of its page: a row per problem, a row per trajectory, and chunks of texts.

Events are read one by one, and a trajectory's texts are kept as the JSON that goes into the page. Of a problem that
was opened again the last opening counts.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

from numina_infer.core.config import Policy
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.records import ExecutionStatus, Outcome, Solution, Trajectory
from numina_infer.lab.report.embedding import embed, finite
from numina_infer.lab.report.texts import Texts, cut
from numina_infer.lab.report.timeline import Axis, Stay, lanes, measure_load
from numina_infer.runs.history import ByProblem
from numina_infer.voting.ballot import MILLI, weigh
from numina_infer.voting.referee import Ledger

CHUNK = 50
"""Trajectories whose texts are one element of the page."""
MAX_TEXT_BYTES = 64_000_000
"""The size of all texts at most, since browsers can't show a whole large log. Later trajectories are rows alone."""

_MAX_HORIZON = 256
"""Beyond it the chance of another winner isn't shown: it takes seconds for each ending."""

COLUMNS = (
    *("problem", "index", "outcome", "answer", "reason", "source", "raw", "printed", "weight", "chance"),
    *("turns", "tokens", "programs", "programsOk", "programSeconds", "seated", "ended", "chunk", "place"),
)
"""The columns of a trajectory's row; moments are seconds on the page's axis."""

Row = dict[str, Any]


@dataclass(slots=True)
class Budget:
    """The bytes that are left for texts."""

    left: int = MAX_TEXT_BYTES

    def take(self, text: str) -> str | None:
        """`text`, or None where it is too much."""
        self.left -= len(text)
        return text if self.left >= 0 else None


@dataclass(slots=True)
class Sheet:
    """One problem since it was last opened."""

    opened: Opened
    opened_at: float
    """On the axis, as are the other moments."""
    policy: Policy
    budget: Budget
    started: dict[int, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    """In the order in which trajectories ended."""
    stays: list[Stay] = field(default_factory=list)
    chunks: list[str | None] = field(default_factory=list)
    ledger: Ledger = field(default_factory=lambda: Ledger(0.0, 0.0))
    texts: Texts = field(default_factory=Texts)
    solution: Solution | None = None
    solved_at: float | None = None
    stopped_at: float | None = None
    num_before_stop: int | None = None
    """Endings that were recorded when the referee said stop, where the log tells."""

    def add(self, trajectory: Trajectory, axis: Axis, at: float) -> None:
        """One trajectory that has ended."""
        self.ledger = self.ledger.ended(trajectory, at, self.policy.weights)
        stay = self._stay(trajectory, axis, at)
        self.stays.append(stay)
        self.rows.append({**self._row(trajectory, stay), "chunk": len(self.chunks), "place": len(self.texts.bodies)})
        self.texts.add(trajectory)
        if len(self.texts.bodies) == CHUNK:
            self.close_chunk()

    def close_chunk(self) -> None:
        """Turn the texts so far into JSON."""
        if self.texts.bodies:
            chunk = embed({"formulae": self.texts.formulae, "bodies": self.texts.bodies})
            self.chunks.append(self.budget.take(chunk))
            self.texts = Texts()

    def _stay(self, trajectory: Trajectory, axis: Axis, at: float) -> Stay:
        seated, ended = (axis.place(finite(moment)) for moment in (trajectory.started_at, trajectory.ended_at))
        seconds = math.fsum(finite(execution.wall_s) for execution in trajectory.executions)
        # Where a log has no moments of the trajectory itself, those of its events count.
        ended = min(max(ended, self.opened_at), at)
        started = self.started.get(trajectory.index, self.opened_at)
        return Stay(started, min(max(seated, started), ended), ended, seconds)

    def _row(self, trajectory: Trajectory, stay: Stay) -> Row:
        answer, executions = trajectory.answer, trajectory.executions
        weight = weigh(trajectory, self.policy.weights) if answer.reason is None else 0
        return {
            "index": trajectory.index,
            "outcome": str(trajectory.outcome),
            "answer": answer.value,
            "reason": answer.reason and str(answer.reason),
            "source": str(answer.source),
            "raw": answer.raw[:200],
            "printed": trajectory.printed,
            "weight": weight,
            "chance": self._chance(),
            "turns": len(trajectory.turns),
            "tokens": trajectory.num_tokens,
            "programs": len(executions),
            "programsOk": sum(execution.status is ExecutionStatus.OK for execution in executions),
            "programSeconds": round(stay.program_s, 3),
            "seated": round(stay.seated, 3),
            "ended": round(stay.ended, 3),
        }

    def _chance(self) -> float | None:
        """The chance that samples still to come change the winner; None without a winner, and after the stop."""
        ballot, horizon = self.ledger.ballot, self.opened.num_samples
        if ballot.winner is None or self.num_before_stop is not None or horizon > _MAX_HORIZON:
            return None
        return float(ballot.chance_of_change(max(0, horizon - self.ledger.num_ended) * MILLI))

    @property
    def end(self) -> float:
        """The moment of its verdict, or of its last event."""
        last = max((stay.ended for stay in self.stays), default=self.opened_at)
        return last if self.solved_at is None else self.solved_at

    @property
    def num_decisive(self) -> int:
        """Endings before the stop; the cutoff breaks off all later ones."""
        if self.num_before_stop is not None:
            return self.num_before_stop
        broken = (number for number, row in enumerate(self.rows) if row["outcome"] == Outcome.CUTOFF)
        return next(broken, len(self.rows))


@dataclass(slots=True)
class Sheets:
    """All problems of a run, folded from its events."""

    policy: Policy
    axis: Axis = field(default_factory=Axis)
    budget: Budget = field(default_factory=Budget)
    _problems: ByProblem[Sheet] = field(default_factory=ByProblem)

    def add(self, event: Event) -> None:
        """Take one event in."""
        before = self._problems.get(event.problem_id)
        is_resumed = isinstance(event, Opened) and before is not None and before.solution is None
        at = self.axis.move(finite(event.at), is_resumed=is_resumed)
        sheet = self._problems.of(event, lambda opened: Sheet(opened, at, self.policy, self.budget))
        if sheet is not None:
            self._enter(sheet, event, at)

    def _enter(self, sheet: Sheet, event: Event, at: float) -> None:
        match event:
            case Started():
                sheet.started[event.index] = at
            case Ended():
                sheet.add(event.trajectory, self.axis, at)
            case Stopped():
                sheet.stopped_at, sheet.num_before_stop = at, len(sheet.rows)
            case Solved():
                sheet.solution, sheet.solved_at = event.solution, at
            case _:
                pass

    def close(self) -> list[Sheet]:
        """One sheet a problem, in the order of their openings, their chunks closed."""
        sheets = list(self._problems)
        for sheet in sheets:
            sheet.close_chunk()
        return sheets


def page_index(sheets: Iterable[Sheet], axis: Axis, references: Mapping[str, Row]) -> Row:
    """The data that a page shows before a trajectory is opened; `references` are cells by problem id."""
    sheets = list(sheets)
    first_chunks = list(accumulate((len(sheet.chunks) for sheet in sheets), initial=0))[:-1]
    texts = Texts()
    problems = [_problem_row(sheet, texts, references.get(sheet.opened.problem_id, {})) for sheet in sheets]
    for row, lane in zip(problems, lanes([(sheet.opened_at, sheet.end) for sheet in sheets]), strict=True):
        row["lane"] = lane
    return {
        "problems": problems,
        "columns": COLUMNS,
        "trajectories": [
            _cells(row, number, first)
            for number, (sheet, first) in enumerate(zip(sheets, first_chunks, strict=True))
            for row in sheet.rows
        ],
        "formulae": texts.formulae,
        "timeline": _timeline(sheets, axis),
    }


def _cells(row: Row, problem: int, first_chunk: int) -> list[Any]:
    placed = {**row, "problem": problem, "chunk": first_chunk + row["chunk"]}
    return [placed[name] for name in COLUMNS]


def _timeline(sheets: list[Sheet], axis: Axis) -> Row:
    length = axis.latest or 0.0
    load = measure_load([stay for sheet in sheets for stay in sheet.stays], length)
    series = {name: [round(value, 2) for value in getattr(load, name)] for name in ("writing", "programs", "waiting")}
    return {"length": length, "breaks": axis.breaks, "bin": load.bin_s, **series}


def _problem_row(sheet: Sheet, texts: Texts, reference: Row) -> Row:
    opened, solution = sheet.opened, sheet.solution
    cut_slice = opened.slice and {**asdict(opened.slice), "bound": str(opened.slice.bound)}
    return {
        "id": opened.problem_id,
        "statement": texts.pieces(opened.problem.statement),
        "prompt": cut(opened.prompt),
        "horizon": opened.num_samples,
        "opened": round(sheet.opened_at, 3),
        "deadline": round(sheet.opened_at + finite(opened.deadline) - finite(opened.at), 3),
        "end": round(sheet.end, 3),
        "slice": cut_slice,
        "started": max(len(sheet.started), len(sheet.rows)),
        "decisive": sheet.num_decisive,
        "stopped": sheet.stopped_at,
        **reference,
        "solution": solution and _solution_row(solution),
        "differs": solution is not None and dict(solution.votes) != dict(sheet.ledger.ballot.votes),
    }


def _solution_row(solution: Solution) -> Row:
    return {
        "answer": solution.answer,
        "fallback": solution.is_fallback,
        "stop": str(solution.stop_reason),
        "votes": sorted(solution.votes.items(), key=lambda item: (-item[1], -item[0])),
        "error": cut(solution.error),
        "incidents": [cut(incident) for incident in solution.incidents],
    }
