"""An evaluation as pandas frames, for a notebook, and as records of the same names, for JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from numina_infer.core.records import ExecutionStatus
from numina_infer.lab.evaluate.calibration import calibrate, leads
from numina_infer.lab.evaluate.comparison import Comparison
from numina_infer.lab.evaluate.evaluation import Evaluated, Evaluation

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Record = dict[str, Any]


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
    rows = [
        {"reason": str(reason), "outcome": str(outcome), "count": count, "share": count / evaluation.num_samples}
        for (reason, outcome), count in evaluation.losses.items()
    ]
    return _frame(rows, columns=["reason", "outcome", "count", "share"])


def cost_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a quantity, over problems: `quantity` (`samples, tokens, seconds, programs`), `mean, median, most`.

    Tokens are all that were sampled; seconds last from a problem's arrival to its verdict, and problems in work at
    once share the engine.
    """
    costs: Mapping[str, Sequence[float]] = {
        "samples": [len(one.samples) for one in evaluation.problems],
        "tokens": [one.num_tokens for one in evaluation.problems],
        "seconds": [one.seconds for one in evaluation.problems],
        "programs": [len(one.executions) for one in evaluation.problems],
    }
    rows = ((name, fmean(values), median(values), max(values)) for name, values in costs.items())
    return _frame(dict(zip(("quantity", "mean", "median", "most"), row, strict=True)) for row in rows)


def program_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a way in which programs ended: `status, count`, `share` of all programs."""
    counts = Counter(execution.status for one in evaluation.problems for execution in one.executions)
    rows = [
        {"status": str(status), "count": counts[status], "share": counts[status] / counts.total()}
        for status in ExecutionStatus
        if counts[status]
    ]
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


def evaluation_record(evaluation: Evaluation, ks: Sequence[int] | None = None) -> Record:
    """Everything about one run, as JSON has it; curves at `ks`, or at those of a readable curve."""
    rows = {
        "curves": curve_frame(evaluation, ks),
        "losses": loss_frame(evaluation),
        "costs": cost_frame(evaluation),
        "programs": program_frame(evaluation),
        "calibration": calibration_frame(evaluation),
        "leads": lead_frame(evaluation),
        "problems": problem_frame(evaluation),
    }
    return {
        "name": evaluation.name,
        "grader": str(evaluation.grader),
        "num_problems": len(evaluation.problems),
        "verdicts": evaluation.verdicts and asdict(evaluation.verdicts),
        "vote": asdict(evaluation.vote),
        "left_out": {name: list(ids) for name, ids in asdict(evaluation.left_out).items()},
        "undecided": {one.problem.id: dict(one.marks.undecided) for one in evaluation.problems if one.marks.undecided},
        **{name: frame.to_dict("records") for name, frame in rows.items()},
    }


def comparison_record(comparison: Comparison) -> Record:
    """Everything about the comparison of two runs, as JSON has it."""
    names = ("k", "first_score", "second_score", "only_first_right", "only_second_right", "sentence")
    return {
        **{name: getattr(comparison, name) for name in names},
        "num_problems": len(comparison.pairs),
        "difference": asdict(comparison.difference),
        "is_clear": comparison.difference.is_clear,
        "only_in_first": list(comparison.only_in_first),
        "only_in_second": list(comparison.only_in_second),
        "problems": comparison_frame(comparison).to_dict("records"),
    }


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


def _frame(rows: Iterable[Row], columns: Sequence[str] | None = None) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
