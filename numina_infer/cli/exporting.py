"""The commands that turn a run into something else: `report`, an HTML page, and `export`, training data."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.cli.parser import Commands, add_command, make_console, showing_progress

if TYPE_CHECKING:
    from numina_infer.lab.export.export import Exported

_REPORT_EXAMPLES = """\
examples:
  numina-infer report runs/20261123-093000                        the page is report.html in the run folder
  numina-infer report runs/20261123-093000 --references test.csv  with right and wrong
  numina-infer report runs/20261123-093000 --out page.html

The page opens in any browser, needs no network and loads nothing. It has the verdicts, a timeline, each problem's
ballot as it grew, the votes that were lost and why, and every trajectory with its programs, outputs and formulae.
A run that goes on, or was cut off, is shown as far as it got.
References are CSV, JSONL or Parquet with id, problem and answer; without them those of the run's own problems file
are taken, where it is still the same. Formulae are typeset by latex2mathml: pip install 'numina-infer[report]'."""


def add_report(commands: Commands) -> None:
    """Declare `report`."""
    parser = add_command(
        commands,
        "report",
        _report,
        help="make one HTML page of a run, to look at",
        description="Make one self-contained HTML page of a run: verdicts, time, ballots, trajectories.",
        epilog=_REPORT_EXAMPLES,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--references", metavar="FILE", type=Path, help="problems file with answers")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page (default: report.html in the run folder)")


def _report(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.report.report_page import write_report
    from numina_infer.runs.problems import read_problems

    references = read_problems(chosen.references).references if chosen.references else None
    with showing_progress("bytes of the run read") as tell:
        path = write_report(chosen.run, chosen.out, references, on_progress=tell)
    make_console(sys.stdout).print(
        f"{path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser", soft_wrap=True
    )
    return 0


_EXPORT_EXAMPLES = """\
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


def add_export(commands: Commands) -> None:
    """Declare `export`."""
    parser = add_command(
        commands,
        "export",
        _export,
        help="training data for TRL from a run",
        description="Write the trajectories of a run as training data for TRL, sorted by whether they are right.",
        epilog=_EXPORT_EXAMPLES,
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
