"""A run log as replay and evaluation read it: each problem's events in order, without the texts.

Statement, votes, lengths, times and how programs ended are kept; completions, token ids and outputs are dropped, but
for the last line of a trajectory's last output, from which a printed integer is read.
So the log of a collection fits in memory, and one reading serves any number of replays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from numina_infer.answers.expression import MAX_LENGTH
from numina_infer.core.config import Policy
from numina_infer.core.errors import RunLogError
from numina_infer.core.events import Ended, Event, Opened, Solved, Stopped
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution, StopReason, Trajectory, Turn
from numina_infer.lab.replay.replay_referee import AttemptEvent, ReplayReferee
from numina_infer.runs.history import fold_by_problem, read_events, read_info
from numina_infer.runs.rows import RowError, read_record


@dataclass(frozen=True)
class RecordedProblem:
    """One problem of a run, since it was last opened."""

    opened: Opened
    events: tuple[AttemptEvent, ...] = ()
    """Up to the verdict, where there is one: what the verdict knew."""
    solution: Solution | None = None
    """None where the run broke off before."""

    @property
    def problem(self) -> Problem:
        """What was asked."""
        return self.opened.problem

    @cached_property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """Those that ended before the verdict, in that order; without texts."""
        return tuple(event.trajectory for event in self.events if isinstance(event, Ended))


@dataclass(frozen=True, slots=True)
class Recording:
    """A run, problem by problem, in the order of their openings."""

    folder: Path
    info: dict[str, Any]
    """`run.json`."""
    preset: Preset
    """What the run was made with."""
    problems: tuple[RecordedProblem, ...]

    @property
    def is_papers(self) -> bool:
        """Whether the run was made the paper's way."""
        return bool((self.info.get("choices") or {}).get("paper"))


def read_preset(info: Mapping[str, Any]) -> Preset:
    """What a run was made with, by its `run.json`; a field that an older log doesn't have gets its default.

    Raises:
        RunLogError: `run.json` has no preset, or one that can't be read.
    """
    row = info.get("preset")
    if not isinstance(row, Mapping):
        raise RunLogError("run.json names no preset; the run was made by other means, and its policy isn't known")
    try:
        return read_record(Preset, row, is_strict=False)
    except RowError as error:
        raise RunLogError(f"the preset in run.json can't be read: {error}") from error


def read_recording(path: str | Path) -> Recording:
    """Read the run folder at `path`, finished or not; of a problem that was opened again, the last opening.

    Raises:
        RunLogError: there is no run, it is of a format that isn't known, or a line in the middle is damaged.
    """
    folder = Path(path)
    info = dict(read_info(folder))
    preset = read_preset(info)
    problems = fold_by_problem(read_events(folder), lambda opened: _Open(replace(opened, prompt=""), []))
    recorded = tuple(problem.recorded(preset.policy) for problem in problems)
    return Recording(folder, info, preset, recorded)


@dataclass(slots=True)
class _Open:
    """A problem being read."""

    opened: Opened
    events: list[AttemptEvent]
    solution: Solution | None = None

    def take(self, event: Event) -> None:
        """Take one event; what ends behind the verdict, such as attempts that a late reply left, is no part of it."""
        if isinstance(event, Solved):
            self.solution = self.solution or event.solution
        elif self.solution is None and not isinstance(event, Opened):
            self.events.append(_without_texts(event))

    def recorded(self, policy: Policy) -> RecordedProblem:
        """As it is replayed, with the stop of `policy`, the run's own, where an older log doesn't tell it.

        A log that has fewer endings than its verdict counted was cut off, and has no stop.
        """
        was = self.solution
        endings = [number for number, event in enumerate(self.events) if isinstance(event, Ended)]
        if was is not None and was.stop_reason is StopReason.FAILED:
            # It came from outside, being late, and may have been made before the last endings were written.
            del self.events[endings[was.num_ended] if was.num_ended < len(endings) else len(self.events) :]
        elif was is not None and len(endings) >= was.num_ended and not self._tells_stop:
            self._find_stop(policy)
        return RecordedProblem(self.opened, tuple(self.events), was)

    @property
    def _tells_stop(self) -> bool:
        return any(isinstance(event, Stopped) for event in self.events)

    def _find_stop(self, policy: Policy) -> None:
        referee = ReplayReferee(self.opened, policy)
        num_seen, reason = referee.until_stop(self.events)
        at = self.events[num_seen].at if num_seen < len(self.events) else referee.ledger.deadline
        self.events.insert(num_seen, Stopped(self.opened.problem_id, reason or StopReason.DEADLINE, at))


def _without_texts(event: AttemptEvent) -> AttemptEvent:
    if not isinstance(event, Ended):
        return event
    turns = tuple(map(_without_text, event.trajectory.turns))
    return replace(event, trajectory=replace(event.trajectory, turns=turns))


def _without_text(turn: Turn) -> Turn:
    completion = replace(turn.completion, text="", token_ids=(), tail="")
    if turn.execution is None:
        return Turn(completion)
    # The end of the output, as long as an integer may be and one character more.
    last_line = turn.execution.output.rpartition("\n")[2][: MAX_LENGTH + 1]
    return Turn(completion, execution=replace(turn.execution, output=last_line, stdout="", stderr=""))
