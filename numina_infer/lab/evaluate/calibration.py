"""Measures whether the winner's share of the votes says how likely it is right, as a stop rule assumes.

The share of votes goes with accuracy (arXiv 2203.11171, section 3.4); how closely, differs by model and by set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numina_infer.lab.evaluate.intervals import Estimate, wilson
from numina_infer.lab.evaluate.metrics import Tally, vote_scores

if TYPE_CHECKING:
    import numpy as np

_BOUNDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Bin:
    """Problems whose winner has a share of the votes above `low` and up to `high`."""

    low: float
    high: float
    num_problems: int
    mean_share: float
    right: Estimate
    """How often the winner is right; ties count fractionally."""


def calibrate(tallies: Sequence[Tally], bounds: Sequence[float] = _BOUNDS) -> tuple[Bin, ...]:
    """How often the winner is right, by its share of the votes; bins without a problem are left out."""
    voted = [(one.leader_votes / (one.num_samples - one.num_blank), one.score) for one in tallies if one.leader_votes]
    held = [(low, high, [one for one in voted if low < one[0] <= high]) for low, high in pairwise(bounds)]
    return tuple(_bin(low, high, inside) for low, high, inside in held if inside)


def _bin(low: float, high: float, inside: Sequence[tuple[float, float]]) -> Bin:
    right = wilson(sum(score for _, score in inside), len(inside))
    return Bin(low, high, len(inside), sum(share for share, _ in inside) / len(inside), right)


@dataclass(frozen=True, slots=True)
class Lead:
    """Votes of a few samples in which the winner has `votes` of them."""

    votes: int
    share_of_votes: float
    """How often a vote has such a winner, 0 to 1."""
    share_right: float
    """How often the winner is right then."""


def leads(tallies: Sequence[Tally], num_samples: int = 8, *, seed: int = 0) -> tuple[Lead, ...]:
    """How often the winner of `num_samples` samples is right, by its votes.

    Of each problem 200 subsets are drawn without replacement, with a seed; problems with fewer samples are left out.
    """
    import numpy as np

    draws = np.random.default_rng(seed)
    drawn = [_lead_and_score(tally, num_samples, draws) for tally in tallies if tally.num_samples >= num_samples]
    if not drawn:
        return ()
    votes, scores = (np.concatenate(column) for column in zip(*drawn, strict=True))
    return tuple(
        Lead(int(count), float((votes == count).mean()), float(scores[votes == count].mean()))
        for count in np.unique(votes[votes > 0])
    )


def _lead_and_score(tally: Tally, num_samples: int, draws: "np.random.Generator") -> tuple[Any, Any]:
    import numpy as np

    counts = [*tally.right, *tally.wrong, tally.num_blank]
    votes = draws.multivariate_hypergeometric(counts, num_samples, size=_DRAWS)[:, :-1]
    if votes.shape[1] == 0:
        return np.zeros(_DRAWS, dtype=int), np.zeros(_DRAWS)
    return votes.max(axis=1), vote_scores(votes, len(tally.right))
