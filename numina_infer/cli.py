"""The command line: `numina-infer solve`, `rehearse`, `fit` and `sandbox`.

Exit codes: 0 done, 1 something broke, 2 a value that can't be used, 130 interrupted with Ctrl-C;
`sandbox check` and `sandbox run` have more, which their help tells.
What a command needs is imported when it runs, so that `--help` is instant.
"""

import argparse
import io
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from numina_infer.choices import Api, Choices, EngineName, Rehearsal
from numina_infer.config import Mode, Rung, SandboxConfig
from numina_infer.errors import ConfigError, NuminaError, RunLogError
from numina_infer.formats.catalogue import FORMATS
from numina_infer.presets import PRESETS
from numina_infer.trajectory import AnswerRange

if TYPE_CHECKING:
    from rich.console import Console

    Commands = argparse._SubParsersAction["_Parser"]  # noqa: SLF001 (argparse has no public name)

_DESCRIPTION = """\
Olympiad mathematics by tool-integrated reasoning and a vote: a model samples N solutions of a problem,
each may run Python M times, and the final answers vote."""

_REHEARSE_EXAMPLES = """\
examples:
  numina-infer rehearse                                       ten example problems, an embedded model
  numina-infer rehearse --problems test.csv --model ./my-7b   your problems, your model
  numina-infer rehearse --problems test.csv --engine scripted --api kaggle-evaluation
  numina-infer rehearse --resume runs/20261123-093000         go on with a run that was stopped

A problems file is CSV, JSONL or Parquet with id, problem and, for scoring, answer.
The run folder gets submission.csv, submission.parquet, run.json, trajectories.jsonl and solutions.jsonl.
Ctrl-C stops cleanly and keeps all of that as far as it got."""

_SOLVE_EXAMPLES = """\
examples:
  numina-infer solve "What is 815 minus 368?"
  numina-infer solve "What is 815 minus 368?" --num-samples 16 --temperature 0.8 --json"""

_FIT_EXAMPLES = """\
examples:
  numina-infer fit numina-7b-gptq --gpus T4 --num-gpus 2
  numina-infer fit ./my-7b --max-model-len 2048

exit codes: 0 it fits, 2 it doesn't or a value can't be used"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a tick that a log file can't hold must cost no run
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.command(chosen)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (ConfigError, RunLogError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (NuminaError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return code


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and takes options only as they are spelled."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; {self.prog} --help shows what there is\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="numina-infer", description=_DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_rehearse(commands)
    _add_solve(commands)
    _add_fit(commands)
    _add_sandbox(commands)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines and leaves room for long options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def _add_rehearse(commands: "Commands") -> None:
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
        "--api",
        metavar="|".join(Api),
        help="2024's iterate and predict, or the inference server (default: aimo)",
    )
    run.add_argument("--out", metavar="DIR", type=Path, help="run folder, a new one (default: runs/ and the time)")
    run.add_argument(
        "--resume", metavar="DIR", type=Path, help="go on with the run in DIR; all else is as it was chosen there"
    )
    _add_choices(parser)
    parser.set_defaults(command=_rehearse)


def _add_solve(commands: "Commands") -> None:
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
    _add_choices(parser)
    parser.set_defaults(command=_solve)


def _add_fit(commands: "Commands") -> None:
    parser = commands.add_parser(
        "fit",
        help="whether a model fits on the GPUs, before it is loaded",
        description="Show in which layout a model fits, how many tokens of KV remain, and which layout is taken.",
        epilog=_FIT_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="a known model's hub id or alias, or a folder")
    parser.add_argument("--gpus", metavar="NAME", help="T4, L4, H100 (default: what is here, without GPUs the CPU)")
    parser.add_argument("--num-gpus", metavar="N", type=int, help="how many (default: 1 of NAME, all that are here)")
    parser.add_argument("--max-model-len", metavar="N", type=int, help="tokens of a sample (default: the model's)")
    parser.add_argument("--max-num-seqs", metavar="N", type=int, default=48, help="samples at once (default: 48)")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), help="default: what suits the device")
    parser.add_argument("--kv-cache-dtype", choices=("auto", "fp8"), default="auto", help="default: auto")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on stdout")
    parser.set_defaults(command=_fit)


def _add_sandbox(commands: "Commands") -> None:
    group = commands.add_parser("sandbox", help="what holds programs back on this machine, and programs from files")
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    check = actions.add_parser(
        "check",
        help="find the rung of the lock-down that holds here",
        description="Try what no program may do, from the highest rung down, and show which rung holds and why.",
        epilog="exit codes: 0 uid, 10 reader, 11 landlock, 12 seccomp, 13 limits, 1 the sandbox doesn't start",
    )
    check.set_defaults(command=_sandbox_check)
    run = actions.add_parser(
        "run",
        help="run programs from files",
        description="Run the programs as those of one trajectory, and show what a model would be told.",
        epilog="exit codes: 0 all came to a good end, 3 one didn't, 2 a value that can't be used, 1 no sandbox",
    )
    run.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a program; several run in order")
    run.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=5.0,
        help="seconds of each, without what it waits for a processor (default: 5)",
    )
    run.add_argument(
        "--mode", choices=[*Mode], type=Mode, default=Mode.FRESH, help="what they share (default: fresh, nothing)"
    )
    run.add_argument(
        "--json", action="store_true", help="print one JSON object a program, and nothing else, on stdout"
    )
    _add_allow_limits_only(run)
    run.set_defaults(command=_sandbox_run)


def _add_allow_limits_only(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--allow-limits-only",
        action="store_true",
        help="run programs even where no lock-down holds: they may do what you may",
    )


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """The options that both commands share; what isn't given is left to the preset."""
    with_model = parser.add_argument_group("the model")
    with_model.add_argument(
        "--engine",
        metavar="|".join(EngineName),
        help="a model in this process, or a script instead of one (default: transformers)",
    )
    with_model.add_argument(
        "--model", help="a model folder, a hub id, or smollm2: fetched once, 93 MB (default: smollm2)"
    )
    with_model.add_argument(
        "--script", metavar="FILE", help="JSONL for the scripted engine (default: a script that adds up the numbers)"
    )
    how = parser.add_argument_group("how to solve")
    how.add_argument(
        "--preset", help=f"one of {', '.join(PRESETS)}; the rest changes single values of it (default: cpu)"
    )
    how.add_argument(
        "--format",
        metavar="NAME",
        help=f"what the model was trained on: one of {', '.join(FORMATS)}; chat is for any model with a chat template "
        "(default: the preset's)",
    )
    how.add_argument(
        "--paper",
        action="store_true",
        help="as the winner's 2024 kernel did: rounds, its own rules, all samples; --preset numina has its numbers",
    )
    how.add_argument("--num-samples", metavar="N", type=int, help="trajectories a problem")
    how.add_argument(
        "--epsilon", metavar="E", type=float, help="stop when the winner changes with a smaller chance; 0 never errs"
    )
    how.add_argument("--max-turns", metavar="M", type=int, help="completions a trajectory")
    how.add_argument("--max-tokens", metavar="N", type=int, help="tokens a turn")
    how.add_argument("--temperature", metavar="T", type=float, help="0 is greedy")
    how.add_argument("--code-timeout", metavar="SECONDS", type=float, dest="code_timeout_s", help="for one program")
    how.add_argument("--problem-time", metavar="SECONDS", type=float, dest="problem_time_s", help="for one problem")
    how.add_argument(
        "--answer-range", metavar="|".join(AnswerRange), help="AIMO-1's, -2's or -3's (default: mod-1000)"
    )
    _add_allow_limits_only(how)
    how.add_argument("--seed", metavar="N", type=int, help="all other seeds derive from it (default: 0)")


