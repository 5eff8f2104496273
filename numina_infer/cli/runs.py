"""The commands that solve problems, `rehearse`, `solve`, `collect` and `tune`, and `problems`, which loads some."""

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
from numina_infer.cli.parser import Commands, add_command, add_json, add_option, add_options, flag, make_console
from numina_infer.competitions.known import COMPETITIONS, get_competition
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from numina_infer.lab.tune.tuning_folder import Tuning

Chosen = TypeVar("Chosen")
TaskKind = TypeVar("TaskKind", bound=Task)

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

A problems file is CSV, JSONL or Parquet with id, problem and, for scoring, answer; its order is kept.
--endpoint alone means --engine vllm here.
The run folder gets run.json, trajectories.jsonl and solutions.jsonl, and numina_infer.read_run reads them.

The preset collect runs every sample to its end and gives a problem 24 hours. With another preset problems may stop
when they are decided, and --problem-time counts from a problem's opening, so that what it waits for a place counts.
There is no contest clock: a time bank, which t4x2 has, is taken out.

Ctrl-C or a kill keeps every problem that is solved; --resume takes the rest, and those in which the engine broke."""

_TUNE_EXAMPLES = """\
examples:
  numina-infer tune --problems aime.jsonl --model ./my-7b --engine vllm \\
      --temperature 0.2:1.0:0.1 --max-turns 2,4 --num-samples 4,8,16
  numina-infer tune --preset cpu --temperature 0.3,0.6,0.9     the embedded model, ten examples
  numina-infer tune --resume runs/20261123-093000              go on with a search that was stopped

What is searched is given as a list, 0.4,0.8, or as a range, LOW:HIGH or LOW:HIGH:STEP; one value is taken for all.
--num-samples costs nothing to search: the largest is sampled, votes of fewer are worked out from the same samples.
A setting gets 8 problems, then 24, then 72, and is dropped when it is better than the best so far with a chance below
0.1, on the same problems. No request is generated twice, and every sample runs to its end.

The folder gets result.json, and under settings/ a run folder for each setting and batch of problems.
Ctrl-C or a kill keeps all that was done. Needs: pip install 'numina-infer[tune]'. docs/tuning.md has the rest."""

_PROBLEMS_EXAMPLES = """\
examples:
  numina-infer problems aime --out aime.jsonl                  90 problems of the AIME, from the Hugging Face hub
  numina-infer problems AI-MO/aimo-validation-amc --out amc.jsonl
  numina-infer problems exported.parquet --expect math-5 --out math5.jsonl   checked to be 721 problems
  numina-infer collect --problems aime.jsonl --model ./my-7b   then

sets by name: amc (83 problems), aime (90), math-4 (754), math-5 (721): Numina's four.
The hub is asked once; the package datasets keeps what it has fetched. A file is CSV, JSONL or Parquet."""

_SEARCHED = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_turns", "format")


def add_commands(commands: Commands) -> None:
    """Declare the commands; options of a run that aren't given are no attributes of what is parsed."""
    settings = {"argument_default": argparse.SUPPRESS}
    meaning = "run a whole competition here, through a mock of Kaggle's API, from a problems file to a submission"
    _add_rehearse(add_command(commands, "rehearse", _rehearse, meaning, epilog=_REHEARSE_EXAMPLES, **settings))
    meaning = "solve one problem, and print its answer with the votes behind it"
    _add_solve(add_command(commands, "solve", _solve, meaning, epilog=_SOLVE_EXAMPLES, **settings))
    meaning = "solve thousands of problems into a run log, many at once and with no contest clock"
    _add_collect(add_command(commands, "collect", _collect, meaning, epilog=_COLLECT_EXAMPLES, **settings))
    meaning = "search sampling parameters, format and depth with as few problems with answers as will do"
    # "resolve": what is searched takes the place of what is chosen.
    settings["conflict_handler"] = "resolve"
    _add_tune(add_command(commands, "tune", _tune, meaning, epilog=_TUNE_EXAMPLES, **settings))
    meaning = "make a problems file of a validation set, from the hub or a file"
    problems = add_command(commands, "problems", _problems, meaning, epilog=_PROBLEMS_EXAMPLES)
    names = "amc, aime, math-4, math-5, a file, or a dataset's id on the hub"
    problems.add_argument("source", metavar="SET", help=names)
    add_option(problems, "--expect NAME", "for a file: which of the four sets it is, to check its size")
    add_option(problems, "--out FILE", "a new file that ends in .jsonl", required=True)


