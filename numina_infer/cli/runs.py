"""The commands that solve problems: `solve` and `rehearse`."""

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.app.choices import Choices, EngineName, Rehearsal
from numina_infer.cli.parser import add_allow_limits_only, make_console
from numina_infer.competitions.known import COMPETITIONS, Api, get_competition
from numina_infer.competitions.relay_faults import Nasty
from numina_infer.core.engine_config import LayoutName
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import PRESETS
from numina_infer.core.records import AnswerRange
from numina_infer.formats.catalogue import FORMATS

if TYPE_CHECKING:
    from numina_infer.cli.parser import Commands

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


def add_rehearse(commands: "Commands") -> None:
    """Declare `rehearse`."""
    parser = commands.add_parser(
        "rehearse",
        help="run a whole competition here, from a problems file to a submission",
        description="Run a whole competition on this machine, through a mock of Kaggle's API.",
        epilog=_REHEARSE_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    run = parser.add_argument_group("the competition")
    run.add_argument("--problems", metavar="FILE", help="CSV, JSONL or Parquet (default: ten examples in the package)")
    run.add_argument(
        "--competition",
        metavar="|".join(COMPETITIONS),
        help="its API, answer range, time limit and limit of one reply; the rest changes single values of it",
    )
    run.add_argument(
        "--api",
        metavar="|".join(Api),
        help="2024's iterate and predict, or the inference server (default: aimo)",
    )
    run.add_argument(
        "--separate",
        action="store_true",
        help="Kaggle's side is a process of its own that calls over gRPC, in a random order, as in a rerun",
    )
    run.add_argument(
        "--nasty",
        metavar="NAME",
        action="append",
        help=f"for --separate: what that process does on purpose, {', '.join(Nasty)}; may be repeated",
    )
    run.add_argument("--out", metavar="DIR", type=Path, help="run folder, a new one (default: runs/ and the time)")
    run.add_argument(
        "--resume", metavar="DIR", type=Path, help="go on with the run in DIR; all else is as it was chosen there"
    )
    add_choices(parser)
    parser.set_defaults(command=_rehearse)


def add_solve(commands: "Commands") -> None:
    """Declare `solve`."""
    parser = commands.add_parser(
        "solve",
        help="solve one problem",
        description="Solve one problem and print its answer with the votes behind it.",
        epilog=_SOLVE_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("statement", metavar="PROBLEM", help="the problem's text")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON, and nothing else, on stdout")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep the run log in DIR, a new folder")
    add_choices(parser)
    parser.set_defaults(command=_solve)


def add_choices(parser: argparse.ArgumentParser, *, preset: str = "cpu", has_clock: bool = True) -> None:
    """The options that commands which solve problems share; what isn't given is left to the preset.

    Without a contest clock `--time-limit` isn't told of, and whoever gives it is told why not.
    """
    _add_model(parser.add_argument_group("the model"))
    how = parser.add_argument_group("how to solve")
    how.add_argument(
        "--preset", help=f"one of {', '.join(PRESETS)}; the rest changes single values of it (default: {preset})"
    )
    _add_writing(how)
    _add_deciding(how, has_clock=has_clock)
    add_allow_limits_only(how)
    how.add_argument("--seed", metavar="N", type=int, help="all other seeds derive from it (default: 0)")


def _add_model(with_model: argparse._ActionsContainer) -> None:
    with_model.add_argument(
        "--engine",
        metavar="|".join(EngineName),
        help="a model in this process, on vLLM's servers, or a script instead of one (default: transformers)",
    )
    with_model.add_argument(
        "--model", help="a model folder, a hub id, or smollm2: fetched once, 93 MB (default: smollm2)"
    )
    with_model.add_argument(
        "--vllm-python",
        metavar="FILE",
        help="for vllm: the python of its environment (default: what `make vllm` built)",
    )
    with_model.add_argument("--layout", metavar="|".join(LayoutName), help="for vllm: of several GPUs (default: auto)")
    with_model.add_argument("--keep-server", action="store_true", help="for vllm: leave it running for the next run")
    with_model.add_argument(
        "--endpoint",
        metavar="ADDRESS",
        action="append",
        help="for vllm: speak to the OpenAI-compatible server there instead, https://host, or the path of a unix "
        "socket; may be repeated; its key is in NUMINA_INFER_API_KEY",
    )
    with_model.add_argument(
        "--script", metavar="FILE", help="JSONL for the scripted engine (default: a script that adds up the numbers)"
    )
    with_model.add_argument(
        "--samples",
        metavar="FILE",
        help="for simulated: JSONL of recorded samples, problem, answers, tokens or chars (default: fifty problems)",
    )
    with_model.add_argument(
        "--probe",
        metavar="FILE",
        help="for simulated: the machine, as numina-infer probe measured it (default: two T4s by arithmetic)",
    )
    with_model.add_argument(
        "--cache",
        metavar="DIR",
        help="keep completions in DIR and take those that are there, so that nothing is generated twice",
    )


def _add_writing(how: argparse._ActionsContainer) -> None:
    how.add_argument(
        "--format",
        metavar="NAME",
        help=f"what the model was trained on: one of {', '.join(FORMATS)}; chat is for any model with a chat template "
        "(default: the preset's)",
    )
    how.add_argument("--max-turns", metavar="M", type=int, help="completions a trajectory")
    how.add_argument("--max-tokens", metavar="N", type=int, help="tokens a turn")
    how.add_argument("--temperature", metavar="T", type=float, help="0 is greedy")
    how.add_argument("--top-p", metavar="P", type=float, help="draw from the likeliest tokens with this probability")
    how.add_argument("--top-k", metavar="K", type=int, help="draw from so many likeliest tokens; 0 takes all")
    how.add_argument("--min-p", metavar="P", type=float, help="leave out tokens below this share of the likeliest")


def _add_deciding(how: argparse._ActionsContainer, *, has_clock: bool) -> None:
    how.add_argument(
        "--paper",
        action="store_true",
        help="as the winner's 2024 kernel did: rounds, its own rules, all samples; --preset numina has its numbers",
    )
    how.add_argument("--num-samples", metavar="N", type=int, help="trajectories a problem at most: the horizon")
    how.add_argument("--width", metavar="N", type=int, help="trajectories a problem at once; 0 starts all")
    how.add_argument(
        "--epsilon", metavar="E", type=float, help="stop when the winner changes with a smaller chance; 0 never errs"
    )
    how.add_argument(
        "--vote-weight",
        metavar="NAME=SHARE",
        action="append",
        dest="vote_weights",
        help="what a vote counts, of a plain one; may be repeated: unconfirmed, no_code, suspicious, partial "
        "(0 doesn't count them), length_tokens, logprob; docs/voting.md says when (default: all votes alike)",
    )
    how.add_argument("--code-timeout", metavar="SECONDS", type=float, dest="code_timeout_s", help="for one program")
    how.add_argument(
        "--problem-time", metavar="SECONDS", type=float, dest="problem_time_s", help="for one problem, at most"
    )
    how.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=float,
        dest="time_limit_s",
        help="for the whole contest: a bank then says what each problem may take (default: the preset's)"
        if has_clock
        else argparse.SUPPRESS,
    )
    how.add_argument(
        "--answer-range", metavar="|".join(AnswerRange), help="AIMO-1's, -2's or -3's (default: mod-1000)"
    )


