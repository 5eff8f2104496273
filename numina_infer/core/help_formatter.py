"""The layout of `--help`: lines are broken only on a terminal, so that those in a file or a pipe can be searched."""

import argparse
import shutil
import sys

_WIDEST = 110
"""Characters of a line on any terminal; longer ones are hard to read."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines, leaves room for long options, and breaks lines on a terminal alone."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=_width())


def _width() -> int:
    # Help goes to stdout, errors go to stderr; either is None if it was closed before the start.
    if all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        return min(shutil.get_terminal_size().columns - 2, _WIDEST)
    return sys.maxsize
