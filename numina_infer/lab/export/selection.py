"""Selects the trajectories of a log to export: by their status, each text once, up to a number per problem.

A log may be larger than memory, so a selection keeps a hash of each text, and the log is read again for the rest.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from numina_infer.answers.references import Accepted
from numina_infer.core.events import Ended, Event, Opened
from numina_infer.core.records import Problem, Trajectory
from numina_infer.lab.export.chat_rows import join, to_messages
from numina_infer.lab.export.export_filter import ExportStatus, judge
from numina_infer.runs.history import ByProblem

Key = tuple[int, int]
"""A trajectory of a log: the number of its problem's opening in the log, and its index."""


@dataclass(frozen=True, slots=True)
class OpenedTrajectory:
    """A trajectory with the opening that it belongs to."""

    opened: Opened
    opening: int
    """The number of that opening in the log."""
    trajectory: Trajectory

    @property
    def key(self) -> Key:
        """Which trajectory of the log."""
        return self.opening, self.trajectory.index


def opened_trajectories(events: Iterable[Event]) -> Iterator[OpenedTrajectory]:
    """The trajectories among `events`, those of openings that were given up too."""
    problems, numbers = ByProblem[tuple[Opened, int]](), count()
    for event in events:
        opening = problems.of(event, lambda opened: (opened, next(numbers)))
        if opening is not None and isinstance(event, Ended):
            yield OpenedTrajectory(*opening, event.trajectory)


@dataclass(frozen=True, slots=True)
class WantedRows:
    """What is to be selected."""

    statuses: frozenset[ExportStatus]
    per_problem: int | None = None
    """At most so many of a problem, right and wrong ones each; None takes all."""
    needs_tokens: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which trajectories of a log are exported, and why the others aren't."""

    statuses: Mapping[Key, ExportStatus]
    """The status of each exported trajectory: right or wrong."""
    left_out: Counter[ExportStatus]
    unknown: tuple[str, ...]
    """Ids of problems without a reference, in the order of the log."""
    num_problems: int
    """Problems that have something in it."""

    @property
    def num_right(self) -> int:
        """Trajectories in it that are right."""
        return sum(status is ExportStatus.RIGHT for status in self.statuses.values())


@dataclass(slots=True)
class _Found:
    """What was found of one problem since its last opening."""

    opening: int = -1
    statuses: dict[int, ExportStatus] = field(default_factory=dict)
    """By index."""
    texts: set[bytes] = field(default_factory=set)

    def limit(self, per_problem: int, identifier: str) -> None:
        """Keep `per_problem` of each kind, drawn by a hash: the first to end would be the shortest."""
        for status in (ExportStatus.RIGHT, ExportStatus.WRONG):
            indices = [index for index, own in self.statuses.items() if own is status]
            for index in sorted(indices, key=lambda index: _hash(f"{identifier}\0{index}"))[per_problem:]:
                self.statuses[index] = ExportStatus.BEYOND_MAX


def select(events: Iterable[Event], accepted_of: Callable[[Problem], Accepted], wanted: WantedRows) -> Selection:
    """Judge all trajectories among `events`; of a problem that was opened again, those since then.

    Args:
        events: a whole log.
        accepted_of: gives the right votes of a problem; empty where the reference isn't known.
        wanted: the statuses and the number to select.
    """
    found = defaultdict[Problem, _Found](_Found)
    for one in opened_trajectories(events):
        problem = one.opened.problem
        if found[problem].opening != one.opening:
            found[problem] = _Found(one.opening)
        found[problem].statuses[one.trajectory.index] = _status(one, found[problem], accepted_of(problem), wanted)
    if wanted.per_problem is not None:
        for problem, own in found.items():
            own.limit(wanted.per_problem, problem.id)
    return _selection(found, wanted.statuses)


def _status(one: OpenedTrajectory, found: _Found, accepted: Accepted, wanted: WantedRows) -> ExportStatus:
    status = judge(one.trajectory, accepted)
    if status not in wanted.statuses:
        return status
    if wanted.needs_tokens and not has_tokens(one.trajectory):
        return ExportStatus.NO_TOKENS
    text = _hash(join(to_messages(one.opened.prompt, one.trajectory)))
    if text in found.texts:
        return ExportStatus.SAME_TEXT
    found.texts.add(text)
    return status


def has_tokens(trajectory: Trajectory) -> bool:
    """Whether the log has the sampled tokens of every completion that says something."""
    return all(turn.completion.token_ids or not turn.completion.text for turn in trajectory.turns)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _selection(found: Mapping[Problem, _Found], statuses: frozenset[ExportStatus]) -> Selection:
    chosen = {
        (own.opening, index): status
        for own in found.values()
        for index, status in own.statuses.items()
        if status in statuses
    }
    everything = Counter(status for own in found.values() for status in own.statuses.values())
    unknown = [problem.id for problem, own in found.items() if ExportStatus.NO_REFERENCE in own.statuses.values()]
    return Selection(
        statuses=chosen,
        left_out=Counter({status: count for status, count in everything.items() if status not in statuses}),
        unknown=tuple(unknown),
        num_problems=len({opening for opening, _ in chosen}),
    )
