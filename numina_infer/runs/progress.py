"""Shows a run while it goes on: a live line on a terminal, plain lines in a log file.

Both observe the same events as the run log, folded by the same referee code, so they show what is recorded.
A collection works on many problems at once and thousands follow, so one line stands for all of them.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from numina_infer.core.config import VoteWeights
from numina_infer.core.events import Ended, Event, Opened, Solved
from numina_infer.core.ports import EngineStats
from numina_infer.core.records import Solution
from numina_infer.voting.ballot import MILLI, Ballot
from numina_infer.voting.referee import Ledger, fold

HEARTBEAT_S = 10.0
"""Between two lines about the same problem in a plain log."""
_ENDLESS = sys.maxsize
"""The width of what has no edge."""


class RunConsole(Console):
    """A console for plain text; the run goes on when its reader leaves.

    Only a terminal gets broken lines. In a file or a pipe a broken path could neither be opened nor be searched for,
    so the environment's word on terminals (`COLUMNS`, `FORCE_COLOR`) and Jupyter's claim to be one change nothing.
    """

    def __init__(self, file: IO[str]) -> None:
        is_terminal = file.isatty()
        super().__init__(
            file=file,
            force_terminal=is_terminal,
            force_jupyter=False,
            width=None if is_terminal else _ENDLESS,
            soft_wrap=not is_terminal,  # a table's title would be broken to the table's width
            markup=False,
            highlight=False,
            emoji=False,  # `:x:` in a path or in a problem's name stays what it is
        )

    def on_broken_pipe(self) -> None:
        """Print nothing more, where rich would end the process."""
        with suppress(SystemExit):
            super().on_broken_pipe()


@dataclass(slots=True)
class Scoreboard:
    """The state of the run, folded from its events, which may come from several threads.

    It keeps ledgers of the open problems only, since a collection solves thousands.
    """

    num_problems: int
    stats: Callable[[], EngineStats] = EngineStats
    num_solved: int = 0
    weights: VoteWeights = field(default_factory=VoteWeights)
    now: Callable[[], float] = time.monotonic
    """The time of the contest's loop."""
    title: str = ""
    """Stands before every line, such as `simulated `."""
    is_collection: bool = False
    """Whether one line is about all problems, and no problem gets a line of its own."""
    problem_id: str = ""
    """The problem that was opened last."""
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    """Of the problems that are open."""
    num_ended: int = 0
    """Trajectories that have ended."""
    _began_at: float | None = None
    """The time at which the first problem was opened, so that an engine's start slows no figure."""
    _num_solved_before: int = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._num_solved_before = self.num_solved

    def update(self, event: Event) -> None:
        """Take one event in."""
        with self._lock:
            self.num_ended += isinstance(event, Ended)
            match event:
                case Opened():
                    self._began_at = self.now() if self._began_at is None else self._began_at
                    self.problem_id = event.problem_id
                    self.ledgers[event.problem_id] = fold(None, event)
                case Solved():
                    self.num_solved += 1
                    self.ledgers.pop(event.problem_id, None)
                case _ if event.problem_id in self.ledgers:  # some end after a late verdict
                    self.ledgers[event.problem_id] = fold(self.ledgers[event.problem_id], event, self.weights)
                case _:
                    pass

    @property
    def _seconds(self) -> float:
        return 0.0 if self._began_at is None else self.now() - self._began_at

    @property
    def _speed(self) -> str:
        seconds = self._seconds
        return f"{self.stats().num_tokens / seconds if seconds else 0:.0f} tok/s"

    @property
    def line(self) -> str:
        """The state in one line, of the problem that was opened last or of a whole collection."""
        return self._collection_line() if self.is_collection else self._problem_line()

    def _collection_line(self) -> str:
        stats = self.stats()
        cached = f"{stats.cache.num_hits} turns from the cache, " if stats.cache is not None else ""
        return (
            f"{self._place(self.num_solved)} {len(self.ledgers)} problems in work, "
            f"{stats.num_running} trajectories decoding, {self.num_ended} ended, {cached}"
            f"{self._speed}, {self._time_left} left"
        )

    def _problem_line(self) -> str:
        ledger = self.ledgers.get(self.problem_id)
        if ledger is None:
            return f"{self.title}waiting for the next problem"
        left = max(0.0, ledger.deadline - self.now())
        return (
            f"{self._place(self.num_solved + 1)} {self.problem_id}: "
            f"{ledger.num_running} running, {ledger.num_ended} done, "
            f"votes {show_votes(ledger.ballot)}, {self._speed}, {show_time(left)} left"
        )

    def _place(self, number: int) -> str:
        return f"{self.title}[{min(number, self.num_problems)}/{self.num_problems}]"

    @property
    def _time_left(self) -> str:
        """How long the other problems take at the speed so far; `?` before one was solved."""
        num_solved = self.num_solved - self._num_solved_before
        if not num_solved:
            return "?"
        return show_time(self._seconds / num_solved * (self.num_problems - self.num_solved))

    def opening(self, event: Opened) -> str:
        """One problem's beginning in one line."""
        left = show_time(event.deadline - event.at)
        place = self._place(self.num_solved + 1)
        return f"{place} {event.problem_id}: {event.num_samples} trajectories at most, {left} left"

    def verdict(self, solution: Solution) -> str:
        """One problem's end in one line."""
        how = "fallback" if solution.is_fallback else str(solution.stop_reason)
        votes = show_votes(Ballot(solution.votes))
        seconds = solution.solved_at - solution.opened_at
        place = self._place(self.num_solved)
        return f"{place} {solution.problem_id}: {solution.answer} ({how}; votes {votes}; {seconds:.0f} s)"


def show_votes(ballot: Ballot, most: int = 4) -> str:
    """The leading answers with their votes, as `447×5 12×1`."""
    shown = [f"{answer}×{votes / MILLI:g}" for answer, votes in ballot.ranking[:most]]
    return " ".join([*shown, "…"] if len(ballot.votes) > most else shown) or "none"


def show_time(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class PlainProgress:
    """Lines for a log file: one when a problem opens, one every ten seconds at most, one when it is solved.

    A collection has only those every ten seconds.
    """

    def __init__(self, board: Scoreboard, console: Console) -> None:
        self._board, self._console = board, console
        self._last = 0.0
        """The time of the last line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        """Take one event in and say what is worth a line; quickly and without raising."""
        self._board.update(event)
        match event:
            case Solved(solution) if not self._board.is_collection:
                self._say(self._board.verdict(solution))
            case Opened() if not self._board.is_collection:
                self._say(self._board.opening(event))
            case Ended() | Solved() if time.monotonic() - self._last >= HEARTBEAT_S:
                self._say(self._board.line)
            case _:
                pass

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        with suppress(OSError, ValueError):  # a closed log or terminal must cost no problem
            self._console.print(Text(line), soft_wrap=not self._console.is_terminal)


class LiveProgress(PlainProgress):
    """A line on the terminal that is always up to date, with the verdicts above it."""

    def __init__(self, board: Scoreboard, console: Console) -> None:
        super().__init__(board, console)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take one event in; a verdict gets a line of its own."""
        self._board.update(event)
        if isinstance(event, Solved) and not self._board.is_collection:
            self._say(self._board.verdict(event.solution))

    def _render(self) -> Text:
        return Text(self._board.line)


def show_progress(board: Scoreboard, console: Console) -> PlainProgress:
    """The display that fits where the output goes."""
    return LiveProgress(board, console) if console.is_terminal else PlainProgress(board, console)
