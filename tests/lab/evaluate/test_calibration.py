"""Calibration of the vote share, on tallies known and on recorded ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.lab.evaluate.calibration import calibrate, leads
from numina_infer.lab.evaluate.metrics import Tally
from tests.lab.evaluate.tallies import recorded, tallies, tally_of, vote_score


def test_problems_are_binned_by_the_winners_share() -> None:
    """Blanks are no votes; a problem without any is in no bin; a tie counts half."""
    some = [Tally((9,), (1,), 30), Tally((), (9, 1)), Tally((5,), (5,)), Tally((), (), 4), Tally((1,))]
    low, high = calibrate(some)
    assert (low.low, low.high, low.num_problems, low.right.value) == (0.4, 0.6, 1, 0.5)
    assert high.num_problems == 3
    assert high.right.value == pytest.approx(2 / 3)
    assert high.mean_share == pytest.approx((0.9 + 0.9 + 1) / 3)


@given(st.lists(tallies, min_size=1, max_size=10))
def test_every_problem_with_a_vote_is_in_one_bin(some: list[Tally]) -> None:
    """Whatever its share."""
    assert sum(one.num_problems for one in calibrate(some)) == sum(tally.leader_votes > 0 for tally in some)


def test_leads_of_a_sure_thing_and_of_a_coin() -> None:
    """Eight of eight are always right; of two equal answers the leader is right as often as not."""
    sure = leads([Tally((8,))])
    assert [(one.votes, one.share_of_votes, one.share_right) for one in sure] == [(8, 1.0, 1.0)]
    coin = leads([Tally((200,), (200,))] * 20)
    assert sum(one.share_of_votes for one in coin) == pytest.approx(1)
    assert all(one.share_right == pytest.approx(0.5, abs=0.1) for one in coin if one.share_of_votes > 0.1)


def test_problems_with_too_few_samples_say_nothing_of_leads() -> None:
    """Nor does a problem without votes."""
    assert leads([Tally((3,), (4,))]) == ()
    assert leads([Tally((), (), 9)]) == ()


def test_recorded_leads_agree_with_permutations_drawn_apart(shared_data: Path) -> None:
    """300 recorded lists: eight of eight votes are right in more than nine of ten, two in fewer than half."""
    draws = np.random.default_rng(11)
    rows = list(recorded(shared_data / "votes" / "boinf_aime.jsonl"))
    seen: dict[int, list[float]] = {}
    for row in rows:
        answers = np.array(row["answers"])
        for _ in range(30):
            subset = list(draws.permutation(answers)[:8])
            seen.setdefault(max(Counter(subset).values()), []).append(vote_score(subset, [row["reference"]]))
    found = {
        one.votes: one.share_right for one in leads([tally_of(row["answers"], [row["reference"]]) for row in rows])
    }
    for votes, scores in seen.items():
        assert found[votes] == pytest.approx(np.mean(scores), abs=5 * 0.5 / len(scores) ** 0.5 + 0.01)
    assert found[8] > 0.9
    assert found[2] < 0.5
