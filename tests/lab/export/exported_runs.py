"""Run folders that tests of the lab read: written by the library's own log, with trajectories made by hand."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from numina_infer.core.events import Ended, Event, Opened, Started
from numina_infer.core.presets import PRESETS
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Trajectory,
    Turn,
    plain_text,
)
from numina_infer.formats.fences import OUTPUT_FENCE
from numina_infer.formats.numina import NUMINA
from tests import run_folders

PROBLEMS = (Problem("a", "What is 1 + 1?"), Problem("b", "What is 2 + 3?"))
INFO: Mapping[str, object] = {
    "command": "collect",
    "problems": "/home/somebody/secret/problems.jsonl",
    "problems_sha256": "0" * 64,
    "choices": {"preset": "numina", "seed": 7, "model": "/home/somebody/models/my-7b"},
    "preset": asdict(PRESETS["numina"]),
    "engine": {"engine": "vllm", "model": "/home/somebody/models/my-7b", "weights": "f" * 64},
    "machine": {"processor": "a secret processor"},
    "versions": {"numina-infer": "0.1.0", "numpy": "2.0"},
    "sessions": ["2026-11-25T12:00:00+00:00"],
}


def attempt(
    index: int,
    value: int | None = 2,
    *,
    problem: Problem = PROBLEMS[0],
    outcome: Outcome = Outcome.FINISHED,
    words: str | None = None,
    stop: str | None = None,
) -> Trajectory:
    """A trajectory of two turns, its program's output in between; a text of its own unless it is given `words`."""
    said = f"Attempt {index} says \\boxed{{{value}}}." if words is None else words
    answer = ExtractedAnswer(None, NoAnswer.NOT_STATED) if value is None else ExtractedAnswer(value)
    asked = f"```python\nprint({value})\n```\n{OUTPUT_FENCE}"
    turns = (
        Turn(
            Completion(asked, (1, 2, 3), FinishReason.STOP, OUTPUT_FENCE, seed=100 + index),
            code=f"print({value})",
            execution=Execution(ExecutionStatus.OK, str(value)),
            observation=f"{value}\n```",
        ),
        Turn(Completion(said + (stop or ""), (4,), FinishReason.STOP if stop else FinishReason.EOS, stop)),
    )
    return Trajectory(problem.id, index, turns, outcome, answer)


def opening(problem: Problem) -> Opened:
    """A problem as the format `numina` asks it."""
    return Opened(problem, plain_text(NUMINA.prompt(problem.statement)), deadline=600.0, num_samples=48, at=0.0)


def events_of(problem: Problem, trajectories: Iterable[Trajectory]) -> list[Event]:
    """From the opening to the last ending."""
    events: list[Event] = [opening(problem)]
    for trajectory in trajectories:
        events += [Started(problem.id, trajectory.index, 1.0), Ended(trajectory, 2.0)]
    return events


def write_run(folder: Path, events: Iterable[Event], info: Mapping[str, object] = INFO) -> Path:
    """A run folder with `events`."""
    return run_folders.write_run(folder, events, info)


def write_references(file: Path, answers: Mapping[Problem, object]) -> Path:
    """A problems file."""
    rows = [
        {"id": problem.id, "problem": problem.statement, "answer": str(answer)} for problem, answer in answers.items()
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file
