"""Puts a run on one axis of time, sessions one after another, and measures what ran in each part of it.

A run log doesn't have the moment at which a program began. So the seconds of a trajectory's programs are spread evenly
over its time in a slot, and called an average.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

NUM_BINS = 180
"""Equal parts of the axis."""
_SLACK_S = 1.0
"""A clock that goes back by less is the same session: events of several problems are almost in order."""


@dataclass(slots=True)
class Axis:
    """Loop times of all sessions → seconds since the run began, with a gap where a run was stopped and resumed.

    Clocks of two sessions can't be compared, so the time between two sessions isn't known.
    """

    offset: float = 0.0
    """What is added to a loop time of the session that is read now."""
    latest: float | None = None
    """The last moment seen, on this axis."""
    breaks: list[float] = field(default_factory=list)
    """Where sessions after the first begin, on this axis."""

    def place(self, at: float) -> float:
        """The moment of a loop time of this session."""
        return at + self.offset

    def move(self, at: float, *, is_resumed: bool = False) -> float:
        """The moment of the next event, which may be a session's first: after a resume, or where clocks differ."""
        if self.latest is None:
            self.offset, self.latest = -at, 0.0
        elif is_resumed or self.place(at) < self.latest - _SLACK_S:
            self.offset = self.latest - at
            self.breaks.append(self.latest)
        self.latest = max(self.latest, self.place(at))
        return self.place(at)


@dataclass(frozen=True, slots=True)
class Stay:
    """One trajectory's time, in seconds of the axis."""

    started: float
    """When it began to wait for a slot."""
    seated: float
    """When it got its slot."""
    ended: float
    program_s: float
    """Wall seconds of its programs, somewhere in between."""


@dataclass(frozen=True, slots=True)
class Load:
    """The mean number of trajectories in each of `NUM_BINS` stretches, by what they did."""

    bin_s: float
    writing: tuple[float, ...]
    """In a slot, and not in a program: the engine wrote, or would have if it had had the time."""
    programs: tuple[float, ...]
    """Waiting for a program of theirs, spread evenly over each trajectory's time."""
    waiting: tuple[float, ...]
    """Started, and without a slot yet."""


def measure_load(stays: Sequence[Stay], length_s: float) -> Load:
    """What ran in each stretch of an axis of `length_s` seconds."""
    bin_s = max(length_s, 1e-9) / NUM_BINS
    writing, programs, waiting = ([0.0] * NUM_BINS for _ in range(3))
    for stay in stays:
        seated_s = max(stay.ended - stay.seated, 1e-9)
        share = min(1.0, stay.program_s / seated_s)
        _spread(waiting, bin_s, stay.started, stay.seated, 1.0)
        _spread(writing, bin_s, stay.seated, stay.ended, 1.0 - share)
        _spread(programs, bin_s, stay.seated, stay.ended, share)
    return Load(bin_s, tuple(writing), tuple(programs), tuple(waiting))


def _spread(bins: list[float], bin_s: float, start: float, end: float, height: float) -> None:
    """Add `height` to the mean of every bin, as far as the stretch from `start` to `end` covers it."""
    first, last = max(0, int(start / bin_s)), min(len(bins) - 1, int(end / bin_s))
    for number in range(first, last + 1):
        covered = min(end, (number + 1) * bin_s) - max(start, number * bin_s)
        bins[number] += height * max(0.0, covered) / bin_s


def lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """A lane for each span, so that no two in one lane overlap; the lowest that is free when it begins."""
    free_at: list[float] = []
    lane_of = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda number: spans[number]):
        start, end = spans[number]
        lane = next((lane for lane, free in enumerate(free_at) if free <= start), len(free_at))
        free_at[lane:] = [end, *free_at[lane + 1 :]]
        lane_of[number] = lane
    return lane_of
