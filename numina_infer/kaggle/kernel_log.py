"""What a kernel says, on the screen and in one small text file beside the submission.

A commit run on Kaggle keeps its output folder, and this is the file to read there, or to paste into an issue.
Every line has the time since the kernel's start, so that what took long is seen.
"""

import io
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_MAX_CHARACTERS = 100_000
"""Of the file; what comes beyond is on the screen alone."""


class KernelLog(io.TextIOBase):
    """A text stream that writes on `screen` and into `path`; a disk or a screen that refuses costs no more than that.

    Lines are stamped in the file with the seconds since `started_at`.
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