_CHOICES = tuple(field.name for field in fields(Choices))


def make_choices(chosen: argparse.Namespace) -> Choices:
    """What was chosen of the options of `add_choices`."""
    given = {name: value for name, value in vars(chosen).items() if name in _CHOICES}
    if "vote_weights" in given:
        given["vote_weights"] = dict(map(read_vote_weight, given["vote_weights"]))
    return Choices(**given)


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


def _rehearse(chosen: argparse.Namespace) -> int:
    from numina_infer.app.rehearsal import read_rehearsal, rehearse
    from numina_infer.app.run_folder import new_folder

    console = make_console(sys.stdout)
    given = vars(chosen)
    if "resume" in given:
        refuse_beside_resume(given)
        folder, rehearsal = chosen.resume, read_rehearsal(chosen.resume)
    else:
        folder = given.get("out") or new_folder()
        relay = {name: given[name] for name in ("api", "separate", "nasty") if name in given}
        if "competition" in given:
            relay = {"api": get_competition(chosen.competition).api, **relay}
        rehearsal = Rehearsal(given.get("problems"), make_choices(chosen), **relay)
    try:
        summary = rehearse(rehearsal, folder, console, resume="resume" in given, backends=chosen.backends)
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {folder}, and this goes on with it:", soft_wrap=True)
        console.print(f"  numina-infer rehearse --resume {folder}", soft_wrap=True)
        raise
    console.print(summary.table())
    console.print(summary.line, soft_wrap=True)
    console.print(summary.time_line, soft_wrap=True)
    console.print(summary.vote_line, soft_wrap=True)
    rest = " and submission.parquet" if summary.log_trouble else ", submission.parquet and the run log"
    console.print(f"submission.csv{rest} are in {folder}", soft_wrap=True)
    for line in summary.told:
        console.print(f"meanwhile: {line}", soft_wrap=True)
    if summary.has_failed:
        print(f"error: no vote stands behind any answer, first: {summary.errors[0]}", file=sys.stderr)
    return 1 if summary.has_failed else 0


def refuse_beside_resume(given: dict[str, object]) -> None:
    """Raise `ConfigError` where anything else was chosen for a run that goes on."""
    others = sorted(set(given) - {"resume", "command", "backends"})
    if others:
        names = ", ".join(f"--{name.removesuffix('_s').replace('_', '-')}" for name in others)
        raise ConfigError(f"--resume takes everything from the run it goes on with; leave out {names}")


def _solve(chosen: argparse.Namespace) -> int:
    from numina_infer.app.composition import solve

    given = vars(chosen)
    as_json = "json" in given
    console = make_console(sys.stderr if as_json else sys.stdout)
    choices, folder = make_choices(chosen), given.get("out")
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
