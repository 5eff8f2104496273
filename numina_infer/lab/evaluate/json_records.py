"""An evaluation as plain records, for JSON and other programs: the names are those of the dataclasses and frames."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from numina_infer.lab.evaluate import frames
from numina_infer.lab.evaluate.comparison import Comparison
from numina_infer.lab.evaluate.evaluation import Evaluation
from numina_infer.lab.evaluate.intervals import Estimate

Record = dict[str, Any]


def evaluation_record(evaluation: Evaluation, ks: Sequence[int] | None = None) -> Record:
    """Everything about one run; curves at `ks`, or at those of a readable curve."""
    rows = {
        "curves": frames.curve_frame(evaluation, ks),
        "losses": frames.loss_frame(evaluation),
        "costs": frames.cost_frame(evaluation),
        "programs": frames.program_frame(evaluation),
        "calibration": frames.calibration_frame(evaluation),
        "leads": frames.lead_frame(evaluation),
        "problems": frames.problem_frame(evaluation),
    }
    return {
        "name": evaluation.name,
        "grader": str(evaluation.grader),
        "num_problems": len(evaluation.problems),
        "verdicts": _estimate(evaluation.verdicts),
        "vote": _estimate(evaluation.vote),
        "left_out": {name: list(ids) for name, ids in asdict(evaluation.left_out).items()},
        "undecided": {one.problem.id: dict(one.marks.undecided) for one in evaluation.problems if one.marks.undecided},
        **{name: frame.to_dict("records") for name, frame in rows.items()},
    }


def comparison_record(comparison: Comparison) -> Record:
    """Everything about two runs beside each other."""
    return {
        "k": comparison.k,
        "num_problems": len(comparison.pairs),
        "first_score": comparison.first_score,
        "second_score": comparison.second_score,
        "difference": asdict(comparison.difference),
        "is_clear": comparison.difference.is_clear,
        "only_first_right": comparison.only_first_right,
        "only_second_right": comparison.only_second_right,
        "only_in_first": list(comparison.only_in_first),
        "only_in_second": list(comparison.only_in_second),
        "sentence": comparison.sentence,
        "problems": frames.comparison_frame(comparison).to_dict("records"),
    }


def _estimate(estimate: Estimate | None) -> Record | None:
    return None if estimate is None else asdict(estimate)
