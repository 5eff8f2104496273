"""The command that compares runs with references: `evaluate`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numina_infer.cli.parser import Commands, add_command, add_json, make_console, showing_progress

if TYPE_CHECKING:
    from rich.console import Console

    from numina_infer.core.ports import Advance
    from numina_infer.lab.evaluate.evaluation import Comparison, Evaluation

_EXAMPLES = """\
examples:
  numina-infer evaluate runs/20261123-093000                                against the file that the run was made from
  numina-infer evaluate runs/20261123-093000 --references aime.jsonl --k 1 --k 8 --k 48
  numina-infer evaluate runs/hot --against runs/cold --references aime.jsonl   which of two settings is better
  numina-infer evaluate runs/math --references math500.jsonl --grader general  fractions, sets, terms
  numina-infer evaluate runs/20261123-093000 --json | jq .run.verdicts

References are CSV, JSONL or Parquet with id, problem and answer; numina-infer problems makes them of validation sets.
maj@k is what a vote of k samples would have been worth, pass@k the chance that one of k is right: means over all
subsets of the recorded samples. A log that stopped early has few samples of easy problems; collect takes them all.
Intervals are 95 % and hold for other problems of the kind. Two runs are compared problem by problem.
The grader auto takes our own reader where every reference can be voted for, else math-verify (extra eval).
docs/tuning.md says how to read the figures."""


def add_evaluate(commands: Commands) -> None:
    """Declare `evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        help="how often a run is right, what fewer samples would have been worth, where votes are lost",
        description="Compare a run with references: accuracy, maj@k and pass@k with intervals, votes lost, costs.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, finished or not")
    parser.add_argument(
        "--against", metavar="RUN", type=Path, help="a second run, to be compared on the same problems"
    )
    parser.add_argument(
        "--references", metavar="FILE", type=Path, help="a problems file with answers (default: the run's own)"
    )
    parser.add_argument(
        "--k", metavar="K", type=int, action="append", help="samples of a vote; may be repeated (default: a curve)"
    )
    parser.add_argument(
        "--grader",
        metavar="auto|integer|general",
        default="auto",
        help="integers by our own reader, or mathematics by math-verify (default: auto)",
    )
    add_json(parser)


def _evaluate(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.evaluation import compare

    console = make_console(sys.stderr if chosen.json else sys.stdout)
    with showing_progress("problems marked") as tell:
        done = _evaluations(chosen, tell)
    compared = [compare(done[0], done[1], k) for k in chosen.k or [None]] if len(done) == 2 else []
    if chosen.json:
        print(json.dumps(_as_dict(done, compared, chosen.k), allow_nan=False))
        return 0
    for evaluation in done:
        _show(evaluation, chosen.k, console)
    for comparison in compared:
        _show_comparison(comparison, console)
    return 0


def _evaluations(chosen: argparse.Namespace, tell: "Advance") -> "list[Evaluation]":
    """The evaluations of one run or of two, graded in the same way."""
    from numina_infer.lab.evaluate.evaluation import evaluate_run
    from numina_infer.lab.evaluate.marking import GraderName

    runs = [chosen.run] if chosen.against is None else [chosen.run, chosen.against]
    done = [evaluate_run(run, chosen.references, grader=chosen.grader, tell=tell) for run in runs]
    if len({one.grader for one in done}) == 1:
        return done
    return [evaluate_run(run, chosen.references, grader=GraderName.GENERAL, tell=tell) for run in runs]


def _show(evaluation: "Evaluation", ks: list[int] | None, console: "Console") -> None:
    from numina_infer.lab.evaluate.frames import tables

    for table in tables(evaluation, ks):
        console.print(table)
    for line in evaluation.remarks:
        console.print(line, soft_wrap=True)


def _show_comparison(comparison: "Comparison", console: "Console") -> None:
    from numina_infer.lab.evaluate.frames import comparison_table

    console.print(comparison_table(comparison))
    for line in comparison.remarks:
        console.print(line, soft_wrap=True)
    console.print(comparison.sentence, soft_wrap=True)


def _as_dict(done: "list[Evaluation]", compared: "list[Comparison]", ks: list[int] | None) -> dict[str, Any]:
    from numina_infer.lab.evaluate.frames import comparison_record, evaluation_record

    names = ("run", "against")
    return {
        **{name: evaluation_record(one, ks) for name, one in zip(names, done, strict=False)},
        **({"comparisons": [comparison_record(one) for one in compared]} if compared else {}),
    }
