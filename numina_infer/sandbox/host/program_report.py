"""What a child says about a program that has come to its end: bounded plain text.

It is written by a process that ran untrusted code, so it is read as text and believed about its own trajectory only;
for a program in a fresh child even the ending itself is the kernel's word, and the report adds no more than words.
It has no word for a failure of the sandbox itself: of that speaks readiness.py, before any program can.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

REPORT_BYTES = 8 * 1024
"""Room for one packed report."""


class Ending(StrEnum):
    """How a program came to its end, as its child saw it."""

    OK = "ok"
    ERROR = "error"
    MEMORY = "memory"
    """An uncaught MemoryError."""


@dataclass(frozen=True, slots=True)
class ProgramReport:
    """A program's ending and the words for it."""

    ending: Ending
    text: str = ""
    cpu_s: float = 0.0

    def pack(self) -> bytes:
        """At most `REPORT_BYTES`: a line «ending cpu», then the text."""
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
