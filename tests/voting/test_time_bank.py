"""The time bank: nothing passes the hard end, every later problem keeps its floor, saved time is carried on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import BankConfig, ContestConfig
from numina_infer.core.errors import ConfigError
from numina_infer.core.records import Bound
from numina_infer.voting.time_bank import FEWEST_LEFT, Bank

HOUR = 3600.0


def bank_of(num_problems: int | None = 50, problem_time_s: float = 1500.0, **bank: float) -> Bank:
    """A nine-hour bank that starts at 0."""
    config = BankConfig(num_problems=num_problems, **bank)
    return Bank(ContestConfig(problem_time_s=problem_time_s, bank=config), started_at=0.0)


def test_a_slice_is_a_quarter_more_than_the_fair_share() -> None:
    """Nine hours less the reserve of five minutes, over fifty."""
    cut, after = bank_of().cut(0.0)
    assert (cut.left_s, cut.num_left) == (32100.0, 50)
    assert (cut.seconds, cut.bound) == (802.5, Bound.SHARE)
    assert after.num_seen == 1


def test_saved_time_is_carried_on_up_to_the_most_of_one_problem() -> None:
    """Forty-nine problems took a second each: the last may take what any problem may."""
    bank = bank_of()
    for now in range(49):
        _, bank = bank.cut(float(now))
    cut, _ = bank.cut(49.0)
    assert (cut.num_left, cut.seconds, cut.bound) == (1, 1500.0, Bound.MOST)


def test_without_a_bank_every_problem_has_the_same_time() -> None:
    """No contest, no share."""
    cut, _ = Bank(ContestConfig(problem_time_s=77.0), started_at=0.0).cut(1e6)
    assert (cut.seconds, cut.bound, cut.left_s, cut.num_left) == (77.0, Bound.MOST, None, None)


def test_a_limit_of_one_reply_holds_with_its_grace() -> None:
    """The reply comes before the competition stops waiting, not at the same moment."""
    cut, _ = bank_of(predict_limit_s=120.0).cut(0.0)
    assert (cut.seconds + cut.grace_s, cut.bound) == (114.0, Bound.PREDICT_LIMIT)
    tight, _ = bank_of(predict_limit_s=8.0).cut(0.0)
    assert (round(tight.seconds, 6), tight.grace_s) == (5.6, 2.0)


def test_where_nobody_says_how_many_problems_come_fifty_do_and_then_a_few_more_for_ever() -> None:
    """The time left is never given away whole."""
    bank = bank_of(None)
    seen = []
    for _ in range(60):
        cut, bank = bank.cut(0.0)
        seen.append(cut.num_left)
    assert seen == [*range(50, FEWEST_LEFT, -1), *[FEWEST_LEFT] * 15]


def test_more_problems_than_announced_still_get_time() -> None:
    """As many are expected on as where nobody says."""
    _, bank = bank_of(1).cut(0.0)
    cut, _ = bank.cut(600.0)
    assert cut.num_left == FEWEST_LEFT
    assert cut.seconds > 0


def test_a_contest_that_is_over_gives_no_time() -> None:
    """The reply is the fallback, at once."""
    cut, _ = bank_of().cut(10 * HOUR)
    assert (cut.seconds, cut.grace_s, cut.left_s) == (0.0, 0.0, 0.0)


@given(
    limit_s=st.floats(1.0, 40_000.0),
    num_problems=st.integers(1, 80),
    is_told=st.booleans(),
    uses=st.lists(st.floats(0, 1), min_size=80, max_size=80),
    most_s=st.floats(1.0, 40_000.0),
    floor_s=st.floats(0, 500),
)
def test_whatever_problems_use_the_hard_end_holds_and_later_ones_keep_their_floor(
    limit_s: float, num_problems: int, is_told: bool, uses: list[float], most_s: float, floor_s: float
) -> None:
    """Each takes any part of its slice and of the grace beyond it."""
    told = BankConfig.of_limit(limit_s)
    bank_config = BankConfig(limit_s, num_problems if is_told else None, told.reserve_s, floor_s=floor_s)
    bank = Bank(ContestConfig(problem_time_s=most_s, bank=bank_config), started_at=0.0)
    end, now = limit_s - told.reserve_s, 0.0
    least = min(floor_s, end / (num_problems if is_told else 50) / 4, most_s)
    for number, use in enumerate(uses[:num_problems]):
        cut, bank = bank.cut(now)
        assert now + cut.seconds + cut.grace_s <= end * (1 + 1e-9)
        if is_told or number < 45:
            assert cut.seconds >= least * (1 - 1e-9)
        now += use * (cut.seconds + cut.grace_s)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"time_limit_s": 200.0}, "time_limit_s is 200; it must be above the reserve of 300 s"),
        ({"time_limit_s": 0.0}, "time_limit_s is 0.0"),
        ({"time_limit_s": float("inf")}, "time_limit_s is inf"),
        ({"num_problems": 0}, "num_problems is 0"),
        ({"floor_s": -1.0}, "floor_s is -1.0"),
        ({"predict_limit_s": 0.0}, "predict_limit_s is 0.0"),
        ({"most_of_fair_share": 0.0}, "most_of_fair_share is 0.0"),
    ],
)
def test_a_bank_that_cannot_be_is_refused(values: dict[str, float], message: str) -> None:
    """The error names the value."""
    with pytest.raises(ConfigError, match=message):
        BankConfig(**values)  # type: ignore[arg-type]
