"""Reads the run folder of a drill as a user would: its events, its replay, its summary."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from drills.contest_plan import right_answer
from drills.seen import LogSeen
from numina_infer.core.errors import NuminaError
from numina_infer.core.events import Opened
from numina_infer.core.presets import Preset
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.replay.replay import replay_run
from numina_infer.runs.history import read_events
from numina_infer.runs.summary import summarize


def read_log(folder: Path, numbers: Mapping[str, int]) -> LogSeen:
    """The log in `folder`; `numbers` has a problem's number by its statement."""
    try:
        openings = Counter(event.problem.statement for event in read_events(folder) if isinstance(event, Opened))
        replayed = replay_run(read_recording(folder))
    except NuminaError as error:
        return LogSeen(trouble=str(error))
    solved = [one for one in replayed.problems if one.recorded.solution is not None]
    return LogSeen(
        verdicts={
            numbers[one.recorded.problem.statement]: one.recorded.solution
            for one in solved
            if one.recorded.solution is not None
        },
        num_openings={numbers[text]: times for text, times in openings.items()},
        num_replayed=sum(one.is_as_recorded for one in solved),
    )


def read_summary(folder: Path, preset: Preset, log_trouble: str) -> tuple[str, ...]:
    """The lines that a user reads at the end of the run in `folder`."""
    references = {f"p{number}": str(right_answer(number)) for number in range(1, 900)}
    try:
        summary = summarize(folder, references, preset, log_trouble=log_trouble)
    except NuminaError as error:
        return (f"there is no summary: {error}",)
    return (summary.line, summary.time_line, summary.vote_line, *summary.failures)
