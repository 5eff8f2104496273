"""What a child leaves behind: whether it got as far as its program, and how the program ended.

A process that ran untrusted code writes the report, so it is bounded plain text, and the host believes it about that
trajectory only. For a program in a child of its own the wait status decides how it ended; the report adds a message.
A report can't say that the sandbox failed: the startup status says so, on a page that no program ever sees.
"""

import mmap
from dataclasses import dataclass
from typing import Self

from numina_infer.core.records import ExecutionStatus

REPORT_BYTES = 8 * 1024
"""Room for a packed report."""
REPORTABLE = (ExecutionStatus.OK, ExecutionStatus.ERROR, ExecutionStatus.MEMORY)
"""The endings that a child may report; memory stands for an uncaught MemoryError."""
_BEGUN, _FAILED = 1, 2
_SILENT = "it ended before its program began"


@dataclass(frozen=True, slots=True)
class ProgramReport:
    """A program's ending, and the note on it that the model reads."""

    status: ExecutionStatus
    text: str = ""

    def pack(self) -> bytes:
        """At most `REPORT_BYTES` bytes: a line with the status, then the text."""
        return f"{self.status}\n{self.text}".encode("utf-8", "replace")[:REPORT_BYTES]

    @classmethod
    def unpack(cls, packed: str) -> Self | None:
        """The report, or None if it can't be read as one."""
        status, newline, text = packed.partition("\n")
        return cls(ExecutionStatus(status), text) if newline and status in REPORTABLE else None


class StartupStatus:
    """A page that a child shares with the zygote until its first program begins: our own code alone writes it.

    The child calls `fail` and `begin`, the zygote the rest.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def fail(self, why: str) -> None:
        """Note why the child can't be made ready."""
        text = why.encode("utf-8", "replace")[: mmap.PAGESIZE - 1]
        self._page[: 1 + len(text)] = bytes([_FAILED]) + text

    def begin(self) -> None:
        """Note that the program begins, and unmap the page from this process for good."""
        if not self._page.closed:
            self._page[0] = _BEGUN
            self._page.close()

    def hide(self) -> None:
        """Keep the page out of children that are forked later."""
        self._page.madvise(mmap.MADV_DONTFORK)

    def close(self) -> str:
        """Unmap the page; returns why the program never began, or an empty text if it did."""
        state, text = self._page[0], self._page[1:].rstrip(b"\0").decode("utf-8", "replace")
        self._page.close()
        return "" if state == _BEGUN else text or _SILENT
