"""Exact maj@k and pass@k for every k: how often a vote of k samples, or one of k samples, is right.

Both are means over all subsets of k of the n recorded samples of a problem, which is the unbiased estimate (`pass@k`
is that of arXiv 2107.03374). The subsets are counted, not listed: the numbers of ways to draw them are coefficients of
a product with one polynomial per answer. All terms are positive, so rounding errors stay near 1e-13, relatively.

Where j answers tie for most votes, the right one scores 1/j: the mean over all rules that break ties. A sample without
a vote is drawn like any other; a subset without any vote is wrong.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST_SAMPLES = 1000
"""The largest n whose binomial coefficients are all finite as floats."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The samples of one problem, counted by answer."""

    right: tuple[int, ...] = ()
    """Samples of each right answer; several where the competition accepted more than one."""
    wrong: tuple[int, ...] = ()
    """Samples of each wrong answer."""
    num_blank: int = 0
    """Samples without a vote."""

    def __post_init__(self) -> None:
        if min((*self.right, *self.wrong), default=1) < 1 or self.num_blank < 0:
            raise ValueError(f"an answer is counted from its first sample, so {self} is no tally")
        if self.num_samples > MOST_SAMPLES:
            raise ValueError(f"{self.num_samples} samples of one problem; {MOST_SAMPLES} are the most")

    @property
    def num_samples(self) -> int:
        """n: samples with a vote and without."""
        return self.num_right + sum(self.wrong) + self.num_blank

    @property
    def num_right(self) -> int:
        """c: samples that are right."""
        return sum(self.right)

    @property
    def share_right(self) -> float:
        """Share of all samples that are right, which is pass@1; 0 without samples."""
        return self.num_right / self.num_samples if self.num_samples else 0.0

    @property
    def leader_votes(self) -> int:
        """Votes of the answer with most of them; 0 without a vote."""
        return max((*self.right, *self.wrong), default=0)

    @property
    def score(self) -> float:
        """The score of the vote of all samples: 1, 0, or in between for a tie."""
        leaders = [votes == self.leader_votes for votes in (*self.right, *self.wrong)]
        return sum(leaders[: len(self.right)]) / sum(leaders) if any(leaders) else 0.0


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that one of `k` samples is right, of `n` recorded ones of which `c` are: 1 - C(n-c, k) / C(n, k).

    Raises:
        ValueError: not 1 <= k <= n and 0 <= c <= n.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"pass@{k} of {n} samples with {c} right; give 1 <= k <= n and 0 <= c <= n")
    return (comb(n, k) - comb(n - c, k)) / comb(n, k)


def maj_at_k(tally: Tally, k: int) -> float:
    """The score of a vote of `k` of the samples, in the mean over all subsets of `k`.

    Raises:
        ValueError: not 1 <= k <= n.
    """
    if not 1 <= k <= tally.num_samples:
        raise ValueError(f"maj@{k} of {tally.num_samples} samples; give 1 <= k <= n")
    return majority_curve(tally)[k - 1]


def vote_scores(votes: "Array", num_right: int) -> "Array":
    """The scores of drawn votes: the last axis counts samples by answer, the `num_right` right answers first."""
    import numpy as np

    most = votes.max(axis=-1, keepdims=True)
    leads = (votes == most) & (most > 0)
    return np.asarray(leads[..., :num_right].sum(axis=-1) / np.maximum(1, leads.sum(axis=-1)))


def majority_curve(tally: Tally) -> tuple[float, ...]:
    """maj@1 to maj@n."""
    return _majority_curve(tuple(sorted(tally.right)), tuple(sorted(tally.wrong)), tally.num_blank)


@lru_cache(maxsize=2**14)
def _majority_curve(right: tuple[int, ...], wrong: tuple[int, ...], num_blank: int) -> tuple[float, ...]:
    """By linearity: the sum of the shares that each right answer wins against all others."""
    answers = (*right, *wrong)
    shares = [
        _winning_shares(count, (*answers[:place], *answers[place + 1 :]), num_blank)
        for place, count in enumerate(right)
    ]
    if not shares:
        return (0.0,) * (sum(wrong) + num_blank)
    return tuple(float(sum(at_k)) for at_k in zip(*shares, strict=True))[1:]


def _winning_shares(count: int, rivals: tuple[int, ...], num_blank: int) -> "Array":
    """By k from 0 to n: the share of subsets that an answer with `count` samples wins; a tie of j counts 1/j."""
    import numpy as np

    n = count + sum(rivals) + num_blank
    ways = np.zeros(n + 1)
    for votes in range(1, count + 1):
        others = np.convolve(_not_above(votes, rivals), _draws(votes, rivals, num_blank))
        ways[votes : votes + len(others)] += comb(count, votes) * others
    all_ways = np.array([comb(n, k) for k in range(n + 1)], dtype=float)
    return np.asarray(ways / all_ways)


def _draws(votes: int, rivals: tuple[int, ...], num_blank: int) -> "Array":
    """By number drawn: the ways to draw from what can't reach `votes`, blanks among it."""
    import numpy as np

    free = num_blank + sum(rival for rival in rivals if rival < votes)
    return np.array([comb(free, drawn) for drawn in range(free + 1)], dtype=float)


def _not_above(votes: int, rivals: tuple[int, ...]) -> "Array":
    """By number drawn: the ways in which no rival gets more than `votes`, where j-1 that get as many count 1/j."""
    import numpy as np

    able = [rival for rival in rivals if rival >= votes]
    table = np.zeros((len(able) + 1, len(able) * votes + 1))
    table[0, 0] = 1
    for rival in able:
        table = _with_rival(table, rival, votes)
    return np.asarray((table / np.arange(1, len(able) + 2)[:, None]).sum(axis=0))


def _with_rival(table: "Array", rival: int, votes: int) -> "Array":
    """`table` (rows: rivals tied at `votes`; columns: samples drawn) with one more rival of so many samples."""
    grown = table.copy()
    for drawn in range(1, votes):
        grown[:, drawn:] += comb(rival, drawn) * table[:, :-drawn]
    grown[1:, votes:] += comb(rival, votes) * table[:-1, :-votes]
    return grown
