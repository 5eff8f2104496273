"""An evaluation as tables in a terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from numina_infer.lab.evaluate.calibration import calibrate, leads
from numina_infer.lab.evaluate.comparison import Comparison
from numina_infer.lab.evaluate.evaluation import Evaluation
from numina_infer.lab.evaluate.intervals import Estimate
from numina_infer.lab.evaluate.losses import sum_losses
from numina_infer.lab.evaluate.run_costs import Spread, costs_of

_LEAD_SAMPLES = 8


def tables(evaluation: Evaluation, ks: Sequence[int] | None = None) -> Iterator[Table]:
    """All tables of one run: accuracy, votes lost, costs, programs, calibration."""
    yield accuracy_table(evaluation)
    yield curve_table(evaluation, evaluation.ks if ks is None else ks)
    if any(tally.num_blank for tally in evaluation.tallies):
        yield loss_table(evaluation)
    yield cost_table(evaluation)
    if costs_of(evaluation).num_programs:
        yield program_table(evaluation)
    if any(tally.leader_votes for tally in evaluation.tallies):
        yield calibration_table(evaluation)
    if leads(evaluation.tallies, _LEAD_SAMPLES):
        yield lead_table(evaluation)


def accuracy_table(evaluation: Evaluation) -> Table:
    """How often what was submitted is right, and the plain vote behind it."""
    table = _table(f"{evaluation.name}: {len(evaluation.problems)} problems", "", "right (95 %)")
    if evaluation.verdicts is not None:
        table.add_row("verdicts", str(evaluation.verdicts))
    table.add_row("plain vote of all samples", str(evaluation.vote))
    return table


def curve_table(evaluation: Evaluation, ks: Sequence[int]) -> Table:
    """What k samples would have been worth."""
    table = _table("of k samples (95 %)", "k", "maj@k", "pass@k", "with fewer")
    for k in ks:
        figures = (str(evaluation.majority(k)), str(evaluation.passes(k)))
        table.add_row(str(k), *figures, _count(evaluation.num_short(k)))
    return table


def loss_table(evaluation: Evaluation) -> Table:
    """Samples without a vote, and why."""
    num_samples = sum(len(one.samples) for one in evaluation.problems)
    lost = sum_losses(loss for one in evaluation.problems for loss in one.losses)
    title = f"votes lost: {sum(loss.count for loss in lost)} of {num_samples}"
    table = _table(title, "reason", "how it ended", "samples", "share")
    for loss in lost:
        table.add_row(str(loss.reason), str(loss.outcome), str(loss.count), f"{loss.count / num_samples:.1%}")
    return table


def cost_table(evaluation: Evaluation) -> Table:
    """What a problem took."""
    costs = costs_of(evaluation)
    table = _table("a problem took", "", "mean", "median", "most")
    spreads = {"samples": costs.samples, "tokens": costs.tokens, "seconds": costs.seconds, "programs": costs.programs}
    for name, spread in spreads.items():
        table.add_row(name, *_spread(spread))
    return table


def program_table(evaluation: Evaluation) -> Table:
    """How programs ended."""
    costs = costs_of(evaluation)
    table = _table(f"{costs.num_programs} programs", "ended", "programs", "share")
    for status, count in costs.statuses.items():
        table.add_row(str(status), str(count), f"{costs.share(status):.1%}")
    return table


def calibration_table(evaluation: Evaluation) -> Table:
    """Whether the winner's share of the votes says how likely it is right."""
    table = _table("the winner's share of the votes", "share", "problems", "winner right (95 %)")
    for one in calibrate(evaluation.tallies):
        table.add_row(f"{100 * one.low:.0f} to {100 * one.high:.0f} %", str(one.num_problems), str(one.right))
    return table


def lead_table(evaluation: Evaluation) -> Table:
    """The same of few samples, by votes."""
    table = _table(f"the winner of {_LEAD_SAMPLES} samples", "its votes", "how often", "right then")
    for lead in leads(evaluation.tallies, _LEAD_SAMPLES):
        table.add_row(str(lead.votes), f"{lead.share_of_votes:.1%}", f"{lead.share_right:.1%}")
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Two runs beside each other, on the problems of both."""
    gap, k = comparison.difference, comparison.k
    table = _table(f"{len(comparison.pairs)} problems of both runs", "", "run", "right")
    table.add_row(f"maj@{k}", comparison.first.name, f"{comparison.first_score:.1%}")
    table.add_row(f"maj@{k}", comparison.second.name, f"{comparison.second_score:.1%}")
    table.add_row("difference (95 %)", "", str(Estimate(gap.value, gap.low, gap.high)))
    table.add_row("right alone", comparison.first.name, f"{comparison.only_first_right} problems")
    table.add_row("right alone", comparison.second.name, f"{comparison.only_second_right} problems")
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _spread(spread: Spread) -> tuple[str, str, str]:
    return f"{spread.mean:,.1f}", f"{spread.median:,.1f}", f"{spread.most:,.1f}"


def _count(count: int) -> str:
    return f"{count} problems" if count else ""
