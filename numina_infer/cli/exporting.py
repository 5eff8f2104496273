"""The command that makes training data of a run: `export`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.cli.parser import make_console

if TYPE_CHECKING:
    from numina_infer.cli.parser import Commands
    from numina_infer.lab.export.export import Exported

_EXAMPLES = """\
examples:
  numina-infer export runs/20261123-093000 --format sft --references math500.jsonl
      what ended right, with programs' outputs marked, into runs/20261123-093000/sft
  numina-infer export runs/20261123-093000 --format sft --references math500.jsonl --tokenizer ./my-7b
      the same with the very tokens that were sampled, and labels
  numina-infer export runs/20261123-093000 --format kto --references math500.jsonl --per-problem 8 --out kto-data
      right and wrong completions, labelled, at most eight of each a problem

--references is a problems file with answers; problems that aren't in it are left out and named.
A trajectory is right by its own answer, whatever the vote said. Those that a limit, the cutoff or an error ended, and
those without an integer in range, are left out of both formats, and a text is taken once.
The folder is a data set as the hub has them: Parquet, and a README.md that says where it came from, how to train on it
with TRL, and what was left out. datasets.load_dataset(DIR) reads it."""


def add_export(commands: "Commands") -> None:
    """Declare `export`."""
    parser = commands.add_parser(
        "export",
        help="training data for TRL from a run",
        description="Write the trajectories of a run as training data for TRL, sorted by whether they are right.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder, finished or not")
    parser.add_argument("--format", metavar="sft|kto", required=True, help="what ended right, or right and wrong ones")
    parser.add_argument("--references", metavar="FILE", type=Path, required=True, help="CSV, JSONL or Parquet")
    parser.add_argument("--out", metavar="DIR", type=Path, help="a new folder (default: sft or kto in RUN)")
    parser.add_argument(
        "--per-problem", metavar="MAX", type=int, help="at most so many of one problem, right and wrong ones each"
    )
    parser.add_argument("--license", metavar="ID", help="for the card, as the hub has it: mit, apache-2.0")
    parser.add_argument(
        "--tokenizer", metavar="DIR", type=Path, help="folder of the model that was run: adds exact tokens (sft)"
    )
    parser.set_defaults(command=_export)


def _export(chosen: argparse.Namespace) -> int:
    from numina_infer.core.config import require_choice
    from numina_infer.lab.export.export import ExportConfig, export
    from numina_infer.lab.export.training import Training

    console = make_console(sys.stdout)
    training = require_choice("--format", chosen.format, Training)
    out = chosen.out or chosen.run / str(training)
    config = ExportConfig(training, chosen.references, out, chosen.per_problem, chosen.license, chosen.tokenizer)
    with console.status("reading the run log"):
        exported = export(chosen.run, config)
    for line in _lines(exported):
        console.print(line, soft_wrap=True)
    return 0


def _lines(exported: "Exported") -> list[str]:
    from numina_infer.lab.evaluate.matching import named

    selection = exported.selection
    num_rows, left_out = len(selection.statuses), selection.left_out.most_common()
    lines = [
        f"{num_rows} trajectories of {selection.num_problems} problems: {selection.num_right} right, "
        f"{num_rows - selection.num_right} wrong",
        *(f"left out: {count}, {status.reason}" for status, count in left_out),
    ]
    if selection.unknown:
        lines.append(f"without a reference: {named(selection.unknown)}")
    return [*lines, f"the data set and its card are in {exported.folder}"]
