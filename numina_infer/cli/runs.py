"""The commands that solve problems: `solve`, `rehearse` and `collect`."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numina_infer.app.choices import Choices, DecidingChoices, EngineName, ModelChoices, SamplingChoices, own_options
from numina_infer.app.tasks import COLLECT, Collection, Rehearsal, Task
from numina_infer.cli.parser import Commands, add_command, add_json, add_options, flag, make_console
from numina_infer.competitions.known import COMPETITIONS, get_competition
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

Chosen = TypeVar("Chosen")

_REHEARSE_EXAMPLES = """\
examples:
  numina-infer rehearse                                       ten example problems, an embedded model
  numina-infer rehearse --problems test.csv --model ./my-7b   your problems, your model
  numina-infer rehearse --problems test.csv --engine scripted --api kaggle-evaluation
  numina-infer rehearse --engine scripted --api kaggle-evaluation --separate --nasty drop --nasty ask-twice
  numina-infer rehearse --resume runs/20261123-093000         go on with a run that was stopped

A problems file is CSV, JSONL or Parquet with id, problem and, for scoring, answer.
The run folder gets submission.csv, submission.parquet, run.json, trajectories.jsonl and solutions.jsonl.
Ctrl-C stops cleanly and keeps all of that as far as it got."""

_SOLVE_EXAMPLES = """\
examples:
  numina-infer solve "What is 815 minus 368?"
  numina-infer solve "What is 815 minus 368?" --num-samples 16 --temperature 0.8 --json"""

_COLLECT_EXAMPLES = """\
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


