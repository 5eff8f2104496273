"""An evaluation as pandas frames, for a notebook."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from numina_infer.core.records import ExecutionStatus
from numina_infer.lab.evaluate.calibration import calibrate, leads
from numina_infer.lab.evaluate.comparison import Comparison
from numina_infer.lab.evaluate.evaluation import Evaluated, Evaluation
from numina_infer.lab.evaluate.losses import sum_losses
from numina_infer.lab.evaluate.run_costs import costs_of

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


def problem_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a problem: `problem_id, reference, answer, is_right, stop_reason`, then counts of its samples.

    `num_samples, num_right, num_blank, leader_votes, score` (of the vote of all samples, 0 to 1), `num_tokens`,
    `seconds`, `num_programs`, `num_programs_ok`.
    """
    return _frame(map(_problem_row, evaluation.problems))


def sample_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a sample: `problem_id, index, outcome, answer` (None for no vote), `is_right`, and what it took.

    That is `num_tokens, seconds, num_turns, num_programs`.
    """
    return _frame(row for one in evaluation.problems for row in _sample_rows(one))


def curve_frame(evaluation: Evaluation, ks: Sequence[int] | None = None) -> "pd.DataFrame":
    """Two rows a k: `metric` (`maj@k` or `pass@k`), `k, value, low, high` (95 %), `num_short`.

    The last are problems with fewer samples than k, of which all are taken.
    """
    chosen = evaluation.ks if ks is None else ks
    metrics = {"maj@k": evaluation.majority, "pass@k": evaluation.passes}
    return _frame(
        {"metric": name, "k": k, **asdict(estimate(k)), "num_short": evaluation.num_short(k)}
        for name, estimate in metrics.items()
        for k in chosen
    )


def loss_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a kind of lost vote, the most frequent first: `reason, outcome, count`, `share` of all samples."""
    num_samples = sum(len(one.samples) for one in evaluation.problems)
    losses = sum_losses(loss for one in evaluation.problems for loss in one.losses)
    rows = [{**_plain(asdict(loss)), "share": loss.count / num_samples} for loss in losses]
    return _frame(rows, columns=["reason", "outcome", "count", "share"])


def cost_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a quantity, over problems: `quantity` (`samples, tokens, seconds, programs`), `mean, median, most`."""
    costs = costs_of(evaluation)
    spreads = {"samples": costs.samples, "tokens": costs.tokens, "seconds": costs.seconds, "programs": costs.programs}
    return _frame({"quantity": name, **asdict(spread)} for name, spread in spreads.items())


def program_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a way in which programs ended: `status, count`, `share` of all programs."""
    costs = costs_of(evaluation)
    rows = [{"status": str(one), "count": count, "share": costs.share(one)} for one, count in costs.statuses.items()]
    return _frame(rows, columns=["status", "count", "share"])


def calibration_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a bin of the winner's share of votes, above `low` and up to `high`.

    `num_problems, mean_share, right` (how often the winner is right), `right_low, right_high` (95 %).
    """
    rows = [
        {
            **{name: getattr(one, name) for name in ("low", "high", "num_problems", "mean_share")},
            "right": one.right.value,
            "right_low": one.right.low,
            "right_high": one.right.high,
        }
        for one in calibrate(evaluation.tallies)
    ]
    columns = ["low", "high", "num_problems", "mean_share", "right", "right_low", "right_high"]
    return _frame(rows, columns=columns)


def lead_frame(evaluation: Evaluation, num_samples: int = 8) -> "pd.DataFrame":
    """One row a number of votes that the winner of `num_samples` samples has: `votes, share_of_votes, share_right`."""
    rows = [asdict(one) for one in leads(evaluation.tallies, num_samples)]
    return _frame(rows, columns=["votes", "share_of_votes", "share_right"])


def comparison_frame(comparison: Comparison) -> "pd.DataFrame":
    """One row a problem of both runs, the largest gain first: `problem_id, first, second` (maj@k), `difference`."""
    rows = [
        {
            "problem_id": pair.first.problem.id,
            "first": pair.first_score,
            "second": pair.second_score,
            "difference": pair.first_score - pair.second_score,
        }
        for pair in comparison.pairs
    ]
    return _frame(rows).sort_values("difference", ascending=False, ignore_index=True)


def _problem_row(one: Evaluated) -> Row:
    tally, executions = one.tally, one.executions
    return {
        "problem_id": one.problem.id,
        "reference": one.reference,
        "answer": one.solution.answer,
        "is_right": one.is_right,
        "stop_reason": str(one.solution.stop_reason),
        **{name: getattr(tally, name) for name in ("num_samples", "num_right", "num_blank", "leader_votes", "score")},
        "num_tokens": one.num_tokens,
        "seconds": one.seconds,
        "num_programs": len(executions),
        "num_programs_ok": sum(execution.status is ExecutionStatus.OK for execution in executions),
    }


def _sample_rows(one: Evaluated) -> Iterable[Row]:
    for sample, answer in zip(one.samples, one.marks.answers, strict=True):
        yield {
            "problem_id": one.problem.id,
            "index": sample.index,
            "outcome": str(sample.outcome),
            "answer": answer,
            "is_right": answer in one.marks.right,
            "num_tokens": sample.num_tokens,
            "seconds": sample.ended_at - sample.started_at,
            "num_turns": len(sample.turns),
            "num_programs": len(sample.executions),
        }


def _plain(row: Row) -> Row:
    return {name: str(value) if isinstance(value, str) else value for name, value in row.items()}


def _frame(rows: Iterable[Row], columns: Sequence[str] | None = None) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
