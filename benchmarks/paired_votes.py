"""Weighted and plain votes on the same subsets of the same samples, and what can be said of their difference.

Accuracy is that of a vote among N of a pool's samples, the mean over many subsets drawn without replacement (over all
of them where they are few); several answers with the most votes share the verdict evenly, so that no rule about ties
is measured along. A gain is the difference of two weightings on the same subsets.
What can be chosen, a parameter or a fit, is chosen on other problems than those it is measured on; a problem is in one
fold under whatever model. Intervals are of a bootstrap over problems, as the samples of one problem are alike under
all models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from benchmarks.pools import NO_VOTE, Floats, Integers, Pool

EQUAL = 1e-9
"""Votes that differ by less, as a share, are equal: sums of the same weights in another order."""


def draw_subsets(num_samples: int, size: int, most: int, chance: np.random.Generator) -> Integers:
    """Subsets of `size`, one a row: all of them if there are no more than `most`, else `most` random ones."""
    if comb(num_samples, size) <= most:
        return np.array(list(combinations(range(num_samples), size)))
    return chance.random((most, num_samples)).argpartition(size - 1, axis=1)[:, :size]


def shares_right(pool: Pool, chosen: Integers, weights: Floats) -> Floats:
    """By subset, how much of the verdict is the reference's: 1, 0, or its part of a tie.

    Args:
        pool: whose samples they are.
        chosen: subsets by samples.
        weights: what each of these votes counts, in the same shape.
    """
    if pool.right == NO_VOTE:
        return np.zeros(len(chosen))
    num_answers = int(pool.votes.max()) + 1
    votes = pool.votes[chosen]
    cells = votes + num_answers * np.arange(len(chosen))[:, None]
    cast = votes != NO_VOTE
    totals = np.bincount(cells[cast], weights[cast], minlength=num_answers * len(chosen)).reshape(-1, num_answers)
    most = totals.max(axis=1, keepdims=True)
    wins = (totals >= most * (1 - EQUAL)) & (most > 0)
    shares: Floats = wins[:, pool.right] / np.maximum(1, wins.sum(axis=1))
    return shares


def assign_folds(problems: Sequence[str], num_folds: int, seed: int = 0) -> Integers:
    """By pool, given whose problem it is, its fold; all pools of a problem are in one, whatever their order."""
    names = sorted(set(problems))
    order = np.random.default_rng(seed).permutation(len(names))
    folds = {names[place]: at % num_folds for at, place in enumerate(order)}
    return np.array([folds[problem] for problem in problems])


def cross_validate(table: Floats, folds: Integers) -> tuple[Floats, list[int]]:
    """What a choice on the other folds gives on each.

    Args:
        table: accuracies, parameters by sizes by pools; the first of equally good parameters is chosen.
        folds: by pool.

    Returns:
        Accuracies, sizes by pools, and for each fold the place of the chosen parameter.
    """
    held_out = np.empty(table.shape[1:])
    chosen = []
    for fold in np.unique(folds):
        best = int(table[:, :, folds != fold].mean(axis=(1, 2)).argmax())
        held_out[:, folds == fold] = table[best][:, folds == fold]
        chosen.append(best)
    return held_out, chosen


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over pools, with what a bootstrap over problems says of it."""

    mean: float
    low: float
    high: float
    """The 2.5 % and the 97.5 % quantile."""
    chance_above: float
    """The share of resamples above zero, half of those at zero among them."""

    def show(self, scale: float = 100.0, sign: str = "+") -> str:
        """`+0.31 (-0.10 to +0.72)`."""
        mean, low, high = (f"{scale * value:{sign}.2f}" for value in (self.mean, self.low, self.high))
        return f"{mean} ({low} to {high})"


def estimate(values: Floats, problems: Sequence[str], num_resamples: int, seed: int = 0) -> Estimate:
    """The mean of `values`, one a pool, with its interval: problems are drawn anew, each with all of its pools."""
    clusters = np.unique(np.array(problems), return_inverse=True)[1]
    counts = np.bincount(clusters).astype(float)
    sums = np.bincount(clusters, values)
    times = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), num_resamples)
    means: Floats = (times @ sums) / (times @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    above = float((means > 0).mean() + (means == 0).mean() / 2)
    return Estimate(float(values.mean()), float(low), float(high), above)


def pass_at(pool: Pool, size: int) -> float:
    """The chance that one of `size` samples at least is right: what no weights can exceed (arXiv 2107.03374)."""
    num_wrong = pool.num_samples - int(pool.is_right.sum())
    return 1 - comb(num_wrong, size) / comb(pool.num_samples, size)


def chance_lower(feature: Floats, pool: Pool) -> float:
    """P(a right sample's `feature` is lower than a wrong one's) within a mixed pool, ties as half."""
    right, wrong = feature[pool.is_right][:, None], feature[pool.is_wrong][None, :]
    return float((right < wrong).mean() + (right == wrong).mean() / 2)