def add_rehearse(commands: Commands) -> None:
    """Declare `rehearse`."""
    parser = add_command(
        commands,
        "rehearse",
        _rehearse,
        help="run a whole competition here, from a problems file to a submission",
        description="Run a whole competition on this machine, through a mock of Kaggle's API.",
        epilog=_REHEARSE_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    run = parser.add_argument_group("the competition")
    add_options(run, Task)
    run.add_argument(
        "--competition",
        metavar="|".join(COMPETITIONS),
        help="its API, answer range, time limit and limit of one reply; the rest changes single values of it",
    )
    add_options(run, Rehearsal)
    add_folder(run, "run")
    add_choices(parser)


def add_solve(commands: Commands) -> None:
    """Declare `solve`."""
    parser = add_command(
        commands,
        "solve",
        _solve,
        help="solve one problem",
        description="Solve one problem and print its answer with the votes behind it.",
        epilog=_SOLVE_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("statement", metavar="PROBLEM", help="the problem's text")
    add_json(parser, "the verdict as JSON")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep the run log in DIR, a new folder")
    add_choices(parser)


def add_collect(commands: Commands) -> None:
    """Declare `collect`."""
    parser = add_command(
        commands,
        "collect",
        _collect,
        help="solve thousands of problems, many at once, into a run log",
        description="Solve many problems at once, with no contest clock, to keep a cluster of endpoints full.",
        epilog=_COLLECT_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    run = parser.add_argument_group("the collection")
    add_options(run, Task)
    add_options(run, Collection)
    add_folder(run, "run")
    add_choices(parser, preset=COLLECT, has_clock=False)


def add_folder(group: argparse._ActionsContainer, name: str) -> None:
    """The options of a run that has a folder and can be resumed."""
    group.add_argument(
        "--out", metavar="DIR", type=Path, help=f"{name} folder, a new one (default: runs/ and the time)"
    )
    group.add_argument(
        "--resume", metavar="DIR", type=Path, help=f"go on with the {name} in DIR; all else is as it was chosen there"
    )


def add_choices(parser: argparse.ArgumentParser, *, preset: str = "cpu", has_clock: bool = True) -> None:
    """The options that commands which solve problems share; what isn't given is left to the preset.

    Without a contest clock `--time-limit` isn't shown, and a command that gets it says why not.
    """
    meaning = own_options(Choices)["preset"][1].meaning.replace("default: cpu", f"default: {preset}")
    unseen = {} if has_clock else {"time_limit_s": argparse.SUPPRESS}
    add_options(parser.add_argument_group("the model"), ModelChoices)
    add_options(parser.add_argument_group("how to solve"), Choices, preset=meaning)
    add_options(parser.add_argument_group("sampling"), SamplingChoices)
    add_options(parser.add_argument_group("deciding"), DecidingChoices, **unseen)


_CHOICES = tuple(field.name for field in fields(Choices))


def make_choices(given: Mapping[str, Any]) -> Choices:
    """The choices among the options that were given."""
    chosen = {name: value for name, value in given.items() if name in _CHOICES}
    if "vote_weights" in chosen:
        chosen["vote_weights"] = dict(map(read_vote_weight, chosen["vote_weights"]))
    return Choices(**chosen)


def make_collecting_choices(given: Mapping[str, Any]) -> Choices:
    """The choices of a command for many problems, where naming an endpoint means vLLM's client."""
    implied = {"engine": EngineName.VLLM} if "endpoint" in given else {}
    return make_choices({"preset": COLLECT, **implied, **given})


def read_vote_weight(text: str) -> tuple[str, float]:
    """The name and the number of one `--vote-weight`.

    Raises:
        ConfigError: it is no such thing.
    """
    name, _, share = text.partition("=")
    try:
        return name, int(share) if name == "length_tokens" else float(share)
    except ValueError as error:
        raise ConfigError(f"--vote-weight is {text!r}; give a name and a number, such as suspicious=0.6") from error


def find_run(
    given: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Chosen], read: Callable[[Path], Chosen]
) -> tuple[Path, Chosen]:
    """The folder, and what runs there: `make` reads it from the options, or `read` from the folder to resume.

    Raises:
        ConfigError: anything else was chosen for a run that goes on.
    """
    from numina_infer.app.tasks import new_folder

    if "resume" not in given:
        return given.get("out") or new_folder(), make(given)
    if others := sorted(set(given) - {"resume", "command", "backends"}):
        names = ", ".join(map(flag, others))
        raise ConfigError(f"--resume takes everything from the run it goes on with; leave out {names}")
    return given["resume"], read(given["resume"])


@contextmanager
def telling_how_to_go_on(command: str, folder: Path, console: "Console") -> Iterator[None]:
    """Print how to resume the run in `folder` when Ctrl-C stops it."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {folder}, and this goes on with it:", soft_wrap=True)
        console.print(f"  numina-infer {command} --resume {folder}", soft_wrap=True)
        raise


def _rehearsal(given: Mapping[str, Any]) -> Rehearsal:
    chosen = {name: given[name] for name in ("problems", "api", "separate", "nasty") if name in given}
    if "competition" in given:
        chosen = {"api": get_competition(given["competition"]).api, **chosen}
    return Rehearsal(choices=make_choices(given), **chosen)


def _rehearse(chosen: argparse.Namespace) -> int:
    from numina_infer.app.rehearsal import rehearse
    from numina_infer.app.tasks import read_task

    console, given = make_console(sys.stdout), vars(chosen)
    folder, rehearsal = find_run(given, _rehearsal, lambda folder: read_task(Rehearsal, folder))
    with telling_how_to_go_on("rehearse", folder, console):
        summary = rehearse(rehearsal, folder, console, resume="resume" in given, backends=chosen.backends)
    console.print(summary.table())
    rest = " and submission.parquet" if summary.log_trouble else ", submission.parquet and the run log"
    files = f"submission.csv{rest} are in {folder}"
    told = map("meanwhile: {}".format, summary.failures)
    for line in (summary.line, summary.time_line, summary.vote_line, files, *told):
        console.print(line, soft_wrap=True)
    if summary.has_failed:
        print(f"error: no vote stands behind any answer, first: {summary.errors[0]}", file=sys.stderr)
    return 1 if summary.has_failed else 0


def _collection(given: Mapping[str, Any]) -> Collection:
    chosen = {name: given[name] for name in ("problems", "concurrent_problems") if name in given}
    return Collection(choices=make_collecting_choices(given), **chosen)


def _collect(chosen: argparse.Namespace) -> int:
    from numina_infer.app.collection import collect
    from numina_infer.app.tasks import read_task

    console, given = make_console(sys.stdout), vars(chosen)
    folder, collection = find_run(given, _collection, lambda folder: read_task(Collection, folder))
    with telling_how_to_go_on("collect", folder, console):
        harvest = collect(collection, folder, console, resume="resume" in given, backends=chosen.backends)
    console.print(harvest.line, soft_wrap=True)
    console.print(f"the run log is in {folder}", soft_wrap=True)
    if harvest.num_incomplete:
        print(
            f"warning: something broke in {harvest.num_incomplete} problems; numina-infer collect --resume {folder} "
            "takes them again",
            file=sys.stderr,
        )
    return 1 if harvest.has_failed else 0


def _solve(chosen: argparse.Namespace) -> int:
    from numina_infer.app.composition import solve

    given = vars(chosen)
    as_json = "json" in given
    console = make_console(sys.stderr if as_json else sys.stdout)
    choices, folder = make_choices(given), given.get("out")
    solution = solve(chosen.statement, choices, folder=folder, console=console, backends=chosen.backends)
    if as_json:
        print(json.dumps(asdict(solution)))
        return 0
    from numina_infer.runs.progress import show_votes
    from numina_infer.voting.ballot import Ballot

    doubt = " (no vote stands behind it)" if solution.is_fallback else ""
    for incident in solution.incidents:
        console.print(f"meanwhile: {incident}", soft_wrap=True)
    console.print(f"answer: {solution.answer}{doubt}")
    console.print(f"votes: {show_votes(Ballot(solution.votes))}; {solution.num_ended} trajectories")
    return 0