def _add_rehearse(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("the competition")
    add_options(run, Task)
    meaning = "its API, answer range, time limit and limit of one reply; the rest changes single values of it"
    add_option(run, f"--competition {'|'.join(COMPETITIONS)}", meaning)
    add_options(run, Rehearsal)
    _add_folder(run, "run")
    _add_choices(parser)


def _add_solve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("statement", metavar="PROBLEM", help="the problem's text")
    add_json(parser, "the verdict as JSON")
    add_option(parser, "--out DIR", "keep the run log in DIR, a new folder")
    _add_choices(parser)


def _add_collect(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("the collection")
    add_options(run, Task)
    add_options(run, Collection)
    _add_folder(run, "run")
    _add_choices(parser, preset=COLLECT, has_clock=False)


def _add_tune(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("the search")
    add_option(run, "--problems FILE", "with answers (default: ten examples in the package)", type=str)
    add_option(run, "--trials N", "settings at most (default: 12)", dest="num_trials")
    add_option(run, "--heats N,N,…", "problems after which a setting is looked at (default: 8,24,72)")
    add_option(run, "--drop-below P", "the chance of being better that keeps a setting (default: 0.1)")
    add_option(run, "--concurrent-problems K", "problems in work at once (default: 4)")
    _add_folder(run, "search")
    _add_choices(parser, preset=COLLECT, has_clock=False)
    searched = parser.add_argument_group("what is searched, as a list or a range")
    options = own_options(SamplingChoices)
    for name in _SEARCHED:
        add_option(searched, f"{flag(name)} VALUES", options[name][1].meaning)
    add_option(searched, "--num-samples N,N,…", "samples a problem (default: the preset's)")


def _add_folder(group: argparse._ActionsContainer, name: str) -> None:
    """The options of a run that has a folder and can be resumed."""
    add_option(group, "--out DIR", f"{name} folder, a new one (default: runs/ and the time)")
    add_option(group, "--resume DIR", f"go on with the {name} in DIR; all else is as it was chosen there")


def _add_choices(parser: argparse.ArgumentParser, *, preset: str = "cpu", has_clock: bool = True) -> None:
    """The options that commands which solve problems share; what isn't given is left to the preset.

    Without a contest clock `--time-limit` isn't shown, and a command that gets it says why not.
    """
    meaning = own_options(Choices)["preset"][1].meaning.replace("default: cpu", f"default: {preset}")
    unseen = {} if has_clock else {"time_limit_s": argparse.SUPPRESS}
    add_options(parser.add_argument_group("the model"), ModelChoices)
    add_options(parser.add_argument_group("how to solve"), Choices, preset=meaning)
    add_options(parser.add_argument_group("sampling"), SamplingChoices)
    add_options(parser.add_argument_group("deciding"), DecidingChoices, **unseen)


def _choices(given: Mapping[str, Any]) -> Choices:
    """The choices among the options that were given."""
    chosen = {one.name: given[one.name] for one in fields(Choices) if one.name in given}
    if "vote_weights" in chosen:
        chosen["vote_weights"] = dict(map(read_vote_weight, chosen["vote_weights"]))
    return Choices(**chosen)


def _collecting_choices(given: Mapping[str, Any]) -> Choices:
    """The choices of a command for many problems, where naming an endpoint means vLLM's client."""
    implied = {"engine": EngineName.VLLM} if "endpoint" in given else {}
    return _choices({"preset": COLLECT, **implied, **given})


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


def _find_run(given: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Chosen]) -> tuple[Path, Chosen | None]:
    """The folder, and what `make` reads from the options to run there; None where a run goes on.

    Raises:
        ConfigError: anything else was chosen for a run that goes on.
    """
    from numina_infer.app.tasks import new_folder

    if "resume" not in given:
        return given.get("out") or new_folder(), make(given)
    if others := sorted(set(given) - {"resume", "command", "backends"}):
        names = ", ".join(map(flag, others))
        raise ConfigError(f"--resume takes everything from the run it goes on with; leave out {names}")
    return given["resume"], None


@contextmanager
def _telling_how_to_go_on(command: str, folder: Path, console: "Console") -> Iterator[None]:
    """Print how to resume the run in `folder` when Ctrl-C stops it."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {folder}, and this goes on with it:", soft_wrap=True)
        console.print(f"  numina-infer {command} --resume {folder}", soft_wrap=True)
        raise


def _task(kind: type[TaskKind], given: Mapping[str, Any], choices: Choices) -> TaskKind:
    own = {one.name: given[one.name] for one in fields(kind) if one.name in given}
    return kind(**{**own, "choices": choices})


def _rehearsal(given: Mapping[str, Any]) -> Rehearsal:
    implied = {"api": get_competition(given["competition"]).api} if "competition" in given else {}
    return _task(Rehearsal, {**implied, **given}, _choices(given))


def _rehearse(chosen: argparse.Namespace) -> int:
    from numina_infer.app.rehearsal import rehearse
    from numina_infer.app.tasks import read_task

    console, given = make_console(sys.stdout), vars(chosen)
    folder, begun = _find_run(given, _rehearsal)
    rehearsal = begun or read_task(Rehearsal, folder)
    with _telling_how_to_go_on("rehearse", folder, console):
        summary = rehearse(rehearsal, folder, console, resume=begun is None, backends=chosen.backends)
    console.print(summary.table())
    rest = " and submission.parquet" if summary.log_trouble else ", submission.parquet and the run log"
    files = f"submission.csv{rest} are in {folder}"
    told = map("meanwhile: {}".format, summary.failures)
    for line in (summary.line, summary.time_line, summary.vote_line, files, *told):
        console.print(line, soft_wrap=True)
    if summary.has_failed:
        print(f"error: no vote stands behind any answer, first: {summary.errors[0]}", file=sys.stderr)
    return 1 if summary.has_failed else 0


def _collect(chosen: argparse.Namespace) -> int:
    from numina_infer.app.collection import collect
    from numina_infer.app.tasks import read_task

    console, given = make_console(sys.stdout), vars(chosen)
    folder, begun = _find_run(given, lambda given: _task(Collection, given, _collecting_choices(given)))
    collection = begun or read_task(Collection, folder)
    with _telling_how_to_go_on("collect", folder, console):
        harvest = collect(collection, folder, console, resume=begun is None, backends=chosen.backends)
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
    from numina_infer.runs.progress import show_votes
    from numina_infer.voting.ballot import Ballot

    given = vars(chosen)
    as_json = "json" in given
    console = make_console(sys.stderr if as_json else sys.stdout)
    choices, folder = _choices(given), given.get("out")
    solution = solve(chosen.statement, choices, folder=folder, console=console, backends=chosen.backends)
    if as_json:
        print(json.dumps(asdict(solution)))
        return 0
    doubt = " (no vote stands behind it)" if solution.is_fallback else ""
    for incident in solution.incidents:
        console.print(f"meanwhile: {incident}", soft_wrap=True)
    console.print(f"answer: {solution.answer}{doubt}")
    console.print(f"votes: {show_votes(Ballot(solution.votes))}; {solution.num_ended} trajectories")
    return 0


def _tune(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.tune.search import search

    console, given = make_console(sys.stdout), vars(chosen)
    folder, tuning = _find_run(given, _tuning)
    with _telling_how_to_go_on("tune", folder, console):
        report = search(tuning, folder, console, resume=tuning is None, backends=chosen.backends)
    console.print(report.table())
    files = f"result.json and the run folders are in {folder}"
    for line in filter(None, (report.note, report.cache.line, report.verdict, files)):
        console.print(line, soft_wrap=True)
    return 0


def _tuning(given: Mapping[str, Any]) -> "Tuning":
    from numina_infer.lab.tune.search_space import SearchSpace
    from numina_infer.lab.tune.tuning_folder import Tuning

    searched = {name: given[name] for name in _SEARCHED if name in given}
    if not searched:
        names = ", ".join(map(flag, _SEARCHED))
        raise ConfigError(f"nothing is to be searched; give one of {names}, such as --temperature 0.2:1.0:0.1")
    shared = {name: value for name, value in given.items() if name not in {*_SEARCHED, "num_samples"}}
    plain = ("problems", "num_trials", "drop_below", "concurrent_problems")
    own: dict[str, Any] = {name: given[name] for name in plain if name in given}
    own |= {name: _whole(name, given[name]) for name in ("num_samples", "heats") if name in given}
    return Tuning(choices=_collecting_choices(shared), space=SearchSpace(searched), **own)


def _whole(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}; give whole numbers, such as 8,24") from error


def _problems(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.validation_sets import load_set, write_problems

    loaded = load_set(chosen.source, expect=chosen.expect)
    write_problems(loaded.problems, chosen.out)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(loaded.problems.rows)} problems are in {chosen.out}")
    return 0
