"""What a collection looks like while it goes on: a bar on a terminal, a line now and then in a log file.

One line for all problems together, since many are in work at once and thousands follow; the figures are those of
`progress.Scoreboard`, which every event of the run log passes through.
"""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from numina_infer.core.events import Ended, Event, Solved
from numina_infer.runs.progress import HEARTBEAT_S, PlainProgress, Scoreboard


def headway(board: Scoreboard) -> str:
    """Problems, trajectories, speed and time left, in one line."""
    stats = board.stats()
    cached = f"{stats.cache.num_hits} turns from the cache, " if stats.cache is not None else ""
    return (
        f"{board.title}[{board.num_solved}/{board.num_problems}] {len(board.ledgers)} problems in work, "
        f"{stats.num_running} trajectories decoding, {board.num_ended} ended, {cached}{board.tokens_per_s:.0f} tok/s, "
        f"{board.time_left} left"
    )


class PlainHeadway(PlainProgress):
    """Lines for a log file: one every ten seconds at most."""

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        self._board.update(event)
        if isinstance(event, Ended | Solved) and time.monotonic() - self._last >= HEARTBEAT_S:
            self._say(headway(self._board))


class LiveHeadway:
    """A bar on the terminal that is always up to date."""

    def __init__(self, board: Scoreboard, console: Console) -> None:
        self._board = board
        self._bar = Progress(BarColumn(), _Line(board), console=console, refresh_per_second=4, transient=True)
        self._task = self._bar.add_task("", total=board.num_problems, completed=board.num_solved)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        self._board.update(event)
        if isinstance(event, Solved):
            self._bar.update(self._task, completed=self._board.num_solved)


class _Line(ProgressColumn):
    """What stands beside the bar."""

    def __init__(self, board: Scoreboard) -> None:
        super().__init__()
        self._board = board

    def render(self, task: Task) -> Text:  # noqa: ARG002 (the board knows more)
        return Text(headway(self._board))


def show_headway(board: Scoreboard, console: Console) -> PlainHeadway | LiveHeadway:
    """The display that fits where the output goes."""
    return LiveHeadway(board, console) if console.is_terminal else PlainHeadway(board, console)
