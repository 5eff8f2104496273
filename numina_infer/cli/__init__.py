"""The command line. In: arguments. Out: lines on the screen, and an exit code.

Each module declares a group of commands, calls the library and prints the result: `runs.py` solves problems,
`logged_runs.py` reads run folders, `this_machine.py` is about GPUs, servers and the sandbox, `publishing.py` about
Kaggle.
Exit codes: 0 done, 1 something broke, 2 a value that can't be used, 130 interrupted with Ctrl-C; `sandbox check` and
`sandbox run` have more, which their help lists.
A command imports what it needs when it runs, so that `--help` is instant.
"""

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from numina_infer.cli import logged_runs, publishing, runs, this_machine
from numina_infer.cli.parser import Parser
from numina_infer.core.errors import ConfigError, NuminaError, RunLogError

if TYPE_CHECKING:
    from numina_infer.app.composition import Backends

_DESCRIPTION = """\
Olympiad mathematics by tool-integrated reasoning and a vote: a model samples N solutions of a problem,
each may run Python M times, and the final answers vote."""


def main(arguments: Sequence[str] | None = None, *, backends: "Backends | None" = None) -> int:
    """Run one command; returns the exit code.

    `solve`, `rehearse`, `collect` and `tune` run on `backends`, where they are given, instead of what was chosen.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a tick that a log file can't hold must cost no run
    return run_command(_parser().parse_args(arguments, argparse.Namespace(backends=backends)))


def run_command(chosen: argparse.Namespace) -> int:
    """Call `chosen.command`; an error becomes one line on stderr and an exit code."""
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


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="numina-infer", description=_DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (runs, logged_runs, this_machine, publishing):
        module.add_commands(commands)
    return parser
