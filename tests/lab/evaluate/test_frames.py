"""Frames, records, tables and figures: that they hold what the evaluation holds, and can be read."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from numina_infer.lab.evaluate import frames, plots
from numina_infer.lab.evaluate.evaluation import Comparison, Evaluation, compare, evaluate_run
from numina_infer.lab.evaluate.frames import comparison_record, comparison_table, evaluation_record, tables
from tests.lab.recorded_runs import RecordedRun, Samples

SAMPLES: Samples = {"a": ["1"] * 7 + ["2"], "b": ["1", "2", None, None] * 2, "c": ["3"] * 8, "d": [None] * 8}
ANSWERS = {"a": "1", "b": "1", "c": "4", "d": "5"}


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Four problems of eight samples."""
    return evaluate_run(RecordedRun().write(tmp_path / "run", SAMPLES), ANSWERS)


@pytest.fixture
def comparison(evaluation: Evaluation, tmp_path: Path) -> Comparison:
    """Against a run that got all of them."""
    better = {one: [answer] * 8 for one, answer in ANSWERS.items()}
    return compare(evaluation, evaluate_run(RecordedRun().write(tmp_path / "better", better), ANSWERS))


def test_problem_and_sample_frames_agree(evaluation: Evaluation) -> None:
    """Counted from one, the other comes out."""
    problems, samples = frames.problem_frame(evaluation), frames.sample_frame(evaluation)
    by_problem = samples.groupby("problem_id")
    assert list(by_problem["is_right"].sum()) == list(problems["num_right"]) == [7, 2, 0, 0]
    assert list(by_problem["num_tokens"].sum()) == list(problems["num_tokens"])
    assert list(by_problem["num_programs"].sum()) == list(problems["num_programs"])
    assert samples["answer"].isna().sum() == problems["num_blank"].sum() == 12
    assert list(problems["score"]) == [1.0, 0.5, 0.0, 0.0]


def test_the_curve_frame_holds_the_estimates(evaluation: Evaluation) -> None:
    """At the ks asked for, or those of a readable curve."""
    frame = frames.curve_frame(evaluation, [1, 8])
    expected = [asdict(one(k)) for one in (evaluation.majority, evaluation.passes) for k in (1, 8)]
    assert frame[["value", "low", "high"]].to_dict("records") == expected
    assert sorted(set(frames.curve_frame(evaluation)["k"])) == [1, 2, 3, 4, 6, 8]


def test_losses_costs_and_programs_are_shares_of_all(evaluation: Evaluation) -> None:
    """Of samples, and of programs, a quarter of which took too long."""
    losses, programs = frames.loss_frame(evaluation), frames.program_frame(evaluation)
    assert losses.to_dict("records") == [
        {"reason": "not_stated", "outcome": "finished", "count": 12, "share": 12 / 32}
    ]
    assert programs.set_index("status")["share"].to_dict() == {"ok": 0.75, "timeout": 0.25}
    costs = frames.cost_frame(evaluation).set_index("quantity")
    assert list(costs.loc["samples"]) == [8, 8, 8]
    assert costs.loc["seconds", "mean"] == 18
    assert list(costs.loc["programs"]) == [8, 8, 8]


def test_a_run_without_losses_and_programs_has_empty_frames_with_columns(tmp_path: Path) -> None:
    """So that a cell that looks at them works."""
    one = evaluate_run(RecordedRun().write(tmp_path / "run", {"a": ["1"]}), {"a": "1"})
    assert list(frames.loss_frame(one).columns) == ["reason", "outcome", "count", "share"]
    assert plots.plot_losses(one).axes[0].texts[0].get_text() == "no vote was lost"


def test_a_run_without_any_vote_is_shown_too(tmp_path: Path) -> None:
    """Nothing is right, and nothing breaks."""
    one = evaluate_run(RecordedRun().write(tmp_path / "run", {"a": [None] * 9}), {"a": "1"})
    assert json.loads(json.dumps(evaluation_record(one), allow_nan=False))["calibration"] == []
    assert plots.plot_calibration(one).axes
    assert [table.title for table in tables(one)][2] == "votes lost: 9 of 9"


def test_the_comparison_frame_is_sorted_by_gain(comparison: Comparison) -> None:
    """And its mean is the difference."""
    frame = frames.comparison_frame(comparison)
    assert frame["difference"].is_monotonic_decreasing
    assert frame["difference"].mean() == pytest.approx(comparison.difference.value)


PLOTS: dict[str, Callable[[Evaluation], object]] = {
    "curves": plots.plot_curves,
    "losses": plots.plot_losses,
    "lengths": plots.plot_lengths,
    "times": plots.plot_times,
    "calibration": plots.plot_calibration,
}


@pytest.mark.parametrize("name", PLOTS)
def test_every_figure_has_labelled_axes_and_can_be_drawn(evaluation: Evaluation, name: str) -> None:
    """As a notebook draws it, once: pyplot holds no figure afterwards."""
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    figure = PLOTS[name](evaluation)
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    assert axes.get_title()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    figure.savefig(io.BytesIO(), format="png")
    assert plt.get_fignums() == []


def test_the_curves_of_two_runs_stand_in_one_figure(comparison: Comparison) -> None:
    """With both names, the values of the frame, and a shade for each interval."""
    (axes,) = plots.plot_curves(comparison.first, comparison.second).axes
    frame = frames.curve_frame(comparison.first)
    drawn = axes.get_lines()[0]
    assert np.asarray(drawn.get_ydata()).tolist() == list(100 * frame.loc[frame["metric"] == "maj@k", "value"])
    labels = [line.get_label() for line in axes.get_lines()]
    assert len(labels) == len(axes.collections) == 4
    assert f"{comparison.second.name}: pass@k" in labels


def test_the_comparison_figure_shows_every_problem(comparison: Comparison) -> None:
    """And the mean."""
    (axes,) = plots.plot_comparison(comparison).axes
    assert len(axes.patches) == len(comparison.pairs) + 1
    assert "points" in axes.get_ylabel()


def test_records_are_json(evaluation: Evaluation, comparison: Comparison) -> None:
    """Numbers stay numbers, and none is a NaN."""
    told = json.loads(json.dumps([evaluation_record(evaluation), comparison_record(comparison)], allow_nan=False))
    assert told[0]["vote"] == asdict(evaluation.vote)
    assert told[0]["grader"] == "integer"
    assert pd.DataFrame(told[0]["curves"]).equals(frames.curve_frame(evaluation))
    assert told[1]["sentence"] == comparison.sentence


def test_tables_show_the_figures(evaluation: Evaluation, comparison: Comparison) -> None:
    """Each with its interval."""
    console = Console(file=io.StringIO(), width=140, record=True)
    for table in [*tables(evaluation, [8]), comparison_table(comparison)]:
        console.print(table)
    text = console.export_text()
    assert str(evaluation.majority(8)) in text
    assert str(evaluation.passes(8)) in text
    assert "votes lost: 12 of 32" in text
    assert "timeout" in text
