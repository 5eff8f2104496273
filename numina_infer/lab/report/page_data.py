"""Turns a run's events into the data of its page: rows of problems and trajectories, chunks of texts, a timeline.

Events are read one by one, and a trajectory's texts are kept as the JSON that goes into the page. Of a problem that
was opened again the last opening counts.

The timeline has sessions one after another on one axis. A run log doesn't have the moment at which a program began, so
the seconds of a trajectory's programs are spread evenly over its time in a slot, and called an average.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from numina_infer.core.config import Policy
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.records import ExecutionStatus, Outcome, Solution, Trajectory
from numina_infer.lab.report.texts import Texts, cut, embed, finite
from numina_infer.runs.history import ByProblem
from numina_infer.voting.ballot import MILLI, weigh
from numina_infer.voting.referee import Ledger

CHUNK = 50
"""Trajectories whose texts are one element of the page."""
MAX_TEXT_BYTES = 64_000_000
"""The size of all texts at most, since browsers can't show a whole large log. Later trajectories are rows alone."""
NUM_BINS = 180
"""Equal parts of the time axis."""

_MAX_HORIZON = 256
"""Beyond it the chance of another winner isn't shown: it takes seconds for each ending."""
_SLACK_S = 1.0
"""A clock that goes back by less is the same session: events of several problems are almost in order."""

Row = dict[str, Any]


@dataclass(slots=True)
class Axis:
    """Loop times of all sessions → seconds since the run began, with a gap where a run was stopped and resumed.

    Clocks of two sessions can't be compared, so the time between two sessions isn't known.
    """

    offset: float = 0.0
    """What is added to a loop time of the session that is read now."""
    latest: float | None = None
    """The last moment seen, on this axis."""
    breaks: list[float] = field(default_factory=list)
    """Where sessions after the first begin, on this axis."""

    def place(self, at: float) -> float:
        """The moment of a loop time of this session."""
        return at + self.offset

    def move(self, at: float, *, is_resumed: bool = False) -> float:
        """The moment of the next event, which may be a session's first: after a resume, or where clocks differ."""
        if self.latest is None:
            self.offset, self.latest = -at, 0.0
        elif is_resumed or self.place(at) < self.latest - _SLACK_S:
            self.offset = self.latest - at
            self.breaks.append(self.latest)
        self.latest = max(self.latest, self.place(at))
        return self.place(at)


@dataclass(frozen=True, slots=True)
class Stay:
    """One trajectory's time, in seconds of the axis."""

    started: float
    """When it began to wait for a slot."""
    seated: float
    """When it got its slot."""
    ended: float
    program_s: float
    """Wall seconds of its programs, somewhere in between."""


def measure_load(stays: Sequence[Stay], length_s: float) -> Row:
    """The mean number of trajectories in each of `NUM_BINS` stretches of an axis of `length_s` seconds.

    `bin` is the length of a stretch in seconds. `waiting` have started and no slot yet, `programs` wait for a program
    of theirs, `writing` are those for which the engine wrote, or would have if it had had the time.
    """
    bin_s = max(length_s, 1e-9) / NUM_BINS
    writing, programs, waiting = ([0.0] * NUM_BINS for _ in range(3))
    for stay in stays:
        seated_s = max(stay.ended - stay.seated, 1e-9)
        share = min(1.0, stay.program_s / seated_s)
        _spread(waiting, bin_s, stay.started, stay.seated, 1.0)
        _spread(writing, bin_s, stay.seated, stay.ended, 1.0 - share)
        _spread(programs, bin_s, stay.seated, stay.ended, share)
    return {"bin": bin_s, "writing": writing, "programs": programs, "waiting": waiting}


def _spread(bins: list[float], bin_s: float, start: float, end: float, height: float) -> None:
    """Add `height` to the mean of every bin, as far as the stretch from `start` to `end` covers it."""
    first, last = max(0, int(start / bin_s)), min(len(bins) - 1, int(end / bin_s))
    for number in range(first, last + 1):
        covered = min(end, (number + 1) * bin_s) - max(start, number * bin_s)
        bins[number] += height * max(0.0, covered) / bin_s


def lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """A lane for each span, so that no two in one lane overlap; the lowest that is free when it begins."""
    free_at: list[float] = []
    lane_of = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda number: spans[number]):
        start, end = spans[number]
        lane = next((lane for lane, free in enumerate(free_at) if free <= start), len(free_at))
        free_at[lane:] = [end, *free_at[lane + 1 :]]
        lane_of[number] = lane
    return lane_of


