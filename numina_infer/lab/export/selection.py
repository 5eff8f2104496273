"""Selects the trajectories of a log to export: by whether they are right, each text once, up to a number per problem.

A trajectory is right if its own answer is, whatever the vote said. A log may be larger than memory, so a selection
keeps a hash of each text, and the log is read again for the rest.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from numina_infer.answers.references import Accepted
from numina_infer.core.events import Ended, Event, Opened
from numina_infer.core.records import Outcome, Problem, Trajectory
from numina_infer.lab.export.training_rows import join, to_messages
from numina_infer.runs.history import ByProblem


class ExportStatus(StrEnum):
    """Right or wrong, or why a trajectory can't be exported."""

    RIGHT = "right"
    WRONG = "wrong"
    UNFINISHED = "unfinished"
    NO_ANSWER = "no_answer"
    NO_REFERENCE = "no_reference"
    NO_TOKENS = "no_tokens"
    SAME_TEXT = "same_text"
    BEYOND_MAX = "beyond_max"

    @property
    def reason(self) -> str:
        """Why it was left out, in words for a card."""
        return _REASONS[self]


_REASONS = {
    ExportStatus.RIGHT: "right, which this training doesn't take",
    ExportStatus.WRONG: "a wrong answer",
    ExportStatus.UNFINISHED: "ended by a limit, the cutoff or an error, so that the text breaks off",
    ExportStatus.NO_ANSWER: "came to an end without an integer in range",
    ExportStatus.NO_REFERENCE: "no reference for the problem",
    ExportStatus.NO_TOKENS: "no token ids in the log",
    ExportStatus.SAME_TEXT: "the same text as another one of the problem",
    ExportStatus.BEYOND_MAX: "more than was asked for of one problem",
}


def _judge(trajectory: Trajectory, accepted: Accepted) -> ExportStatus:
    if not accepted:
        return ExportStatus.NO_REFERENCE
    if trajectory.outcome is not Outcome.FINISHED or not trajectory.turns:
        return ExportStatus.UNFINISHED
    if trajectory.answer.value is None:
        return ExportStatus.NO_ANSWER
    return ExportStatus.RIGHT if trajectory.answer.value in accepted else ExportStatus.WRONG


Key = tuple[int, int]
"""A trajectory of a log: the number of its problem's opening in the log, and its index."""


def opened_trajectories(events: Iterable[Event]) -> Iterator[tuple[int, Opened, Trajectory]]:
    """Each trajectory among `events`, with its problem's opening and that opening's number in the log."""
    problems, numbers = ByProblem[tuple[int, Opened]](), count()
    for event in events:
        opening = problems.of(event, lambda opened: (next(numbers), opened))
        if opening is not None and isinstance(event, Ended):
            yield *opening, event.trajectory


@dataclass(frozen=True, slots=True)
class Selection:
    """Which trajectories of a log are exported, and why the others aren't."""

    statuses: Mapping[Key, ExportStatus]
    """The status of each exported trajectory: right or wrong."""
    left_out: Counter[ExportStatus]
    unknown: tuple[str, ...]
    """Ids of problems without a reference, in the order of the log."""

    @property
    def counts(self) -> str:
        """How many were selected, in words."""
        num_right = sum(status is ExportStatus.RIGHT for status in self.statuses.values())
        num_problems = len({opening for opening, _ in self.statuses})
        return (
            f"{len(self.statuses)} trajectories of {num_problems} problems: {num_right} right, "
            f"{len(self.statuses) - num_right} wrong"
        )


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


def select(
    events: Iterable[Event],
    accepted_of: Callable[[Problem], Accepted],
    wanted: Collection[ExportStatus],
    *,
    per_problem: int | None = None,
    needs_tokens: bool = False,
) -> Selection:
    """Judge all trajectories among `events`; of a problem that was opened again, those since then.

    Args:
        events: a whole log.
        accepted_of: gives the right votes of a problem; empty where the reference isn't known.
        wanted: the statuses to select.
        per_problem: selects at most so many of a problem, right and wrong ones each; None takes all.
        needs_tokens: leaves out trajectories for which the log has no token ids.
    """
    found = defaultdict[Problem, _Found](_Found)
    for opening, opened, trajectory in opened_trajectories(events):
        if found[opened.problem].opening != opening:
            found[opened.problem] = _Found(opening)
        own, status = found[opened.problem], _judge(trajectory, accepted_of(opened.problem))
        if status in wanted:
            text = _hash(join(to_messages(opened.prompt, trajectory)))
            if needs_tokens and not _has_tokens(trajectory):
                status = ExportStatus.NO_TOKENS
            elif text in own.texts:
                status = ExportStatus.SAME_TEXT
            else:
                own.texts.add(text)
        own.statuses[trajectory.index] = status
    if per_problem is not None:
        for problem, own in found.items():
            own.limit(per_problem, problem.id)
    return _selection(found, wanted)


def _has_tokens(trajectory: Trajectory) -> bool:
    """Whether the log has the sampled tokens of every completion that says something."""
    return all(turn.completion.token_ids or not turn.completion.text for turn in trajectory.turns)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _selection(found: Mapping[Problem, _Found], wanted: Collection[ExportStatus]) -> Selection:
    judged = {(own.opening, index): status for own in found.values() for index, status in own.statuses.items()}
    unknown = [problem.id for problem, own in found.items() if ExportStatus.NO_REFERENCE in own.statuses.values()]
    return Selection(
        statuses={key: status for key, status in judged.items() if status in wanted},
        left_out=Counter(status for status in judged.values() if status not in wanted),
        unknown=tuple(unknown),
    )
