"""A run log as replay and evaluation read it: each problem's events in order, without the texts.

Statement, votes, lengths, times and how programs ended are kept; completions, token ids and outputs are dropped, but
for the last line of a trajectory's last output, from which a printed integer is read.
So the log of a collection fits in memory, and one reading serves any number of replays.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from numina_infer.answers.expression import MAX_LENGTH
from numina_infer.core.config import Policy
from numina_infer.core.events import Ended, Event, Opened, Solved, Stopped
from numina_infer.core.presets import Preset
from numina_infer.core.records import Execution, Problem, Solution, StopReason, Trajectory, Turn
from numina_infer.lab.replay.recorded_preset import read_preset
from numina_infer.lab.replay.replay_referee import AttemptEvent, ReplayReferee
from numina_infer.runs.history import fold_by_problem, read_events, read_info


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
        is_told = any(isinstance(event, Stopped) for event in self.events)
        if self._was_forced:
            self._forget_unknown()
        elif self.solution is not None and not is_told and self._num_ended >= self.solution.num_ended:
            self._find_stop(policy)
        return RecordedProblem(self.opened, tuple(self.events), self.solution)

    @property
    def _num_ended(self) -> int:
        return sum(isinstance(event, Ended) for event in self.events)

    @property
    def _was_forced(self) -> bool:
        return self.solution is not None and self.solution.stop_reason is StopReason.FAILED

    def _forget_unknown(self) -> None:
        """A verdict that came from outside, being late, may have been made before the last endings were written."""
        known = self.solution.num_ended if self.solution else 0
        ended = [number for number, event in enumerate(self.events) if isinstance(event, Ended)]
        del self.events[ended[known] if known < len(ended) else len(self.events) :]

    def _find_stop(self, policy: Policy) -> None:
        referee = ReplayReferee(self.opened, policy)
        num_seen, reason = referee.until_stop(self.events)
        at = self.events[num_seen].at if num_seen < len(self.events) else referee.ledger.deadline
        self.events.insert(num_seen, Stopped(self.opened.problem_id, reason or StopReason.DEADLINE, at))


def _without_texts(event: AttemptEvent) -> AttemptEvent:
    if not isinstance(event, Ended):
        return event
    trajectory = event.trajectory
    return Ended(replace(trajectory, turns=tuple(map(_without_text, trajectory.turns))), event.at)


def _without_text(turn: Turn) -> Turn:
    completion = replace(turn.completion, text="", token_ids=(), tail="")
    return Turn(completion, execution=turn.execution and _last_line(turn.execution))


def _last_line(execution: Execution) -> Execution:
    """The end of the output, as long as an integer may be and one character more."""
    line = execution.output.rpartition("\n")[2][: MAX_LENGTH + 1]
    return replace(execution, output=line, stdout="", stderr="")
