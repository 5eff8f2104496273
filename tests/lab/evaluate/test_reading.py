"""Trajectories to read in Jupyter, out of the recorded run and out of hostile ones."""

from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Trajectory,
    Turn,
)
from numina_infer.lab.evaluate.plots import plot_policies
from numina_infer.lab.evaluate.reading import Reading, read_trajectory
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.replay.replay import replay
from numina_infer.lab.replay.replay_table import replay_frame
from numina_infer.lab.replay.variant import sweep

RUN = Path(__file__).parents[2] / "recorded_run"


def test_a_trajectory_reads_as_prose_programs_and_outputs() -> None:
    """In the order in which they came."""
    shown = read_trajectory(RUN, "warm-up-04")._repr_markdown_()
    order = [
        "warm-up-04, trajectory 0",
        "```python\nprint(4321 // 17)\n```",
        "*ok*",
        "```text\n254\n```",
        "boxed{254}",
    ]
    assert sorted(order, key=shown.index) == order


def test_printed_it_is_the_text_itself() -> None:
    """Observations stand where the model read them."""
    assert "```output\n254\n```" in str(read_trajectory(RUN, "warm-up-04"))


def test_a_text_of_the_models_makes_no_markup() -> None:
    """Neither by tags, nor by closing the block that it stands in, nor by headings."""
    hostile = "<img src=x onerror=alert(1)>\n# loud\n```python\nprint('''\n`````\n<b>''')\n```\n```output\n"
    execution = Execution(ExecutionStatus.OK, "`````\n<script>alert(1)</script>")
    turn = Turn(Completion(hostile, (), FinishReason.STOP, "```output\n"), "code", execution)
    nothing = ExtractedAnswer(None, NoAnswer.NOT_STATED)
    shown = Reading(Trajectory("<p>", 0, (turn,), Outcome.FINISHED, nothing))._repr_markdown_()
    outside = "".join(part for number, part in enumerate(shown.split("``````")) if number % 2 == 0)
    assert "<" not in outside.replace("&lt;", "")
    assert "\\# loud" in outside
    assert "alert(1)</script>" in shown


@pytest.mark.parametrize(("problem_id", "index", "told"), [("luck", 0, "warm-up-01"), ("warm-up-01", 99, "0, 1, 2")])
def test_what_is_not_in_the_run_is_named(problem_id: str, index: int, told: str) -> None:
    """With what is there instead."""
    with pytest.raises(ConfigError, match=told):
        read_trajectory(RUN, problem_id, index)


def test_the_recorded_run_replays_exactly_and_sweeps_into_a_figure() -> None:
    """What the notebook shows: a bar a policy, with what it got right."""
    recording = read_recording(RUN)
    assert replay(recording).num_as_recorded == 18
    frame = replay_frame(recording, [*sweep(num_samples=[4, 12, 16])], RUN / "problems.jsonl")
    assert list(frame["num_right"] <= frame["num_scored"]) == [True] * 3
    assert list(frame["num_unrecorded"]) == [0, 0, 18]
    labels = [text.get_text() for text in plot_policies(frame).axes[0].texts]
    assert labels == ["0 of 0 right, 18 not recorded", "8 of 18 right", f"{frame['num_right'].iloc[0]} of 18 right"]
