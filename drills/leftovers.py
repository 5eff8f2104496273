"""Finds what a drill leaves behind: threads, descriptors and processes that weren't there before it."""

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from drills.seen import Left

_PATIENCE_S = 5.0
"""Threads and processes that are about to end have so long for it."""
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds at one moment."""

    threads: Counter[str] = field(default_factory=lambda: Counter(thread.name for thread in threading.enumerate()))
    descriptors: Counter[str] = field(default_factory=lambda: Counter(_descriptors()))
    processes: Counter[str] = field(default_factory=lambda: Counter(map(str, descendants(os.getpid()))))


def left_behind(before: Held) -> Left:
    """Everything that wasn't there `before`, once it is no longer getting less."""
    gc.collect()
    left = _more(before)
    until = time.monotonic() + _PATIENCE_S
    while left.everything and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
        left = _more(before)
    return left


def _more(before: Held) -> Left:
    now = Held()
    return Left(
        threads=_surplus(now.threads, before.threads),
        descriptors=_surplus(now.descriptors, before.descriptors),
        processes=_surplus(now.processes, before.processes),
    )


def _surplus(now: Counter[str], before: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted((now - before).elements()))


def _descriptors() -> Iterator[str]:
    """The files this process has open, without the numbers that tell sockets apart."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            yield str(entry.readlink()).partition(":[")[0]


def descendants(pid: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """The processes below `pid`, children and theirs, as `proc` shows them."""
    parents: dict[str, str] = {}
    for entry in proc.glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[entry.name] = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
    return tuple(map(int, _below(str(pid), lambda parent: [child for child, its in parents.items() if its == parent])))


def _below(pid: str, children: Callable[[str], list[str]]) -> Iterator[str]:
    for child in children(pid):
        yield child
        yield from _below(child, children)
