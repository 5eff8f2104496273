"""Exact maj@k and pass@k for every k, and 95 % intervals of figures and of differences between two runs.

maj@k is how often a vote of k samples is right, pass@k how often one of k samples is. Both are means over all subsets
of k of the n recorded samples of a problem, which is the unbiased estimate (`pass@k` is that of arXiv 2107.03374). The
subsets are counted, not listed: the numbers of ways to draw them are coefficients of a product with one polynomial per
answer. All terms are positive, so rounding errors stay near 1e-13, relatively.

Where j answers tie for most votes, the right one scores 1/j: the mean over all rules that break ties. A sample without
a vote is drawn like any other; a subset without any vote is wrong.

A plain accuracy has Wilson's interval (1927): with few problems the normal approximation is too narrow and leaves the
range from 0 to 1 (arXiv 2503.01747).
Other means over problems have Student's t interval. Ten problems that are all right prove no certainty, so one right
and one wrong problem are added where the spread is measured: Agresti's and Coull's remedy (1998).
Two runs are compared in pairs on the same problems, so that the difficulty of problems, which both share, cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST_SAMPLES = 1000
"""The largest n whose binomial coefficients are all finite as floats."""
_SEED = 0
_RESAMPLES = 2000
_TAILS = (0.025, 0.975)
_EQUAL = 1e-9
"""Scores that differ by less count as equal."""
_FEWEST_DIFFERING = 6


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
    """The score of a vote of `k` of the samples, in the mean over all subsets of `k`; of fewer samples all are taken.

    Raises:
        ValueError: `k` is below 1, or there is no sample.
    """
    if k < 1 or not tally.num_samples:
        raise ValueError(f"maj@{k} of {tally.num_samples} samples; both are 1 at least")
    return majority_curve(tally)[min(k, tally.num_samples) - 1]


@lru_cache(maxsize=2**14)
def majority_curve(tally: Tally) -> tuple[float, ...]:
    """maj@1 to maj@n, by linearity: the sum of the shares that each right answer wins against all others."""
    answers = (*sorted(tally.right), *sorted(tally.wrong))
    shares = [
        _winning_shares(count, (*answers[:place], *answers[place + 1 :]), tally.num_blank)
        for place, count in enumerate(answers[: len(tally.right)])
    ]
    if not shares:
        return (0.0,) * tally.num_samples
    return tuple(float(sum(at_k)) for at_k in zip(*shares, strict=True))[1:]


def _winning_shares(count: int, rivals: tuple[int, ...], num_blank: int) -> "Array":
    """By k from 0 to n: the share of subsets that an answer with `count` samples wins; a tie of j counts 1/j."""
    import numpy as np

    n = count + sum(rivals) + num_blank
    ways = np.zeros(n + 1)
    for votes in range(1, count + 1):
        harmless = num_blank + sum(rival for rival in rivals if rival < votes)
        draws = np.array([comb(harmless, drawn) for drawn in range(harmless + 1)], dtype=float)
        others = np.convolve(_not_above(votes, rivals), draws)
        ways[votes : votes + len(others)] += comb(count, votes) * others
    all_ways = np.array([comb(n, k) for k in range(n + 1)], dtype=float)
    return np.asarray(ways / all_ways)


def _not_above(votes: int, rivals: tuple[int, ...]) -> "Array":
    """By number drawn: the ways in which no rival gets more than `votes`, where j-1 that get as many count 1/j."""
    import numpy as np

    able = [rival for rival in rivals if rival >= votes]
    table = np.zeros((len(able) + 1, len(able) * votes + 1))
    table[0, 0] = 1
    for rival in able:  # the table's rows: rivals that tie; its columns: samples drawn
        grown = table.copy()
        for drawn in range(1, votes):
            grown[:, drawn:] += comb(rival, drawn) * table[:, :-drawn]
        grown[1:, votes:] += comb(rival, votes) * table[:-1, :-votes]
        table = grown
    return np.asarray((table / np.arange(1, len(able) + 2)[:, None]).sum(axis=0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In percent: `62.5% (53.1 to 71.2)`."""
        return f"{self.value:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def _repr_html_(self) -> str:
        return f"<b>{self.value:.1%}</b>, with 95 % confidence {100 * self.low:.1f} to {100 * self.high:.1f} %"


def wilson(score: float, count: int) -> Estimate:
    """The share `score` / `count` with Wilson's interval; `score` may hold fractions, as ties do.

    Raises:
        ValueError: there is nothing to count.
    """
    if count < 1 or not 0 <= score <= count:
        raise ValueError(f"{score} of {count} is no share; count at least one")
    z, share = NormalDist().inv_cdf(_TAILS[1]), score / count
    weight = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / weight
    reach = z * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5 / weight
    return Estimate(share, min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach)))


def vote_estimate(tallies: Sequence[Tally], k: int) -> Estimate:
    """maj@k in the mean over problems; of a problem with fewer than `k` samples all are taken.

    Raises:
        ValueError: there is no problem, or one without samples.
    """
    return _mean([maj_at_k(tally, k) for tally in tallies])


def pass_estimate(tallies: Sequence[Tally], k: int) -> Estimate:
    """pass@k in the mean over problems, otherwise as `vote_estimate`."""
    return _mean([pass_at_k(tally.num_samples, tally.num_right, min(k, tally.num_samples)) for tally in tallies])


def _mean(scores: Sequence[float]) -> Estimate:
    from scipy.special import stdtrit

    value, count = fmean(scores), len(scores)
    reach = float(stdtrit(count + 1, _TAILS[1])) * stdev([*scores, 0, 1]) / count**0.5
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better a first run is than a second, in the mean over the problems of both."""

    value: float
    low: float
    high: float
    chance_first_better: float
    """Share of the resamples in which the first is better; those in which they are equal count half."""
    num_differing: int
    """Problems on which the two aren't equal."""

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside the interval, and enough problems differ to say so.

        Five problems that all fall one way are what a coin does once in sixteen times, whatever a bootstrap says.
        """
        return self.num_differing >= _FEWEST_DIFFERING and not self.low <= 0 <= self.high


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The mean of `first` - `second`, one score a problem in both, with a bootstrap over problems.

    The scores are means over samples already, whose own noise differs from problem to problem and so is in the
    interval; drawing samples again would count it twice.

    Raises:
        ValueError: they aren't of the same problems, or of none.
    """
    import numpy as np

    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} scores are no pairs; give one of each run for each problem")
    gaps = np.subtract(first, second)
    chosen = np.random.default_rng(_SEED).integers(len(gaps), size=(_RESAMPLES, len(gaps)))
    means = gaps[chosen].mean(axis=1)
    low, high = np.quantile(means, _TAILS)
    return Difference(
        value=float(gaps.mean()),
        low=float(low),
        high=float(high),
        chance_first_better=float((means > _EQUAL).mean() + (abs(means) <= _EQUAL).mean() / 2),
        num_differing=int((abs(gaps) > _EQUAL).sum()),
    )
