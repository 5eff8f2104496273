"""An evaluation as tables in a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from numina_infer.lab.evaluate.calibration import calibrate
from numina_infer.lab.evaluate.comparison import Comparison
from numina_infer.lab.evaluate.evaluation import Evaluation
from numina_infer.lab.evaluate.frames import cost_frame, lead_frame, loss_frame, program_frame
from numina_infer.lab.evaluate.intervals import Estimate

if TYPE_CHECKING:
    import pandas as pd

_LEAD_SAMPLES = 8


def tables(evaluation: Evaluation, ks: Sequence[int] | None = None) -> Iterator[Table]:
    """All tables of one run: accuracy, votes lost, costs, programs, calibration; none that would be empty."""
    costs, programs, leads = cost_frame(evaluation), program_frame(evaluation), lead_frame(evaluation, _LEAD_SAMPLES)
    yield accuracy_table(evaluation)
    yield _curve_table(evaluation, evaluation.ks if ks is None else ks)
    if evaluation.losses:
        title = f"votes lost: {evaluation.losses.total()} of {evaluation.num_samples}"
        rows = _rows(loss_frame(evaluation), "{}", "{}", "{}", "{:.1%}")
        yield _table(title, ("reason", "how it ended", "samples", "share"), rows)
    rows = _rows(costs, "{}", "{:,.1f}", "{:,.1f}", "{:,.1f}")
    yield _table("a problem took", ("", "mean", "median", "most"), rows)
    if len(programs):
        rows = _rows(programs, "{}", "{}", "{:.1%}")
        yield _table(f"{programs['count'].sum()} programs", ("ended", "programs", "share"), rows)
    if any(tally.leader_votes for tally in evaluation.tallies):
        yield _calibration_table(evaluation)
    if len(leads):
        rows = _rows(leads, "{}", "{:.1%}", "{:.1%}")
        yield _table(f"the winner of {_LEAD_SAMPLES} samples", ("its votes", "how often", "right then"), rows)


def accuracy_table(evaluation: Evaluation) -> Table:
    """How often the verdicts are right, and the plain vote behind them."""
    rows = [("plain vote of all samples", str(evaluation.vote))]
    if evaluation.verdicts is not None:
        rows.insert(0, ("verdicts", str(evaluation.verdicts)))
    return _table(f"{evaluation.name}: {len(evaluation.problems)} problems", ("", "right (95 %)"), rows)


def _curve_table(evaluation: Evaluation, ks: Sequence[int]) -> Table:
    """How good k samples would have been."""
    rows = [
        (str(k), str(evaluation.majority(k)), str(evaluation.passes(k)), _fewer(evaluation.num_short(k))) for k in ks
    ]
    return _table("of k samples (95 %)", ("k", "maj@k", "pass@k", "with fewer"), rows)


def _fewer(count: int) -> str:
    return f"{count} problems" if count else ""


def _calibration_table(evaluation: Evaluation) -> Table:
    """Whether the winner's share of the votes says how likely it is right."""
    rows = [
        (f"{100 * one.low:.0f} to {100 * one.high:.0f} %", str(one.num_problems), str(one.right))
        for one in calibrate(evaluation.tallies)
    ]
    return _table("the winner's share of the votes", ("share", "problems", "winner right (95 %)"), rows)


def comparison_table(comparison: Comparison) -> Table:
    """Two runs side by side, on the problems of both."""
    gap, k, first, second = comparison.difference, comparison.k, comparison.first.name, comparison.second.name
    rows = [
        (f"maj@{k}", first, f"{comparison.first_score:.1%}"),
        (f"maj@{k}", second, f"{comparison.second_score:.1%}"),
        ("difference (95 %)", "", str(Estimate(gap.value, gap.low, gap.high))),
        ("right alone", first, f"{comparison.only_first_right} problems"),
        ("right alone", second, f"{comparison.only_second_right} problems"),
    ]
    return _table(f"{len(comparison.pairs)} problems of both runs", ("", "run", "right"), rows)


def _rows(frame: "pd.DataFrame", *formats: str) -> list[list[str]]:
    """The cells of a frame as text, a format for each column."""
    rows = frame.itertuples(index=False, name=None)
    return [[form.format(cell) for form, cell in zip(formats, row, strict=True)] for row in rows]


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