@dataclass(slots=True)
class Sheet:
    """One problem since it was last opened."""

    run: "Sheets"
    opened: Opened
    opened_at: float
    """On the axis, as are the other moments."""
    started: dict[int, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    """In the order in which trajectories ended; their keys are the columns of the page's table."""
    stays: list[Stay] = field(default_factory=list)
    chunks: dict[int, str] = field(default_factory=dict)
    """JSON by its number; those that are too much are missing."""
    ledger: Ledger = field(default_factory=lambda: Ledger(0.0, 0.0))
    texts: Texts = field(default_factory=Texts)
    """Those of the chunk that isn't full yet, whose number is `chunk`."""
    chunk: int = 0
    solution: Solution | None = None
    solved_at: float | None = None
    stopped_at: float | None = None
    num_before_stop: int | None = None
    """Endings that were recorded when the referee said stop, where the log tells."""

    def take(self, event: Event, at: float) -> None:
        """Take in one event, at its moment on the axis."""
        match event:
            case Started():
                self.started[event.index] = at
            case Ended():
                self._add(event.trajectory, at)
            case Stopped():
                self.stopped_at, self.num_before_stop = at, len(self.rows)
            case Solved():
                self.solution, self.solved_at = event.solution, at
            case Opened():
                pass

    def _add(self, trajectory: Trajectory, at: float) -> None:
        self.ledger = self.ledger.ended(trajectory, at, self.run.policy.weights)
        stay = self._stay(trajectory, at)
        self.stays.append(stay)
        if not self.texts.bodies:
            self.chunk = next(self.run.chunk_numbers)
        self.rows.append({**self._row(trajectory, stay), "chunk": self.chunk, "place": len(self.texts.bodies)})
        self.texts.add(trajectory)
        if len(self.texts.bodies) == CHUNK:
            self.close_chunk()

    def close_chunk(self) -> None:
        """Turn the texts so far into JSON, as far as there is room for it."""
        if not self.texts.bodies:
            return
        text = embed({"formulae": self.texts.formulae, "bodies": self.texts.bodies})
        self.run.bytes_left -= len(text)
        if self.run.bytes_left >= 0:
            self.chunks[self.chunk] = text
        self.texts = Texts()

    def _stay(self, trajectory: Trajectory, at: float) -> Stay:
        seated, ended = (
            self.run.axis.place(finite(moment)) for moment in (trajectory.started_at, trajectory.ended_at)
        )
        seconds = math.fsum(finite(execution.wall_s) for execution in trajectory.executions)
        # Where a log has no moments of the trajectory itself, those of its events count.
        ended = min(max(ended, self.opened_at), at)
        started = self.started.get(trajectory.index, self.opened_at)
        return Stay(started, min(max(seated, started), ended), ended, seconds)

    def _row(self, trajectory: Trajectory, stay: Stay) -> Row:
        answer, executions = trajectory.answer, trajectory.executions
        weight = weigh(trajectory, self.run.policy.weights) if answer.reason is None else 0
        return {
            "index": trajectory.index,
            "outcome": str(trajectory.outcome),
            "answer": answer.value,
            "reason": answer.reason and str(answer.reason),
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
    bytes_left: int = MAX_TEXT_BYTES
    """For texts."""
    axis: Axis = field(default_factory=Axis)
    chunk_numbers: Iterator[int] = field(default_factory=count)
    _problems: ByProblem[Sheet] = field(default_factory=ByProblem)

    def add(self, event: Event) -> None:
        """Take one event in."""
        before = self._problems.get(event.problem_id)
        is_resumed = isinstance(event, Opened) and before is not None and before.solution is None
        at = self.axis.move(finite(event.at), is_resumed=is_resumed)
        sheet = self._problems.of(event, lambda opened: Sheet(self, opened, at))
        if sheet is not None:
            sheet.take(event, at)

    def close(self) -> list[Sheet]:
        """One sheet a problem, in the order of their openings, their chunks closed."""
        sheets = list(self._problems)
        for sheet in sheets:
            sheet.close_chunk()
        return sheets


def page_index(sheets: Sequence[Sheet], axis: Axis, references: Mapping[str, Row]) -> Row:
    """The data that a page shows before a trajectory is opened; `references` are cells by problem id."""
    texts = Texts()
    problems = [_problem_row(sheet, texts, references.get(sheet.opened.problem_id, {})) for sheet in sheets]
    for row, lane in zip(problems, lanes([(sheet.opened_at, sheet.end) for sheet in sheets]), strict=True):
        row["lane"] = lane
    rows = [{"problem": number, **row} for number, sheet in enumerate(sheets) for row in sheet.rows]
    load = measure_load([stay for sheet in sheets for stay in sheet.stays], axis.latest or 0.0)
    series = {name: [round(value, 2) for value in load[name]] for name in ("writing", "programs", "waiting")}
    return {
        "problems": problems,
        "columns": list(rows[0]) if rows else [],
        "trajectories": [list(row.values()) for row in rows],
        "formulae": texts.formulae,
        "timeline": {"length": axis.latest or 0.0, "breaks": axis.breaks, **load, **series},
    }


def _problem_row(sheet: Sheet, texts: Texts, reference: Row) -> Row:
    opened, solution = sheet.opened, sheet.solution
    return {
        "id": opened.problem_id,
        "statement": texts.pieces(opened.problem.statement),
        "prompt": cut(opened.prompt),
        "horizon": opened.num_samples,
        "opened": round(sheet.opened_at, 3),
        "end": round(sheet.end, 3),
        "slice": opened.slice and {**asdict(opened.slice), "bound": str(opened.slice.bound)},
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
