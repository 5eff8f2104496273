"""An evaluation as matplotlib figures, for a notebook: one call each, axes with their units, intervals shaded."""

from typing import TYPE_CHECKING

from numina_infer.lab.evaluate.evaluation import Comparison, Evaluation
from numina_infer.lab.evaluate.frames import calibration_frame, comparison_frame, curve_frame, loss_frame, sample_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHADE = 0.12
_RIGHT, _WRONG = "tab:blue", "tab:orange"


def plot_curves(*evaluations: Evaluation) -> "Figure":
    """maj@k and pass@k against k, with 95 % intervals; several runs in one figure."""
    figure, axes = _axes("maj@k (solid) and pass@k (dashed)", "samples of a problem, k", "problems right, %")
    is_alone = len(evaluations) == 1
    for number, evaluation in enumerate(evaluations):
        frame = curve_frame(evaluation)
        for place, (metric, style) in enumerate((("maj@k", "-"), ("pass@k", "--"))):
            label = metric if is_alone else f"{evaluation.name}: {metric}"
            color = f"C{place if is_alone else number}"
            part = frame[frame["metric"] == metric]
            axes.plot(part["k"], 100 * part["value"], style, color=color, label=label)
            axes.fill_between(part["k"], 100 * part["low"], 100 * part["high"], color=color, alpha=_SHADE, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda k, _: f"{k:g}")
    axes.set_ylim(0, 100)
    axes.legend()
    return figure


def plot_losses(evaluation: Evaluation) -> "Figure":
    """Where votes are lost: samples without a vote, by reason and outcome."""
    frame = loss_frame(evaluation).iloc[::-1]
    figure, axes = _axes("votes lost", "share of all samples, %", "reason, and how the sample ended")
    axes.barh(frame["reason"] + " (" + frame["outcome"] + ")", 100 * frame["share"])
    if frame.empty:
        axes.text(0.5, 0.5, "no vote was lost", ha="center", transform=axes.transAxes)
    return figure


def plot_lengths(evaluation: Evaluation) -> "Figure":
    """How long right and wrong samples are."""
    return _plot_by_mark(evaluation, "num_tokens", "length of samples", "tokens of a sample")


def plot_times(evaluation: Evaluation) -> "Figure":
    """How long right and wrong samples took, from their slot to their end."""
    return _plot_by_mark(evaluation, "seconds", "time of samples", "seconds of a sample")


def _plot_by_mark(evaluation: Evaluation, column: str, title: str, label: str) -> "Figure":
    frame = sample_frame(evaluation)
    figure, axes = _axes(title, label, "samples")
    parts = [frame.loc[frame["is_right"] == is_right, column] for is_right in (True, False)]
    axes.hist(parts, bins=30, stacked=True, label=["right", "wrong or without a vote"], color=[_RIGHT, _WRONG])
    axes.legend()
    return figure


def plot_calibration(evaluation: Evaluation) -> "Figure":
    """The winner's share of the votes against how often it is right, with 95 % intervals."""
    frame = calibration_frame(evaluation)
    figure, axes = _axes("calibration of the vote", "the winner's share of the votes, %", "winner right, %")
    axes.plot([0, 100], [0, 100], ":", color="gray", label="as the share says")
    below, above = frame["right"] - frame["right_low"], frame["right_high"] - frame["right"]
    spread = [100 * below, 100 * above]
    axes.errorbar(100 * frame["mean_share"], 100 * frame["right"], spread, fmt="o-", capsize=3, label="measured")
    for x, y, count in zip(frame["mean_share"], frame["right"], frame["num_problems"], strict=True):
        axes.annotate(f"{count}", (100 * x, 100 * y), textcoords="offset points", xytext=(6, -12))
    axes.legend()
    return figure


def plot_comparison(comparison: Comparison) -> "Figure":
    """By how much the first run is better, problem by problem, and in the mean with its 95 % interval."""
    frame, gap = comparison_frame(comparison), comparison.difference
    title = f"{comparison.first.name} less {comparison.second.name}"
    figure, axes = _axes(title, "problems, the largest gain first", f"difference in maj@{comparison.k}, points")
    colors = [_RIGHT if value >= 0 else _WRONG for value in frame["difference"]]
    axes.bar(frame.index, 100 * frame["difference"], color=colors)
    axes.axhspan(100 * gap.low, 100 * gap.high, alpha=_SHADE, color="C0", label="mean, 95 %")
    axes.axhline(100 * gap.value, color="C0")
    axes.legend()
    return figure


def plot_policies(frame: "pd.DataFrame") -> "Figure":
    """What policies cost and bring: a `replay_table.replay_frame`, a bar for each policy."""
    frame = frame.iloc[::-1]
    figure, axes = _axes("policies on one recorded run", "tokens of the trajectories that ended", "policy")
    bars = axes.barh(frame.index.astype(str), frame["num_tokens"])
    right = zip(frame["num_right"], frame["num_scored"], frame["num_unrecorded"], strict=True)
    labels = [f"{hits} of {scored} right" + f", {short} not recorded" * (short > 0) for hits, scored, short in right]
    axes.bar_label(bars, labels, padding=4)
    axes.margins(x=0.35)
    return figure


def _axes(title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    """Closed for pyplot, so that a notebook shows the figure once: as the value of its cell."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    plt.close(figure)
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes
