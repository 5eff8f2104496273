"""The command for many problems: `collect`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.app.choices import COLLECT, Collection, EngineName
from numina_infer.cli.parser import make_console
from numina_infer.cli.runs import add_choices, make_choices, refuse_beside_resume

if TYPE_CHECKING:
    from numina_infer.cli.parser import Commands

_EXAMPLES = """\
examples:
  numina-infer collect --problems math500.jsonl --endpoint https://host-1 --endpoint https://host-2 \\
      --model ./my-7b --concurrent-problems 8                  eight problems at once on two endpoints
  numina-infer collect --problems test.csv --engine vllm --model ./my-7b --preset t4x2
  numina-infer collect --resume runs/20261123-093000           go on with a collection that was stopped

A problems file is CSV, JSONL or Parquet with id, problem and, for scoring, answer.
Problems are taken in the file's order; later ones fill the places that earlier ones leave free.
--endpoint alone means --engine vllm here.
The run folder gets run.json, trajectories.jsonl and solutions.jsonl, and numina_infer.read_run reads them.

The preset collect runs every sample to its end and gives a problem 24 hours. With another preset problems may stop
when they are decided, and --problem-time counts from a problem's opening, so that what it waits for a place counts.
There is no contest clock: a time bank, which t4x2 has, is taken out.

Ctrl-C or a kill keeps every problem that is solved; --resume takes the rest, and those in which the engine broke."""


def add_collect(commands: "Commands") -> None:
    """Declare `collect`."""
    parser = commands.add_parser(
        "collect",
        help="solve thousands of problems, many at once, into a run log",
        description="Solve many problems at once, with no contest clock, to keep a cluster of endpoints full.",
        epilog=_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    run = parser.add_argument_group("the collection")
    run.add_argument("--problems", metavar="FILE", help="CSV, JSONL or Parquet (default: ten examples in the package)")
    run.add_argument(
        "--concurrent-problems",
        metavar="K",
        type=int,
        help="problems in work at once; as many as fill the engine are told at the start (default: 4)",
    )
    run.add_argument("--out", metavar="DIR", type=Path, help="run folder, a new one (default: runs/ and the time)")
    run.add_argument(
        "--resume", metavar="DIR", type=Path, help="go on with the run in DIR; all else is as it was chosen there"
    )
    add_choices(parser, preset=COLLECT, has_clock=False)
    parser.set_defaults(command=_collect)


def _collect(chosen: argparse.Namespace) -> int:
    from numina_infer.app.collection import collect, read_collection
    from numina_infer.app.run_folder import new_folder

    console = make_console(sys.stdout)
    given = vars(chosen)
    if "resume" in given:
        refuse_beside_resume(given)
        folder, collection = chosen.resume, read_collection(chosen.resume)
    else:
        folder, collection = given.get("out") or new_folder(), _collection(chosen)
    try:
        harvest = collect(collection, folder, console, resume="resume" in given, backends=chosen.backends)
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {folder}, and this goes on with it:", soft_wrap=True)
        console.print(f"  numina-infer collect --resume {folder}", soft_wrap=True)
        raise
    console.print(harvest.line, soft_wrap=True)
    console.print(f"the run log is in {folder}", soft_wrap=True)
    if harvest.num_incomplete:
        print(
            f"warning: something broke in {harvest.num_incomplete} problems; numina-infer collect --resume {folder} "
            "takes them again",
            file=sys.stderr,
        )
    return 1 if harvest.has_failed else 0


def _collection(chosen: argparse.Namespace) -> Collection:
    given = vars(chosen)
    implied = {"engine": EngineName.VLLM} if "endpoint" in given else {}
    choices = make_choices(argparse.Namespace(**{"preset": COLLECT, **implied, **given}))
    at_once = {"concurrent_problems": given["concurrent_problems"]} if "concurrent_problems" in given else {}
    return Collection(given.get("problems"), choices, **at_once)
