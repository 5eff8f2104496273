"""The rules that stopping is measured by: each stops where its authors say, and all see the same samples."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stopping import (
    ALL,
    HORIZON,
    RULES,
    Draw,
    Recorded,
    Row,
    agreeing_window,
    draws,
    equal_votes,
    most_equal,
    replay,
    second_place,
    verdict,
    watch,
)

answers_of_48 = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=HORIZON, max_size=HORIZON)
SPREAD = [*range(100, 100 + HORIZON)]
"""48 answers that agree on nothing."""


def stops_at(name: str, answers: Sequence[int | None]) -> int:
    """After how many of `answers`, filled up to the horizon, the rule `name` stops."""
    rule = RULES[name]
    filled = [*answers, *SPREAD][: rule.num_started]
    return verdict(watch(filled), rule)[1]


@pytest.mark.parametrize(
    ("answers", "ended"),
    [
        ([1, 1, 1, 1], 4),
        ([1, 2, 1, 1, 1], 5),
        ([2, 1, 1, None, 1, 1], 6),
        ([1, 1, 2, 3, 1, 4, 1], 15),
        ([1, 1, 2, 3, 1, 1, 1], 7),
        ([1, 1, 2, 3, 1, 1, 4, 5, 1], 15),
        ([1, 1, 2, 1, 3, 1, 4, 1, 1], 9),
        ([2, 3, 1, 1, 4, 1, 1], 7),
    ],
)
def test_second_place_stops_as_described(answers: list[int | None], ended: int) -> None:
    """Four of the first four, four of five in a row, five of seven, six of nine; else after its fifteen."""
    assert stops_at("AIMO-2, second place", answers) == ended


def test_six_of_nine_needs_no_run_of_five() -> None:
    """Six votes that never fill four places of five, and five of them too late for the first seven."""
    seen = watch([1, 2, 1, 1, 3, 4, 1, 1, 1])
    assert [second_place(one) for one in seen] == [False] * 8 + [True]
    assert most_equal([3, 4, 1, 1, 1]) == 3


def test_old_votes_are_no_votes_among_the_first() -> None:
    """Five equal among the first ten are too late for five of seven, and six of ten for six of nine."""
    assert not second_place(watch([1, 2, 1, 3, 1, 4, 1, 5, 1, 6])[-1])
    assert not equal_votes(6, 9)(watch([1, 2, 1, 3, 1, 4, 1, 5, 1, 1])[-1])


@pytest.mark.parametrize(
    ("answers", "ended"),
    [([7] * 4, 4), ([7, None, 7, 8, 7, 8, 7], 7), ([1, 1, 1, 2, 2, 2, 3, 3, 1], 8), ([None] * 8, 8)],
)
def test_the_public_notebook_has_eight_samples_and_four_votes(answers: list[int | None], ended: int) -> None:
    """Samples without a vote use up its eight."""
    assert stops_at("AIMO-3, public notebook", answers) == ended


def test_ten_of_twelve_waits_for_the_shortest_ten_of_its_own() -> None:
    """By length it is the two longest of the first twelve that are left out, not 38 of all 48."""
    tokens = tuple(range(HORIZON, 0, -1))
    draw = Draw(Recorded(0, tuple(range(HORIZON)), tokens), tuple(range(HORIZON)), by_length=True)
    seen = draw.watch(12)
    assert verdict(seen, RULES["NeMo-Skills, ten of 12"])[1] == 10
    assert list(seen[9].answers) == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]


@pytest.mark.parametrize(
    ("answers", "ended"),
    [
        ([1] * 5, 5),
        ([2, *[1] * 9], 10),
        ([2, *[1] * 8, 2], 48),
        ([1, 1, 1, 1, None, *[None] * 5], 48),
    ],
)
def test_windows_do_not_overlap_and_need_five_votes(answers: list[int | None], ended: int) -> None:
    """Five in a row across two windows aren't enough, nor are five samples without a vote."""
    assert stops_at("ESC, windows of five", answers) == ended


@given(answers_of_48)
def test_the_exact_rule_gives_the_verdict_of_all(answers: list[int | None]) -> None:
    """Whatever the votes and their order."""
    seen = watch(answers)
    assert verdict(seen, RULES["exact"])[0] == verdict(seen, RULES[ALL])[0]


@given(answers_of_48, st.sampled_from(sorted(RULES)))
def test_no_rule_sees_more_than_was_started(answers: list[int | None], name: str) -> None:
    """And each stops at the first ending at which it is over."""
    rule = RULES[name]
    seen = watch(answers[: rule.num_started])
    _, ended = verdict(seen, rule)
    assert 1 <= ended <= rule.num_started
    assert not any(map(rule.is_over, seen[: ended - 1]))
    assert rule.is_over(seen[ended - 1]) or ended == rule.num_started


@given(answers_of_48)
def test_what_is_seen_only_grows(answers: list[int | None]) -> None:
    """Each ending adds one sample, and a vote where it has one."""
    for num_ended, seen in enumerate(watch(answers), start=1):
        assert list(seen.answers) == answers[:num_ended]
        assert sum(seen.ballot.votes.values()) == 1000 * sum(answer is not None for answer in seen.answers)
        assert seen.most_votes == most_equal(seen.answers)


def test_draws_repeat_and_take_no_sample_twice() -> None:
    """The same seed gives the same orders, so that rules are compared on the same ones."""
    recorded = Recorded(1, tuple(range(80)), tuple(range(80)))
    first, second = (list(draws(recorded, 3, by_length=False, seed=5)) for _ in range(2))
    assert first == second
    assert all(len(set(draw.chosen)) == HORIZON for draw in first)
    assert first[0].chosen != first[1].chosen


def test_by_length_the_short_ones_come_first() -> None:
    """Among those that were started."""
    recorded = Recorded(1, tuple(range(80)), tuple(range(80)))
    (draw,) = draws(recorded, 1, by_length=True, seed=5)
    assert list(draw.watch(HORIZON)[-1].answers) == sorted(draw.chosen)
    assert list(draw.watch(12)[-1].answers) == sorted(draw.chosen[:12])


def test_a_replay_counts_every_rule_once_in_every_table() -> None:
    """All 48 are the yardstick: always their own verdict, and right where that is the reference."""
    draw = Draw(Recorded(7, (7,) * HORIZON, (1,) * HORIZON), tuple(range(HORIZON)), by_length=False)
    tables = [{name: Row() for name in RULES} for _ in range(2)]
    replay(draw, tables)
    assert tables[0] == tables[1]
    assert {row.runs for row in tables[0].values()} == {1}
    assert tables[0][ALL].figures == (100, HORIZON, 100)
    assert tables[0]["exact"].figures == (100, 25, 100)


def test_a_window_is_over_only_when_it_is_full() -> None:
    """Four equal samples are no window."""
    assert not agreeing_window(watch([1] * 4)[-1])
    assert agreeing_window(watch([1] * 5)[-1])
