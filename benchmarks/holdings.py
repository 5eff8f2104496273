"""What a process and its descendants hold, sampled from outside, and whether it grows.

Programs come and go, and what they hold with them; what leaks stays. So a minute counts by its least sample, and a
straight line through the minutes (least squares, with Student's interval) says how much is gained in an hour.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from drills.leftovers import descendants

PROC = Path("/proc")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """At one moment."""

    own_mb: float
    """Resident memory of the process."""
    children_mb: float
    """Of its descendants; what they share is counted for each."""
    own_fds: int
    children_fds: int
    own_threads: int
    children: int
    """Descendants, zombies among them."""
    zombies: int


NAMES = tuple(field.name for field in fields(Held))


def _stat(entry: Path) -> list[str]:
    """What stands behind the name: state, parent and on."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def held_by(pid: int, proc: Path = PROC) -> Held:
    """What `pid` and its descendants hold; what ends meanwhile counts as little as it still shows.

    Raises:
        ProcessLookupError: there is no `pid`.
    """
    own = proc / str(pid)
    if not own.exists():
        raise ProcessLookupError(pid)
    children = [proc / str(child) for child in descendants(pid, proc)]
    return Held(
        own_mb=_resident_mb(own),
        children_mb=sum(map(_resident_mb, children)),
        own_fds=_num_in(own / "fd"),
        children_fds=sum(_num_in(child / "fd") for child in children),
        own_threads=_num_in(own / "task"),
        children=len(children),
        zombies=sum(map(_is_zombie, children)),
    )


def _resident_mb(entry: Path) -> float:
    with suppress(OSError):
        return int((entry / "statm").read_text().split()[1]) * _PAGE_MB
    return 0.0


def _num_in(folder: Path) -> int:
    with suppress(OSError):
        return len(list(folder.iterdir()))
    return 0


def _is_zombie(entry: Path) -> bool:
    with suppress(OSError):
        return _stat(entry)[0] == "Z"
    return False


@dataclass(frozen=True, slots=True)
class Sample:
    """One look."""

    at_s: float
    """Since the first."""
    held: Held


def watch(pid: int, every_s: float, is_over: Callable[[float], bool]) -> Iterator[Sample]:
    """Samples of `pid` until `is_over`, told the seconds so far and asked after each."""
    began = time.monotonic()
    while True:
        at_s = time.monotonic() - began
        yield Sample(at_s, held_by(pid))
        if is_over(at_s):
            return
        time.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Trend:
    """How one thing went."""

    name: str
    first: float
    last: float
    gained: float
    """In an hour, by the line."""
    least: float
    """The lower end of the gain's interval, 95 %."""
    most: float
    """The upper end."""

    def is_within(self, bound: float) -> bool:
        """Whether it gains at most `bound` an hour, the interval's upper end included."""
        return self.most <= bound


def by_minute(samples: Sequence[Sample], name: str, warm_up_s: float) -> list[tuple[float, float]]:
    """The middle of each whole minute behind the warm-up, and the least of `name` in it."""
    minutes: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.at_s >= warm_up_s:
            minutes.setdefault(int((sample.at_s - warm_up_s) // 60), []).append(sample)
    return [
        (statistics.fmean(one.at_s for one in inside), min(float(getattr(one.held, name)) for one in inside))
        for _, inside in sorted(minutes.items())
    ]


def trend(samples: Sequence[Sample], name: str, warm_up_s: float) -> Trend:
    """How `name` went behind the warm-up.

    Raises:
        ValueError: there are fewer than three minutes behind it.
    """
    from scipy.stats import t

    points = by_minute(samples, name, warm_up_s)
    if len(points) < 3:
        raise ValueError(f"{len(points)} minutes behind the warm-up are too few for a line; watch longer")
    at_s, values = (np.array(column) for column in zip(*points, strict=True))
    hours = (at_s - at_s.mean()) / 3600
    spread = float(hours @ hours)
    gained = float(hours @ values) / spread
    off = values - values.mean() - gained * hours
    reach = float(t.ppf(0.975, len(points) - 2)) * math.sqrt(float(off @ off) / (len(points) - 2) / spread)
    return Trend(name, float(values[0]), float(values[-1]), gained, gained - reach, gained + reach)
