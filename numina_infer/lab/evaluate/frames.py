"""An evaluation as pandas frames for a notebook, as records for JSON, and as tables for a terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.table import Table

from numina_infer.core.records import ExecutionStatus, NoAnswer
from numina_infer.lab.cells import make_table
from numina_infer.lab.evaluate.evaluation import Comparison, Evaluation
from numina_infer.lab.evaluate.metrics import Estimate, Tally, wilson

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]

_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bounds of the bins in which the winner's share of the votes falls."""


def problem_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a problem: `problem_id, reference, answer, is_right, stop_reason`, then counts of its samples.

    `num_samples, num_right, num_blank, leader_votes, score` (of the vote of all samples, 0 to 1), `num_tokens`,
    `seconds`, `num_programs`, `num_programs_ok`.
    """
    counts = ("num_samples", "num_right", "num_blank", "leader_votes", "score")
    return _frame(
        {
            "problem_id": one.problem.id,
            "reference": one.reference,
            "answer": one.solution.answer,
            "is_right": one.is_right,
            "stop_reason": str(one.solution.stop_reason),
            **{name: getattr(one.tally, name) for name in counts},
            "num_tokens": one.num_tokens,
            "seconds": one.seconds,
            "num_programs": len(one.executions),
            "num_programs_ok": sum(execution.status is ExecutionStatus.OK for execution in one.executions),
        }
        for one in evaluation.problems
    )


def sample_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a sample: `problem_id, index, outcome, answer` (None for no vote), `is_right`, and what it took.

    That is `num_tokens, seconds, num_turns, num_programs`.
    """
    return _frame(
        {
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
        for one in evaluation.problems
        for sample, answer in zip(one.samples, one.marks.answers, strict=True)
    )


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
    """One row a kind of lost vote, the most frequent first: `reason, outcome, count`, `share` of all samples.

    One that is lost to a limit (`max_tokens`, `context_full`, a cutoff at the deadline) may come back with a larger
    limit; one that is lost to its text (`not_an_integer`, `not_stated`) won't.
    """
    lost = [
        (str(sample.answer.reason or NoAnswer.NOT_STATED), str(sample.outcome))
        for one in evaluation.problems
        for sample, answer in zip(one.samples, one.marks.answers, strict=True)
        if answer is None
    ]
    return _shares(["reason", "outcome"], lost, evaluation.num_samples)


def cost_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a quantity, over problems: `quantity` (`samples, tokens, seconds, programs`), `mean, median, most`.

    Tokens are all that were sampled; seconds last from a problem's arrival to its verdict, and problems in work at
    once share the engine.
    """
    costs = _frame(
        {
            "samples": len(one.samples),
            "tokens": one.num_tokens,
            "seconds": one.seconds,
            "programs": len(one.executions),
        }
        for one in evaluation.problems
    )
    frame = costs.agg(["mean", "median", "max"]).T.rename(columns={"max": "most"})
    return frame.rename_axis("quantity").reset_index()


def program_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a way in which programs ended, the most frequent first: `status, count`, `share` of all programs."""
    ended = [(str(execution.status),) for one in evaluation.problems for execution in one.executions]
    return _shares(["status"], ended, len(ended))


def calibration_frame(evaluation: Evaluation) -> "pd.DataFrame":
    """One row a bin of the winner's share of votes, above `low` and up to `high`.

    `num_problems, mean_share, right` (how often the winner is right), `right_low, right_high` (95 %).
    The share goes with accuracy (arXiv 2203.11171, section 3.4); how closely, differs by model and by set.
    """
    columns = ["low", "high", "num_problems", "mean_share", "right", "right_low", "right_high"]
    return _frame(calibration(evaluation.tallies), columns)


def calibration(tallies: Iterable[Tally]) -> Iterator[Record]:
    """The rows of `calibration_frame`; ties count fractionally, and bins without a problem are left out."""
    voted = [(one.leader_votes / (one.num_samples - one.num_blank), one.score) for one in tallies if one.leader_votes]
    for low, high in pairwise(_SHARES):
        inside = [one for one in voted if low < one[0] <= high]
        if inside:
            shares, scores = zip(*inside, strict=True)
            right = wilson(sum(scores), len(inside))
            yield {
                "low": low,
                "high": high,
                "num_problems": len(inside),
                "mean_share": sum(shares) / len(inside),
                "right": right.value,
                "right_low": right.low,
                "right_high": right.high,
            }


def comparison_frame(comparison: Comparison) -> "pd.DataFrame":
    """One row a problem of both runs, the largest gain first: `problem_id, first, second` (maj@k), `difference`."""
    frame = _frame(
        {"problem_id": pair.first.problem.id, "first": pair.first_score, "second": pair.second_score}
        for pair in comparison.pairs
    )
    frame["difference"] = frame["first"] - frame["second"]
    return frame.sort_values("difference", ascending=False, ignore_index=True)


def evaluation_record(evaluation: Evaluation, ks: Sequence[int] | None = None) -> Record:
    """Everything about one run, as JSON has it; curves at `ks`, or at those of a readable curve."""
    rows = {
        "curves": curve_frame(evaluation, ks),
        "losses": loss_frame(evaluation),
        "costs": cost_frame(evaluation),
        "programs": program_frame(evaluation),
        "calibration": calibration_frame(evaluation),
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
    return {
        "k": comparison.k,
        **dict(zip(("first_score", "second_score"), comparison.scores, strict=True)),
        **dict(zip(("only_first_right", "only_second_right"), comparison.num_right_alone, strict=True)),
        **dict(zip(("only_in_first", "only_in_second"), map(list, comparison.left_out), strict=True)),
        "sentence": comparison.sentence,
        "num_problems": len(comparison.pairs),
        "difference": asdict(comparison.difference),
        "is_clear": comparison.difference.is_clear,
        "problems": comparison_frame(comparison).to_dict("records"),
    }


def tables(evaluation: Evaluation, ks: Sequence[int] | None = None) -> Iterator[Table]:
    """All tables of one run: accuracy, curves, votes lost, costs, programs, calibration; none that would be empty."""
    losses, programs = loss_frame(evaluation), program_frame(evaluation)
    yield accuracy_table(evaluation)
    curve = [
        (str(k), str(evaluation.majority(k)), str(evaluation.passes(k)), str(evaluation.num_short(k) or ""))
        for k in (evaluation.ks if ks is None else ks)
    ]
    yield make_table("of k samples (95 %)", ("k", "maj@k", "pass@k", "problems with fewer"), curve)
    if len(losses):
        title = f"votes lost: {losses['count'].sum()} of {evaluation.num_samples}"
        rows = _rows(losses, "{}", "{}", "{}", "{:.1%}")
        yield make_table(title, ("reason", "how it ended", "samples", "share"), rows)
    rows = _rows(cost_frame(evaluation), "{}", "{:,.1f}", "{:,.1f}", "{:,.1f}")
    yield make_table("a problem took", ("", "mean", "median", "most"), rows)
    if len(programs):
        rows = _rows(programs, "{}", "{}", "{:.1%}")
        yield make_table(f"{programs['count'].sum()} programs", ("ended", "programs", "share"), rows)
    bins = _rows(calibration_frame(evaluation), "{:.0%}", "{:.0%}", "{}", "{:.1%}", "{:.1%}", "{:.1%}", "{:.1%}")
    if bins:
        names = ("share above", "up to", "problems", "mean share", "winner right", "from (95 %)", "to")
        yield make_table("the winner's share of the votes", names, bins)


def accuracy_table(evaluation: Evaluation) -> Table:
    """How often the verdicts are right, and the plain vote behind them."""
    shares = {"verdicts": evaluation.verdicts, "plain vote of all samples": evaluation.vote}
    rows = [(name, str(share)) for name, share in shares.items() if share is not None]
    return make_table(f"{evaluation.name}: {len(evaluation.problems)} problems", ("", "right (95 %)"), rows)


def comparison_table(comparison: Comparison) -> Table:
    """Two runs side by side, on the problems of both."""
    gap = comparison.difference
    rows = [
        (f"maj@{comparison.k}", *(f"{score:.1%}" for score in comparison.scores)),
        ("right alone", *(f"{count} problems" for count in comparison.num_right_alone)),
        ("difference (95 %)", str(Estimate(gap.value, gap.low, gap.high)), ""),
    ]
    names = ("", comparison.first.name, comparison.second.name)
    return make_table(f"{len(comparison.pairs)} problems of both runs", names, rows)


def _shares(names: Sequence[str], kinds: Iterable[tuple[str, ...]], total: int) -> "pd.DataFrame":
    """One row a kind, the most frequent first: its `names`, `count`, and `share` of `total`."""
    counts = sorted(Counter(kinds).items(), key=lambda item: (-item[1], item[0]))
    rows = [{**dict(zip(names, kind, strict=True)), "count": n, "share": n / total} for kind, n in counts]
    return _frame(rows, [*names, "count", "share"])


def _frame(rows: Iterable[Record], columns: list[str] | None = None) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns)


def _rows(frame: "pd.DataFrame", *formats: str) -> list[list[str]]:
    """The cells of a frame as text, a format for each column."""
    rows = frame.itertuples(index=False, name=None)
    return [[form.format(cell) for form, cell in zip(formats, row, strict=True)] for row in rows]
