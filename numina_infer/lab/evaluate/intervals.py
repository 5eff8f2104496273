"""Intervals for accuracies, and for the difference of two runs, all seeded.

A plain accuracy has Wilson's interval (1927): with few problems the normal approximation is too narrow and leaves the
range from 0 to 1 (arXiv 2503.01747).
Other means over problems have a bootstrap of two levels: problems are drawn with replacement, since others might have
been asked, then samples within each, since the model might have written others. The percentile interval is moved so
that its middle is the unbiased estimate. Ten problems that are all right prove no certainty, so one right and one
wrong problem are added to those drawn from: Agresti's and Coull's remedy (1998).
Two runs are compared in pairs on the same problems, so that the difficulty of problems, which both share, cancels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from numina_infer.lab.evaluate.metrics import Tally, majority_curve, pass_at_k, vote_scores

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

LEVEL = 0.95
"""How often an interval holds the true figure."""
_SEED = 0
_RESAMPLES = 2000
_WITHIN = 500
"""Resamples within a problem; each resample of problems takes one of them."""
_MOST_DRAWN = 2**13
"""Counts of answers drawn for one resample of one problem at most; this limit makes intervals a little wider."""
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


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


def vote_estimate(tallies: Sequence[Tally], k: int, *, seed: int = _SEED) -> Estimate:
    """maj@k in the mean over problems; of a problem with fewer than `k` samples all are taken.

    Raises:
        ValueError: there is no problem, or one without samples.
    """
    values = [majority_curve(tally)[_most(tally, k) - 1] for tally in tallies]
    return _two_levels(values, tallies, k, _pass_means if k == 1 else _vote_means, seed)


def pass_estimate(tallies: Sequence[Tally], k: int, *, seed: int = _SEED) -> Estimate:
    """pass@k in the mean over problems, otherwise as `vote_estimate`."""
    values = [pass_at_k(tally.num_samples, tally.num_right, _most(tally, k)) for tally in tallies]
    return _two_levels(values, tallies, k, _pass_means, seed)


def _most(tally: Tally, k: int) -> int:
    return min(tally.num_samples, k)


_Means = Callable[[Tally, int, "np.random.Generator"], "Array"]
"""From a tally and a k: the score of n new samples of the problem, drawn `_WITHIN` times."""


def _two_levels(values: Sequence[float], tallies: Sequence[Tally], k: int, draw_means: _Means, seed: int) -> Estimate:
    import numpy as np

    draws = np.random.default_rng([seed, k])
    within = [draw_means(tally, _most(tally, k), draws) for tally in tallies]
    imagined = [np.zeros(_WITHIN), np.ones(_WITHIN)]
    scores = np.array([*within, *imagined])
    problems = draws.integers(len(scores), size=(_RESAMPLES, len(tallies)))
    # One problem that is drawn twice has other samples each time.
    means = scores[problems, draws.integers(_WITHIN, size=problems.shape)].mean(axis=1)
    value = float(np.mean(values))
    low, high = np.quantile(means - means.mean(), _TAILS)
    return Estimate(value, max(0.0, value + min(0.0, float(low))), min(1.0, value + max(0.0, float(high))))


def _vote_means(tally: Tally, k: int, draws: "np.random.Generator") -> "Array":
    """The mean score of n // k votes of `k` samples, up to `_MOST_DRAWN` counts.

    The estimate averages over all subsets of k, which varies a little less.
    """
    import numpy as np

    if not tally.right:
        return np.zeros(_WITHIN)
    shares = np.array([*tally.right, *tally.wrong, tally.num_blank]) / tally.num_samples
    num_votes = max(1, min(tally.num_samples // k, _MOST_DRAWN // len(shares)))
    votes = draws.multinomial(k, shares, size=(_WITHIN, num_votes))[..., :-1]
    return np.asarray(vote_scores(votes, len(tally.right)).mean(axis=-1))


def _pass_means(tally: Tally, k: int, draws: "np.random.Generator") -> "Array":
    """The same for pass@k: whether one of k is right."""
    import numpy as np

    num_groups = tally.num_samples // k
    return np.asarray(draws.binomial(num_groups, 1 - (1 - tally.share_right) ** k, size=_WITHIN) / num_groups)


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


_FEWEST_DIFFERING = 6


def paired_difference(first: Sequence[float], second: Sequence[float], *, seed: int = _SEED) -> Difference:
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
    chosen = np.random.default_rng(seed).integers(len(gaps), size=(_RESAMPLES, len(gaps)))
    means = gaps[chosen].mean(axis=1)
    low, high = np.quantile(means, _TAILS)
    return Difference(
        value=float(gaps.mean()),
        low=float(low),
        high=float(high),
        chance_first_better=float((means > _EQUAL).mean() + (abs(means) <= _EQUAL).mean() / 2),
        num_differing=int((abs(gaps) > _EQUAL).sum()),
    )


_EQUAL = 1e-9
"""Scores that differ by less count as equal."""
