"""Votes that were lost: samples that gave none, by the reason and by how they ended.

One that is lost to a limit (`max_tokens`, `context_full`, a cutoff at the deadline) may come back with a larger limit;
one that is lost to its text (`not_an_integer`, `not_stated`) won't.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from numina_infer.core.records import NoAnswer, Outcome, Trajectory
from numina_infer.lab.evaluate.marking import Marks


@dataclass(frozen=True, slots=True)
class Loss:
    """Samples without a vote, of one kind."""

    reason: NoAnswer
    outcome: Outcome
    count: int


def count_losses(samples: Iterable[Trajectory], marks: Marks) -> tuple[Loss, ...]:
    """The samples of one problem that gave no vote, the most frequent kind first."""
    lost = (sample for sample, answer in zip(samples, marks.answers, strict=True) if answer is None)
    return _ranked(Counter((sample.answer.reason or NoAnswer.NOT_STATED, sample.outcome) for sample in lost))


def sum_losses(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Those of several problems together, the most frequent kind first."""
    kinds: Counter[tuple[NoAnswer, Outcome]] = Counter()
    for loss in losses:
        kinds[loss.reason, loss.outcome] += loss.count
    return _ranked(kinds)


def _ranked(kinds: Counter[tuple[NoAnswer, Outcome]]) -> tuple[Loss, ...]:
    return tuple(
        Loss(reason, outcome, count)
        for (reason, outcome), count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    )
