"""A person's terminal: the layout of `--help`, and a Ctrl-C that waits."""

import argparse
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WIDEST_HELP = 110
"""Characters of a line on any terminal; longer ones are hard to read."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines and leaves room for long options.

    Lines are broken only on a terminal, so that those in a file or a pipe can be searched.
    """

    def __init__(self, prog: str) -> None:
        # Help goes to stdout, errors go to stderr; either is None if it was closed before the start.
        is_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))
        width = min(shutil.get_terminal_size().columns - 2, _WIDEST_HELP) if is_terminal else sys.maxsize
        super().__init__(prog, max_help_position=32, width=width)


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold a Ctrl-C back until the end of the block, then raise `KeyboardInterrupt`.

    On any thread but the main one this does nothing: Python delivers signals to the main thread only, and Kaggle's
    relay calls from another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if arrived:
        raise KeyboardInterrupt
