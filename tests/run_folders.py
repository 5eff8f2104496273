"""Run folders for tests, written by the library's own log."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.presets import Preset
from numina_infer.core.records import (
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
from numina_infer.runs.log import RunLog

TURNS = (
    Turn(
        Completion("```python\nprint(2)\n```\n```output\n", (5, 6), FinishReason.STOP, "```output\n", tail="\n"),
        code="print(2)",
        execution=Execution(ExecutionStatus.OK, "2", stdout="2\n", wall_s=0.1, cpu_s=0.05),
        observation="2\n```",
    ),
    Turn(Completion("\\boxed{2}", (7,), FinishReason.EOS, num_tokens=2, cumulative_logprob=-0.5, seed=9)),
)
ANSWER = ExtractedAnswer(2, source=AnswerSource.BOXED, raw="2")
LOST = ExtractedAnswer(None, NoAnswer.NOT_AN_INTEGER, AnswerSource.BOXED, "2.5")


def events_of(problem: Problem, at: float = 0.0) -> list[Event]:
    """A whole problem, from its opening to its verdict."""
    solution = Solution(
        problem.id,
        2,
        is_fallback=False,
        stop_reason=StopReason.EXHAUSTED,
        votes={2: 1000},
        invalid={NoAnswer.NOT_AN_INTEGER: 1},
        num_started=2,
        num_ended=2,
        opened_at=at,
        solved_at=at + 3,
    )
    return [
        Opened(problem, "prompt", deadline=at + 10, num_samples=2, at=at),
        Started(problem.id, 0, at),
        Started(problem.id, 1, at),
        Ended(Trajectory(problem.id, 0, TURNS, Outcome.FINISHED, ANSWER, printed=2, ended_at=at + 1), at + 1),
        Ended(Trajectory(problem.id, 1, TURNS[1:], Outcome.FINISHED, LOST, error="none"), at + 2),
        Stopped(problem.id, StopReason.EXHAUSTED, at + 2.5),
        Solved(solution, at + 3),
    ]


EVENTS = [*events_of(Problem("a", "1+1?")), *events_of(Problem("b", "Wie viel? \u00fc\U0001f600\u0000\n"), at=5.0)]


INFO = MappingProxyType({"name": "test"})


def write_run(folder: Path, events: Iterable[Event] = (), info: Mapping[str, object] = INFO) -> Path:
    """A run folder with `events`, which says `info` of itself."""
    with RunLog(folder) as log:
        log.describe(info)
        for event in events:
            log.write(event)
    return folder


def described(folder: Path, preset: Preset, events: Iterable[Event] = (), **info: object) -> Path:
    """A run folder that says what it was made with."""
    return write_run(folder, events, {"preset": asdict(preset), **info})
