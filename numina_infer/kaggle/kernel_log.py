"""What a kernel writes down: its own log, on the screen and in one small text file, and the run log.

A commit run on Kaggle keeps its output folder, and this is the file to read there, or to paste into an issue.
Every line starts with the seconds since the kernel's start, which shows what took long.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TextIO

from numina_infer.core.errors import RunLogError
from numina_infer.core.ports import Announce
from numina_infer.kaggle.preflight.machine import process_age_s
from numina_infer.runs.log import NoLog, RunLog

_MAX_CHARACTERS = 100_000
"""The file's most; the screen alone has the rest."""


class KernelLog(io.TextIOBase):
    """A text stream that writes on `screen` and into `path`, each line with the seconds since `started_at`.

    A disk or a screen that refuses costs its own copy and nothing else.
    """

    def __init__(
        self,
        path: Path,
        *,
        started_at: float,
        screen: TextIO | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`screen` is standard output by default, and `started_at` a time of `now`."""
        self._path, self._started_at, self._now = path, started_at, now
        self._screen = screen
        self._room = _MAX_CHARACTERS
        self._is_line_begun = False
        with suppress(OSError):
            path.write_text("", encoding="utf-8")

    def write(self, text: str) -> int:
        """Take `text`, any part of a line or several."""
        with suppress(OSError, ValueError):
            (self._screen or sys.stdout).write(text)
        stamped = "".join(map(self._stamped, text.splitlines(keepends=True)))
        if 0 < len(stamped) <= self._room:
            self._keep(stamped)
        elif self._room > 0:
            self._keep("… more than this file may hold\n")
            self._room = 0
        return len(text)

    def _stamped(self, line: str) -> str:
        stamp = "" if self._is_line_begun else f"[{self._now() - self._started_at:7.1f} s] "
        self._is_line_begun = not line.endswith("\n")
        return stamp + line

    def _keep(self, text: str) -> None:
        self._room -= len(text)
        with suppress(OSError), self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)

    def flush(self) -> None:
        """Flush the screen; the file always is."""
        with suppress(OSError, ValueError):
            (self._screen or sys.stdout).flush()

    def writable(self) -> bool:
        """True."""
        return True


def open_run_log(output: Path, report: Announce, *, is_kept: bool) -> RunLog:
    """The run log: kept in a new folder of `output`, or, where nothing depends on it, in any folder that works."""
    if is_kept:
        folders = (output / f"run{number or ''}" for number in count())
        return RunLog(next(folder for folder in folders if not folder.exists()))
    why = ""
    for base in (None, "/dev/shm", output):  # noqa: S108 (a folder of our own is made in it)
        try:
            # On a full disk even asking for the usual place of temporary folders fails.
            return RunLog(Path(tempfile.mkdtemp(prefix="numina-run-", dir=base)), is_vital=False)
        except (OSError, RunLogError) as error:
            why = str(error)
            report(f"no run log in {base or 'the usual place'}: {error}")
    return NoLog(why)


def process_start(limit_s: float) -> float:
    """When this process began, as `time.monotonic` counts: installing and importing have taken time already.

    An age above `limit_s` isn't believed: the competition would not listen any more, so the clocks must disagree.
    """
    try:
        age_s = process_age_s()
    except LookupError:
        age_s = 0.0
    return time.monotonic() - (age_s if age_s < limit_s else 0.0)
