"""How commands are spelled and what they print on: the parser, and the consoles."""

import argparse
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from numina_infer.core.help_formatter import HelpFormatter

if TYPE_CHECKING:
    from rich.console import Console

    Commands = argparse._SubParsersAction["Parser"]  # noqa: SLF001 (argparse has no public name)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and takes options only as they are spelled."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one line."""
        self.exit(2, f"error: {message}; {self.prog} --help shows what there is\n")


def add_allow_limits_only(parser: argparse._ActionsContainer) -> None:
    """The option that runs programs without a lock-down."""
    parser.add_argument(
        "--allow-limits-only",
        action="store_true",
        help="run programs even where no lock-down holds: they may do what you may",
    )


def make_console(file: TextIO) -> "Console":
    """What a command prints on."""
    from numina_infer.runs.progress import RunConsole

    return RunConsole(file)
