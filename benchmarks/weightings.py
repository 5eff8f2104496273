"""Ways to weigh votes by what a run log knows of their trajectories.

Those of `config.VoteWeights` are as `vote.weigh` computes them, in thousandths of a plain vote. Beside them stand
simple ones that it hasn't: powers and ranks of the length within a vote, the shortest alone (short-m@k, arXiv
2505.17813), and a logistic model of being right. Each has one parameter, whose first value is a plain vote.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.pools import Floats, Pool

Drawn = Mapping[str, Floats]
"""Features of the samples that vote together: by name, subsets by samples."""
SHARES = (1.0, 0.8, 0.6, 0.45, 0.3, 0.15)
POWERS = (0.0, 0.5, 1.0, 2.0, 4.0)
LENGTHS = (0.0, *(float(125 * 2**doubled) for doubled in range(9)))
TIES = (0.0, 1e-4)
"""Too little to turn anything but a tie."""
MILLI = 1000


@dataclass(frozen=True, slots=True)
class Weighting:
    """Weights for votes, with a parameter to be chosen."""

    name: str
    needs: tuple[str, ...]
    """The features that it looks at."""
    grid: tuple[float, ...]
    """What the parameter may be; the first value is a plain vote."""
    weigh: Callable[[Drawn, float], Floats]
    """Weights, subsets by samples; only their ratios count."""

    def at(self, parameter: float) -> Callable[[Drawn], Floats]:
        """The weights with this parameter."""
        return lambda drawn: self.weigh(drawn, parameter)


def as_milli_votes(weights: Floats) -> Floats:
    """As the ballot counts them: whole thousandths, at least one."""
    rounded: Floats = np.maximum(1.0, np.rint(MILLI * weights)) / MILLI
    return rounded


def share_where(feature: str) -> Callable[[Drawn, float], Floats]:
    """A share of a vote where `feature` holds."""
    return lambda drawn, share: as_milli_votes(np.where(drawn[feature] > 0, share, 1.0))


def _beyond(tokens: Floats, length_tokens: float) -> Floats:
    return np.minimum(1.0, length_tokens / tokens) if length_tokens else np.ones_like(tokens)


def beyond_length(drawn: Drawn, length_tokens: float) -> Floats:
    """`VoteWeights.length_tokens`: inversely to the length beyond that; 0 is off."""
    return as_milli_votes(_beyond(drawn["tokens"], length_tokens))


def suspicious_or_long(drawn: Drawn, length_tokens: float) -> Floats:
    """`suspicious=0.6` and `length_tokens` together; 0 is neither."""
    if not length_tokens:
        return np.ones_like(drawn["tokens"])
    return as_milli_votes(np.where(drawn["suspicious"] > 0, 0.6, 1.0) * _beyond(drawn["tokens"], length_tokens))


def to_power(feature: str) -> Callable[[Drawn, float], Floats]:
    """The least of a vote has a whole one, others by the ratio to this power; of lengths, power 1 is `1/len`."""

    def weigh(drawn: Drawn, power: float) -> Floats:
        values = np.maximum(1.0, drawn[feature])
        weights: Floats = (values.min(axis=1, keepdims=True) / values) ** power
        return weights

    return weigh


def places(lengths: Floats) -> Floats:
    """From 0 for the shortest of a vote to just below 1 for the longest; equal lengths by their order."""
    order: Floats = lengths.argsort(axis=1, kind="stable").argsort(axis=1) / lengths.shape[1]
    return order


def by_place(drawn: Drawn, power: float) -> Floats:
    """By the rank of the length within a vote, to this power."""
    weights: Floats = (1.0 - places(drawn["tokens"])) ** power
    return weights


def shortest_alone(drawn: Drawn, share: float) -> Floats:
    """The shortest ones vote, so much of all."""
    return (places(drawn["tokens"]) < share).astype(float)


def by_reward(drawn: Drawn, power: float) -> Floats:
    """Exponential in the score of a reward model."""
    scores = drawn["reward"]
    weights: Floats = np.exp(power * (scores - scores.max(axis=1, keepdims=True)))
    return weights


WEIGHTINGS = (
    Weighting("`suspicious`", ("suspicious",), SHARES, share_where("suspicious")),
    Weighting("20 or less", ("small",), SHARES, share_where("small")),
    Weighting("stands in the statement", ("stated",), SHARES, share_where("stated")),
    Weighting("`no_code`", ("no_code",), SHARES, share_where("no_code")),
    Weighting("`length_tokens`", ("tokens",), LENGTHS, beyond_length),
    Weighting("`suspicious=0.6` and `length_tokens`", ("suspicious", "tokens"), LENGTHS, suspicious_or_long),
    Weighting("length to a power", ("tokens",), POWERS, to_power("tokens")),
    Weighting(
        "ties alone: not suspicious first", ("suspicious",), TIES, lambda drawn, tiny: 1 - tiny * drawn["suspicious"]
    ),
    Weighting("ties alone: shorter first", ("tokens",), TIES, lambda drawn, tiny: 1 - tiny * places(drawn["tokens"])),
    Weighting("rank of length to a power", ("tokens",), POWERS, by_place),
    Weighting("the shortest alone", ("tokens",), (1.0, 0.75, 0.5, 0.25), shortest_alone),
    Weighting("programs to a power", ("programs",), (0.0, 0.5, 1.0, 2.0, -0.5, -1.0), to_power("programs")),
    Weighting("reward model", ("reward",), (0.0, 0.25, 0.5, 1.0, 2.0, 4.0), by_reward),
)
FIXED = (("`suspicious`", 0.6), ("`suspicious`", 0.3), ("`no_code`", 0.8), ("length to a power", 1.0))
"""What was proposed before anything was measured here; nothing is chosen for these."""
ODDS_POWERS = (0.0, 0.25, 0.5, 1.0)

MODEL_FEATURES = ("suspicious", "stated", "no_code", "programs", "tokens")
"""What the logistic model looks at, as far as a source has it; lengths by their logarithm."""


def design(drawn: Drawn) -> Floats:
    """What the model looks at, subsets by samples by features.

    Each feature is less its mean over those that vote together: how hard a problem is doesn't say which of its samples
    is right.
    """
    columns = [np.log(drawn[name]) if name == "tokens" else drawn[name] for name in _known(drawn)]
    return np.stack([column - column.mean(axis=1, keepdims=True) for column in columns], axis=2)


def _known(features: Container[str]) -> list[str]:
    return [name for name in MODEL_FEATURES if name in features]


def model_features(pools: Sequence[Pool]) -> list[str]:
    """What the model looks at in these pools, in the order of its coefficients."""
    return _known(pools[0].features)


def fit(pools: Sequence[Pool], penalty: float = 1.0, num_steps: int = 12) -> Floats:
    """Logistic regression of being right on `design`, with the pool's own share right as a given; Newton's method.

    Only samples with a vote in mixed pools count. Half of `penalty` is what the sum of squared coefficients costs.
    """
    inputs, right, given = (np.concatenate(parts) for parts in zip(*map(_observed, pools), strict=True))
    slope = np.zeros(inputs.shape[1])
    for _ in range(num_steps):
        chance = 1 / (1 + np.exp(-(given + inputs @ slope)))
        downhill = inputs.T @ (right - chance) - penalty * slope
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + penalty * np.eye(len(slope))
        slope = slope + np.linalg.solve(curvature, downhill)
    return slope


def _observed(pool: Pool) -> tuple[Floats, Floats, Floats]:
    """A pool's design, what is right of it, and the log odds of being right; of a pool that isn't mixed, nothing."""
    votes = (pool.is_right | pool.is_wrong) & pool.is_mixed
    inputs = design({name: values[None] for name, values in pool.features.items()})[0][votes]
    num_right, num_wrong = max(1, int(pool.is_right.sum())), max(1, int(pool.is_wrong.sum()))
    return inputs, pool.is_right[votes].astype(float), np.full(len(inputs), np.log(num_right / num_wrong))


def by_odds(drawn: Drawn, slope: Floats, power: float) -> Floats:
    """The model's odds to a power, of which the best in a vote has 1."""
    score = power * (design(drawn) @ slope)
    weights: Floats = np.exp(score - score.max(axis=1, keepdims=True))
    return weights


def by_probability(drawn: Drawn, slope: Floats) -> Floats:
    """The model's chance of being right, where half of all samples were."""
    chances: Floats = 1 / (1 + np.exp(-(design(drawn) @ slope)))
    return chances
