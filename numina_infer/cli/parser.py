"""How commands are declared and what they print on: the parser, options made from records, console and progress."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeAlias, get_args, get_origin

from numina_infer.app.choices import own_options
from numina_infer.core.terminal import HelpFormatter

if TYPE_CHECKING:
    from rich.console import Console

_SAY_EVERY_S = 10.0

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 (argparse has no public name)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and takes options only as they are spelled."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one line."""
        self.exit(2, f"error: {message}; {self.prog} --help shows what there is\n")


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], meaning: str, **settings: Any
) -> Parser:
    """Declare a command that calls `run`, which returns the exit code; `settings` are its parser's.

    `meaning` is its line in the list of commands, and opens its own help unless there is a `description`.
    """
    sentence = f"{meaning[0].upper()}{meaning[1:]}."
    parser = commands.add_parser(name, help=meaning, **{"description": sentence, **settings})
    parser.set_defaults(command=run)
    return parser


_TYPES = {"FILE": Path, "DIR": Path, "RUN": Path, "N": int, "K": int, "SECONDS": float, "P": float}


def add_option(group: argparse._ActionsContainer, spelled: str, meaning: str, **settings: Any) -> None:
    """Declare an option spelled such as `--out DIR`; by what its value is called it is a path, a number or a text."""
    name, _, metavar = spelled.partition(" ")
    group.add_argument(name, help=meaning, **{"metavar": metavar, "type": _TYPES.get(metavar, str), **settings})


def add_options(group: argparse._ActionsContainer, record: type, **instead: str) -> None:
    """Declare the options of `record`'s own fields; `instead` has other lines of help, by field."""
    for name, (kind, option) in own_options(record).items():
        meaning = instead.get(name, option.meaning)
        group.add_argument(option.flag or flag(name), dest=name, help=meaning, **_reading(kind, option.metavar))


def _reading(kind: object, metavar: str | None) -> dict[str, Any]:
    """How argparse reads a value of the type `kind`."""
    if kind is bool:
        return {"action": "store_true"}
    if get_origin(kind) in {tuple, Mapping}:
        return {"action": "append", "metavar": metavar}
    kinds = get_args(kind) or (kind,)
    return {"type": next((number for number in (int, float) if number in kinds), str), "metavar": metavar}


def flag(name: str) -> str:
    """How the option of a field is spelled: `problem_time_s` is `--problem-time`."""
    return f"--{name.removesuffix('_s').replace('_', '-')}"


def add_allow_limits_only(parser: argparse._ActionsContainer) -> None:
    """The option that runs programs without a lock-down."""
    parser.add_argument(
        "--allow-limits-only",
        action="store_true",
        help="run programs even where no lock-down holds: they may do what you may",
    )


def add_json(parser: argparse._ActionsContainer, what: str = "JSON") -> None:
    """The option that prints for other programs."""
    parser.add_argument("--json", action="store_true", help=f"print {what}, and nothing else, on stdout")


def make_console(file: TextIO) -> "Console":
    """What a command prints on."""
    from numina_infer.runs.progress import RunConsole

    return RunConsole(file)


@contextmanager
def showing_progress(what: str) -> "Iterator[Callable[[int, int], None]]":
    """Takes how much is done and how much there is; shows a bar on a terminal, a line now and then in a log file."""
    from rich.progress import Progress

    console, last = make_console(sys.stderr), time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def tell(num_done: int, num_all: int) -> None:
            nonlocal last
            bar.update(task, completed=num_done, total=num_all)
            if not console.is_terminal and time.monotonic() - last >= _SAY_EVERY_S:
                last = time.monotonic()
                console.print(f"[{num_done}/{num_all}] {what}")

        yield tell
