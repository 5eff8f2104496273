"""Trajectories to read in Jupyter, out of the recorded run and out of hostile ones."""

import re
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
from numina_infer.lab.cells import _COLOURS, Reading, read_trajectory
from numina_infer.lab.evaluate.plots import plot_policies
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.replay.replay import replay_run
from numina_infer.lab.replay.replay_table import replay_frame
from numina_infer.lab.replay.variant import sweep

RUN = Path(__file__).parents[2] / "recorded_run"


def test_a_trajectory_reads_as_prose_programs_and_outputs() -> None:
    """In the order in which they came; a program is a block in which words have colours."""
    shown = read_trajectory(RUN, "warm-up-04")._repr_html_()
    order = ["warm-up-04, trajectory 0", "<pre", ">print<", "4321", "output (ok)", "<code>254</code>", "boxed{254}"]
    positions = [shown.rindex(part) if part == "4321" else shown.index(part) for part in order]
    assert positions == sorted(positions)


def test_printed_it_is_the_text_itself() -> None:
    """Observations stand where the model read them."""
    assert "```output\n254\n```" in str(read_trajectory(RUN, "warm-up-04"))


def test_a_text_of_the_models_makes_no_markup() -> None:
    """Neither in prose nor in a program, an output or a name."""
    hostile = "<img src=x onerror=alert(1)>\n```python\nprint('''\n</code></pre>\n<b>''')\n```\n```output\n"
    execution = Execution(ExecutionStatus.OK, "</pre><script>alert(1)</script>")
    turn = Turn(Completion(hostile, (), FinishReason.STOP, "```output\n"), "code", execution)
    nothing = ExtractedAnswer(None, NoAnswer.NOT_STATED)
    shown = Reading(Trajectory("<p>", 0, (turn,), Outcome.FINISHED, nothing))._repr_html_()
    elements = re.findall(r"<[^>]*>", shown)
    assert all(
        re.fullmatch(r'</?(b|div|pre|code|span|small)( style="[-a-z0-9:;# ]*")?>', element) for element in elements
    )
    assert set(re.findall(r'<span style="color:([^"]*)"', shown)) <= set(_COLOURS.values())
    assert {"<pre", "<div", "<code>"} <= {element.split(" ")[0] for element in elements}
    assert "&lt;script&gt;alert(1)" in shown


@pytest.mark.parametrize(("problem_id", "index", "told"), [("luck", 0, "warm-up-01"), ("warm-up-01", 99, "0, 1, 2")])
def test_what_is_not_in_the_run_is_named(problem_id: str, index: int, told: str) -> None:
    """With what is there instead."""
    with pytest.raises(ConfigError, match=told):
        read_trajectory(RUN, problem_id, index)


def test_the_recorded_run_replays_exactly_and_sweeps_into_a_figure() -> None:
    """What the notebook shows: a bar a policy, with what it got right."""
    recording = read_recording(RUN)
    assert replay_run(recording).num_as_recorded == 18
    frame = replay_frame(recording, [*sweep(num_samples=[4, 12, 16])], RUN / "problems.jsonl")
    assert list(frame["num_right"] <= frame["num_scored"]) == [True] * 3
    assert list(frame["num_unrecorded"]) == [0, 0, 18]
    labels = [text.get_text() for text in plot_policies(frame).axes[0].texts]
    assert labels == ["0 of 0 right, 18 not recorded", "8 of 18 right", f"{frame['num_right'].iloc[0]} of 18 right"]
