"""How a command's `--help` is laid out: lines are broken for a terminal, and whole in a file or a pipe.

A line that is broken for its width can't be searched for, and a path in it can't be opened.
"""

import argparse
import shutil
import sys

_WIDEST = 110
"""Of lines on a terminal, however wide that is: longer ones are hard to read."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines, leaves room for long options, and breaks lines on a terminal alone."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=_width())


def _width() -> int:
    # Help goes to the one, complaints go to the other; either is None where it was closed before the start.
    if all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        return min(shutil.get_terminal_size().columns - 2, _WIDEST)
    return sys.maxsize
