"""Calibration of the vote share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.lab.evaluate.frames import calibration
from numina_infer.lab.evaluate.metrics import Tally
from tests.lab.evaluate.tallies import tallies


def test_problems_are_binned_by_the_winners_share() -> None:
    """Blanks are no votes; a problem without any is in no bin; a tie counts half."""
    some = [Tally((9,), (1,), 30), Tally((), (9, 1)), Tally((5,), (5,)), Tally((), (), 4), Tally((1,))]
    low, high = calibration(some)
    assert [low[name] for name in ("low", "high", "num_problems", "right")] == [0.4, 0.6, 1, 0.5]
    assert high["num_problems"] == 3
    assert high["right"] == pytest.approx(2 / 3)
    assert high["mean_share"] == pytest.approx((0.9 + 0.9 + 1) / 3)


@given(st.lists(tallies, min_size=1, max_size=10))
def test_every_problem_with_a_vote_is_in_one_bin(some: list[Tally]) -> None:
    """Whatever its share."""
    assert sum(row["num_problems"] for row in calibration(some)) == sum(tally.leader_votes > 0 for tally in some)