_CHOICES = tuple(field.name for field in fields(Choices))


def _choices(chosen: argparse.Namespace) -> Choices:
    return Choices(**{name: value for name, value in vars(chosen).items() if name in _CHOICES})


def _rehearse(chosen: argparse.Namespace) -> int:
    from numina_infer.rehearsal import read_rehearsal, rehearse

    console = _console(sys.stdout)
    given = vars(chosen)
    if "resume" in given:
        _refuse_beside_resume(given)
        folder, rehearsal = chosen.resume, read_rehearsal(chosen.resume)
    else:
        folder = given.get("out") or Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        rehearsal = Rehearsal(given.get("problems"), _choices(chosen), given.get("api", Api.AIMO))
    try:
        summary = rehearse(rehearsal, folder, console, resume="resume" in given)
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {folder}, and this goes on with it:", soft_wrap=True)
        console.print(f"  numina-infer rehearse --resume {folder}", soft_wrap=True)
        raise
    console.print(summary.table())
    console.print(summary.line, soft_wrap=True)
    console.print(f"submission.csv, submission.parquet and the run log are in {folder}", soft_wrap=True)
    if summary.errors:
        print(f"warning: {len(summary.errors)} times something broke, first: {summary.errors[0]}", file=sys.stderr)
    return 1 if summary.has_failed else 0


def _refuse_beside_resume(given: dict[str, object]) -> None:
    others = sorted(set(given) - {"resume", "command"})
    if others:
        names = ", ".join(f"--{name.removesuffix('_s').replace('_', '-')}" for name in others)
        raise ConfigError(f"--resume takes everything from the run it goes on with; leave out {names}")


def _solve(chosen: argparse.Namespace) -> int:
    from numina_infer.composition import solve

    given = vars(chosen)
    as_json = "json" in given
    console = _console(sys.stderr if as_json else sys.stdout)
    solution = solve(chosen.statement, _choices(chosen), folder=given.get("out"), console=console)
    if as_json:
        print(json.dumps(asdict(solution)))
        return 0
    from numina_infer.progress import show_votes
    from numina_infer.vote import Ballot

    doubt = " (no vote stands behind it)" if solution.is_fallback else ""
    console.print(f"answer: {solution.answer}{doubt}")
    console.print(f"votes: {show_votes(Ballot(solution.votes))}; {solution.num_ended} trajectories")
    return 0


def _fit(chosen: argparse.Namespace) -> int:
    from numina_infer import fit_report

    devices = fit_report.find_devices(chosen.gpus, chosen.num_gpus)
    return fit_report.run(
        chosen.model,
        devices,
        _console(sys.stdout),
        as_json=chosen.json,
        max_model_len=chosen.max_model_len,
        max_num_seqs=chosen.max_num_seqs,
        dtype=chosen.dtype,
        kv_cache_dtype=chosen.kv_cache_dtype,
    )


def _sandbox_check(_chosen: argparse.Namespace) -> int:
    from numina_infer.sandbox import commands

    return commands.check(_console(sys.stdout))


def _sandbox_run(chosen: argparse.Namespace) -> int:
    from numina_infer.sandbox import commands

    config = SandboxConfig(lowest_rung=Rung.LIMITS) if chosen.allow_limits_only else SandboxConfig()
    return commands.run(
        chosen.files,
        _console(sys.stdout),
        mode=chosen.mode,
        timeout_s=chosen.timeout,
        as_json=chosen.json,
        config=config,
    )


def _console(file: TextIO) -> "Console":
    """A terminal as it is; a log file wide enough for the table, and without markup."""
    from numina_infer.progress import RunConsole

    return RunConsole(file=file, width=None if file.isatty() else 140, markup=False, highlight=False)
