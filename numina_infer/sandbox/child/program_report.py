"""A child's report on a program that has ended: bounded plain text.

A process that ran untrusted code writes it, so the host reads it as text and believes it about that trajectory only.
For a program in a child of its own the wait status decides how it ended, and the report only adds a message.
A report can't say that the sandbox failed: startup_status.py says so, before any program can.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

REPORT_BYTES = 8 * 1024
"""Room for a packed report."""


class Ending(StrEnum):
    """How a program ended, as its child saw it."""

    OK = "ok"
    ERROR = "error"
    MEMORY = "memory"
    """An uncaught MemoryError."""


@dataclass(frozen=True, slots=True)
class ProgramReport:
    """A program's ending, its error message, and the processor seconds it used."""

    ending: Ending
    text: str = ""
    cpu_s: float = 0.0

    def pack(self) -> bytes:
        """At most `REPORT_BYTES` bytes: a line «ending cpu», then the text."""
        return f"{self.ending} {self.cpu_s:.6f}\n{self.text}".encode("utf-8", "replace")[:REPORT_BYTES]

    @classmethod
    def unpack(cls, packed: str) -> Self | None:
        """The report, or None if it can't be read as one."""
        header, _, text = packed.partition("\n")
        ending, _, cpu = header.partition(" ")
        if ending not in set(Ending):
            return None
        try:
            cpu_s = float(cpu)
        except ValueError:
            return None
        return cls(Ending(ending), text, cpu_s if math.isfinite(cpu_s) and cpu_s >= 0 else 0.0)
