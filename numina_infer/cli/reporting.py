"""The command that makes a page of a run: `report`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.cli.parser import make_console

if TYPE_CHECKING:
    from numina_infer.cli.parser import Commands

_EXAMPLES = """\
examples:
  numina-infer report runs/20261123-093000                        the page is report.html in the run folder
  numina-infer report runs/20261123-093000 --references test.csv  with right and wrong
  numina-infer report runs/20261123-093000 --out page.html

The page opens in any browser, needs no network and loads nothing. It has the verdicts, a timeline, each problem's
ballot as it grew, the votes that were lost and why, and every trajectory with its programs, outputs and formulae.
A run that goes on, or was cut off, is shown as far as it got.
References are CSV, JSONL or Parquet with id, problem and answer; without them those of the run's own problems file
are taken, where it is still the same. Formulae are typeset by latex2mathml: pip install 'numina-infer[report]'."""


def add_report(commands: "Commands") -> None:
    """Declare `report`."""
    parser = commands.add_parser(
        "report",
        help="make one HTML page of a run, to look at",
        description="Make one self-contained HTML page of a run: verdicts, time, ballots, trajectories.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--references", metavar="FILE", type=Path, help="problems file with answers")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page (default: report.html in the run folder)")
    parser.set_defaults(command=_report)


def _report(chosen: argparse.Namespace) -> int:
    from rich.progress import Progress

    from numina_infer.lab.report.report_page import write_report
    from numina_infer.runs.problems import read_problems

    references = read_problems(chosen.references).references if chosen.references else None
    console = make_console(sys.stdout)
    terminal = make_console(sys.stderr)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("reading the run", total=None)
        path = write_report(
            chosen.run,
            chosen.out,
            references,
            on_progress=lambda read, total: progress.update(task, completed=read, total=total),
        )
    console.print(f"{path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser", soft_wrap=True)
    return 0
