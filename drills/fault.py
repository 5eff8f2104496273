"""Faults, and the drills that play them: a fault says what happens and which effects are acceptable.

Each record is data and one function, so that the catalogue reads as a list of everything that can go wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from drills.contest_plan import ContestPlan
from drills.seen import Reply, Seen

if TYPE_CHECKING:
    from drills.scene import Scene

Touches = Callable[[frozenset[int], Reply, Seen], bool]
"""The targeted problems, one reply, all that was seen → whether its problem may lose its right verdict."""


def nothing(_struck: frozenset[int], _reply: Reply, _seen: Seen) -> bool:
    """No problem may lose its right verdict."""
    return False


def everything(_struck: frozenset[int], _reply: Reply, _seen: Seen) -> bool:
    """Every problem may lose its right verdict."""
    return True


def struck(numbers: frozenset[int], reply: Reply, _seen: Seen) -> bool:
    """Only the problems this fault targets may lose their answer."""
    return reply.number in numbers


def without_engine(numbers: frozenset[int], reply: Reply, seen: Seen) -> bool:
    """The targeted problems may, and those that waited for an engine meanwhile."""
    return reply.number in numbers or any(
        gone <= reply.replied_at and reply.asked_at <= back for gone, back in seen.away
    )


def since(share: float) -> Touches:
    """Problems without a verdict before that share of the contest's time may lose their answer."""
    return lambda _struck, reply, seen: reply.replied_at - seen.began_at >= share * seen.plan.time_limit_s


class LogState(StrEnum):
    """What is expected of the run log."""

    WHOLE = "whole"
    """Every verdict is in it."""
    PART = "part"
    """It ends somewhere, and reads well up to there."""
    GONE = "gone"
    """There is none."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What may come of a fault. That every call gets a whole number in range and in time is expected of all."""

    touches: Touches = nothing
    """Which problems may lose their right verdict, in company with other faults too."""
    max_fallbacks: int = 0
    """How many of those do, when the fault comes alone."""
    says: tuple[str, ...] = ()
    """Texts that stand in one line each of the summary, however often that line says that it happened."""
    says_once: tuple[str, ...] = ()
    """The same, of lines that say so of no second time."""
    says_at_least_once: tuple[str, ...] = ()
    """Texts that stand in a line of it or in several, where more than one part may notice."""
    never_says: tuple[str, ...] = ()
    """Texts that stand in no line of it: what the fault must not come to."""
    log: LogState = LogState.WHOLE
    costs_votes_with: tuple[str, ...] = ()
    """Faults in whose company it costs votes of what it touches, where alone it costs none; `*` is any."""
    ends: str = ""
    """How the process ends, such as `exit code 130`; empty where it lives on."""

    @property
    def line(self) -> str:
        """In one line."""
        if self.ends:
            return f"ends with {self.ends}, what was done is on disk, resumed to the end"
        log = {LogState.WHOLE: "", LogState.PART: ", log up to it", LogState.GONE: ", no log"}[self.log]
        texts = (*self.says_once, *self.says, *self.says_at_least_once)
        said = f", says «{'», «'.join(texts)}»" if texts else ""
        unsaid = f", never says «{'», «'.join(self.never_says)}»" if self.never_says else ""
        return f"all in time, at most {self.max_fallbacks} fallbacks{log}{said}{unsaid}"


class Place(StrEnum):
    """Where a fault is played."""

    VIRTUAL = "virtual"
    """In-process fakes, under virtual time; several faults can come together."""
    ALONE = "alone"
    """The same, in a contest that leaves room for no other fault."""
    REAL = "real"
    """The real sandbox or real sockets, in real time."""
    PROCESSES = "processes"
    """Processes of their own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    """Its name on the command line."""
    story: str
    """One sentence: what happens."""
    inject: "Callable[[Scene, frozenset[int]], None]"
    """Changes the scene, given the problems at which it strikes."""
    expected: Expected = field(default_factory=Expected)
    at: tuple[float, ...] = ()
    """Shares of the contest at which it strikes."""
    place: Place = Place.VIRTUAL

    def touches(self, reply: Reply, seen: Seen) -> bool:
        """Whether this may have cost the problem of `reply` its right verdict."""
        return self.expected.touches(seen.plan.at(self.at), reply, seen)

    def costs_votes(self, company: set[str]) -> bool:
        """Whether it may leave a problem that it touches without a vote, together with faults of these names."""
        return self.expected.max_fallbacks > 0 or not {*company, "*"}.isdisjoint(self.expected.costs_votes_with)


@dataclass(frozen=True, slots=True)
class Drill:
    """A contest in which something goes wrong, to be played and judged."""

    name: str
    story: str
    expected: Expected
    touches: Callable[[Reply, Seen], bool]
    """Whether a problem may have lost its right verdict."""
    excuses: Callable[[Reply, Seen], bool]
    """Whether a problem may have no vote at all."""
    play: Callable[[], Seen]
    """Plays it; the folder, the processes and the threads that it used are gone afterwards."""


def together(
    faults: Sequence[Fault], plan: ContestPlan, play: Callable[[Sequence[Fault], ContestPlan], Seen]
) -> Drill:
    """The drill of one fault, or of several at once.

    Several may meet at one problem, or prolong each other's effects, so their bounds can't be added: a problem may be
    a fallback where two faults touch it, or one that causes fallbacks when it comes alone.
    What the faults would say alone isn't expected of them together.
    """
    return Drill(
        name=" + ".join(fault.name for fault in faults),
        story=" ".join(fault.story for fault in faults),
        expected=faults[0].expected if len(faults) == 1 else _of_several(faults, plan),
        touches=lambda reply, seen: any(fault.touches(reply, seen) for fault in faults),
        excuses=partial(_excused, faults),
        play=lambda: play(faults, plan),
    )


def _of_several(faults: Sequence[Fault], plan: ContestPlan) -> Expected:
    states = [fault.expected.log for fault in faults]
    worst = next((state for state in (LogState.GONE, LogState.PART) if state in states), LogState.WHOLE)
    return Expected(max_fallbacks=plan.num_problems, log=worst)


def _excused(faults: Sequence[Fault], reply: Reply, seen: Seen) -> bool:
    touching = [fault for fault in faults if fault.touches(reply, seen)]
    names = {fault.name for fault in faults}
    return len(touching) > 1 or any(fault.costs_votes(names) for fault in touching)
