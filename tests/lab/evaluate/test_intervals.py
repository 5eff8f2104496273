"""Intervals: that they hold what they should as often as they say, and stay where they must."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.lab.evaluate.metrics import (
    Difference,
    Estimate,
    Tally,
    majority_curve,
    paired_difference,
    pass_estimate,
    vote_estimate,
    wilson,
)
from tests.examples import costly
from tests.lab.evaluate.tallies import tallies


def test_wilson_is_the_interval_of_its_tables() -> None:
    """29 of 50, a leaderboard's best: computed by the published formula, 0.4423 to 0.7062."""
    estimate = wilson(29, 50)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.58, 0.4423, 0.7062), abs=1e-4)


@given(st.integers(1, 300), st.floats(0, 1))
def test_wilson_holds_its_share_and_stays_between_0_and_1(count: int, share: float) -> None:
    """Also at the ends, where a normal interval has no width or leaves the range."""
    estimate = wilson(share * count, count)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high - estimate.low > 0


@pytest.mark.parametrize(("score", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_nothing_is_refused(score: int, count: int) -> None:
    """There is no accuracy without problems."""
    with pytest.raises(ValueError, match="no share"):
        wilson(score, count)


@costly(30)
@given(st.lists(tallies, min_size=1, max_size=8), st.integers(1, 60), st.sampled_from([vote_estimate, pass_estimate]))
def test_an_estimate_lies_within_its_interval(some: list[Tally], k: int, estimate: Callable[..., Estimate]) -> None:
    """Between 0 and 1, with a width, and twice the same."""
    first = estimate(some, k)
    assert 0 <= first.low <= first.value <= first.high <= 1
    assert first.low < first.high
    assert first == estimate(some, k)


@pytest.mark.parametrize("k", [1, 4, 12])
def test_the_interval_holds_the_true_vote_about_as_often_as_it_says(k: int) -> None:
    """150 runs of 40 problems with 12 samples, drawn from one law: in 90 % at least, and as wide as they vary."""
    draws = np.random.default_rng(3)
    estimates = [vote_estimate([_drawn_problem(draws) for _ in range(40)], k) for _ in range(150)]
    truth = float(np.mean([estimate.value for estimate in estimates]))
    assert np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]) >= 0.9
    spread = float(np.std([estimate.value for estimate in estimates]))
    width = float(np.mean([estimate.high - estimate.low for estimate in estimates]))
    assert width == pytest.approx(2 * 1.96 * spread, rel=0.3)


def _drawn_problem(draws: np.random.Generator) -> Tally:
    num_right = int(draws.binomial(12, draws.beta(0.8, 0.8)))
    return Tally((num_right,) if num_right else (), (12 - num_right,) if num_right < 12 else ())


def test_more_problems_make_a_narrower_interval() -> None:
    """By the root of their number, about."""
    few = [Tally((6,), (6,), 0), Tally((3,), (9,)), Tally((10,), (2,)), Tally((), (12,))] * 5
    narrow, wide = vote_estimate(few * 4, 4), vote_estimate(few, 4)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2, rel=0.25)


def test_equal_runs_cannot_be_told_apart() -> None:
    """Nor can two that differ on five problems, all one way."""
    same = paired_difference([0.5] * 50, [0.5] * 50)
    assert (same.value, same.low, same.high, same.chance_first_better) == (0, 0, 0, 0.5)
    assert not same.is_clear
    five = paired_difference([1.0] * 5, [0.0] * 5)
    assert (five.value, five.chance_first_better, five.is_clear) == (1.0, 1.0, False)


def test_pairs_tell_apart_what_two_intervals_cannot() -> None:
    """Half the problems are hard for both runs; on the rest the first is always a little better."""
    hard = [0.0] * 50
    first, second = [*hard, *[0.9] * 50], [*hard, *[0.8] * 50]
    difference = paired_difference(first, second)
    assert difference.is_clear
    assert difference.value == pytest.approx(0.05)
    assert difference.chance_first_better == 1.0
    assert wilson(sum(first), 100).low < wilson(sum(second), 100).high


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_changing_sides_changes_the_sign(pairs: list[tuple[float, float]]) -> None:
    """And the chance of the one is what the other lacks to 1."""
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert isinstance(one, Difference)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.chance_first_better == pytest.approx(1 - other.chance_first_better)
    assert one.is_clear == other.is_clear


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], [])])
def test_scores_of_other_problems_are_no_pairs(first: list[float], second: list[float]) -> None:
    """Nothing is matched by chance."""
    with pytest.raises(ValueError, match="no pairs"):
        paired_difference(first, second)


def test_the_estimate_is_the_mean_of_the_exact_figures() -> None:
    """Whatever was drawn for its interval."""
    some = [Tally((5,), (4,), 3), Tally((1,), (4,), 3), Tally((), (), 2)]
    expected = [majority_curve(some[0])[5], majority_curve(some[1])[5], 0.0]
    assert vote_estimate(some, 6).value == pytest.approx(np.mean(expected))
