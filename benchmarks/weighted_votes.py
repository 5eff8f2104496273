"""Many votes among the samples of many pools, drawn once, so that all weightings are compared on the same ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from benchmarks.paired_votes import assign_folds, cross_validate, draw_subsets, shares_right
from benchmarks.pools import Flags, Floats, Integers, Pool
from benchmarks.weightings import ODDS_POWERS, Drawn, Weighting, by_odds, by_probability, fit

NUM_FOLDS = 10
Weigh = Callable[[Drawn], Floats]


@dataclass(frozen=True)
class Votes:
    """Subsets of the samples of each pool, the same for all that is compared."""

    pools: Sequence[Pool]
    sizes: tuple[int, ...]
    num_subsets: int

    @cached_property
    def chosen(self) -> list[list[Integers]]:
        """Subsets by pool and size."""
        chance = np.random.default_rng(0)
        return [
            [draw_subsets(pool.num_samples, size, self.num_subsets, chance) for size in self.sizes]
            for pool in self.pools
        ]

    @cached_property
    def problems(self) -> list[str]:
        """Whose each pool is."""
        return [pool.problem for pool in self.pools]

    @cached_property
    def folds(self) -> Integers:
        """The fold of each pool."""
        return assign_folds(self.problems, NUM_FOLDS)

    @cached_property
    def plain(self) -> Floats:
        """Accuracies of plain votes, sizes by pools."""
        return self.weighted(lambda drawn: np.ones_like(drawn["suspicious"]))

    def weighted(self, weigh: Weigh, at: Flags | None = None) -> Floats:
        """Accuracies of weighted votes, sizes by pools; where only some pools are asked for, zeros for the others."""
        accuracies = np.zeros((len(self.sizes), len(self.pools)))
        for place, (pool, by_size) in enumerate(zip(self.pools, self.chosen, strict=True)):
            for row, chosen in enumerate(by_size if at is None or at[place] else ()):
                drawn = {name: values[chosen] for name, values in pool.features.items()}
                accuracies[row, place] = shares_right(pool, chosen, weigh(drawn)).mean()
        return accuracies

    def table(self, weighting: Weighting) -> Floats:
        """Accuracies, parameters by sizes by pools."""
        others = [self.weighted(weighting.at(parameter)) for parameter in weighting.grid[1:]]
        return np.stack([self.plain, *others])

    @cached_property
    def slopes(self) -> list[Floats]:
        """By fold, the logistic model that was fitted on all others."""
        pairs = list(zip(self.pools, self.folds, strict=True))
        return [fit([pool for pool, own in pairs if own != fold]) for fold in range(NUM_FOLDS)]

    def by_odds(self) -> tuple[Floats, list[float]]:
        """Accuracies by the model's odds, and the power of them that each fold chose, both without its problems."""
        held_out, powers = np.zeros_like(self.plain), list[float]()
        for fold, slope in enumerate(self.slopes):
            rows = [self.weighted(partial(by_odds, slope=slope, power=power)) for power in ODDS_POWERS]
            best, (at, *_) = cross_validate(np.stack(rows), np.where(self.folds == fold, 0, 1))
            held_out[:, self.folds == fold] = best[:, self.folds == fold]
            powers.append(ODDS_POWERS[at])
        return held_out, powers

    def by_probability(self) -> Floats:
        """Accuracies by the model's probabilities."""
        own = [
            self.weighted(partial(by_probability, slope=slope), self.folds == fold)
            for fold, slope in enumerate(self.slopes)
        ]
        accuracies: Floats = np.sum(own, axis=0)
        return accuracies
