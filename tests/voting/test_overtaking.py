"""How likely a rival overtakes: the exact chance, the bounds, and that a decision is always the exact one."""

import math
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.records import NoAnswer
from numina_infer.voting import overtaking as chance
from numina_infer.voting.ballot import MILLI, Ballot
from numina_infer.voting.overtaking import Race, chance_to_overtake, chances, is_below

THOUSANDS = 10_000
EARLY_AND_LATE = [
    (Race(2, 1, 1, THOUSANDS, 1), 1),
    (Race(12, 6, 12, THOUSANDS, 1), 1),
    (Race(60, 8, 32, THOUSANDS, 0), 1),
    (Race(300, 200, 500, THOUSANDS - 1000, 1), 1),
    (Race(1300, 1250, 2450, THOUSANDS - 5000, 0), 3),
]


def counted(race: Race) -> Fraction:
    """The chance by counting: all ways to cast the votes to come, and those that give the rival the lead."""
    leading, following, neither, to_come, lead = race
    ways = sum(
        comb(following + gained, gained) * comb(leading + kept, kept) * comb(neither + rest, rest)
        for gained in range(to_come + 1)
        for kept in range(to_come - gained + 1)
        if following + gained >= leading + kept + lead
        for rest in [to_come - gained - kept]
    )
    return Fraction(ways, comb(leading + following + neither + 2 + to_come, to_come))


@st.composite
def races(draw: st.DrawFn, most: int = 60) -> Race:
    """A rival that is at most one vote before the winner, as rounding may have it."""
    leading = draw(st.integers(0, 40))
    following = draw(st.integers(0, leading + 1))
    return Race(leading, following, draw(st.integers(0, 40)), draw(st.integers(0, most)), draw(st.integers(0, 1)))


@st.composite
def ballots(draw: st.DrawFn) -> Ballot:
    """Some answers with any votes, whole or not, and endings without."""
    whole = st.integers(1, 30).map(MILLI.__mul__)
    votes = draw(st.lists(st.one_of(whole, st.integers(1, 30 * MILLI)), min_size=1, max_size=6))
    answers = draw(st.permutations(range(len(votes))))
    return Ballot(dict(zip(answers, votes, strict=True)), {NoAnswer.NOT_STATED: draw(st.integers(0, 30))})


@given(races())
def test_the_exact_chance_is_that_of_counting_all_ways(race: Race) -> None:
    """A running sum of integers loses nothing."""
    assert chance_to_overtake(race) == counted(race)


@pytest.mark.parametrize("race", [Race(40, 14, 50, 300, 1), Race(9, 9, 0, 300, 0), Race(3, 4, 2, 299, 1)])
def test_the_exact_chance_of_a_long_horizon_is_that_of_counting(race: Race) -> None:
    """The same at three hundred votes to come."""
    assert chance_to_overtake(race) == counted(race)


def assert_enclosed(race: Race) -> None:
    """Whatever the number of points, the chance lies between the bounds, give or take the margin."""
    bounds, exact = chance._Bounds(0.5 * float(chance_to_overtake(race))), chance_to_overtake(race)
    for low, high in bounds.narrowing([(race, 1)]):
        assert low - race.margin <= exact <= high + race.margin


@given(races(most=300).filter(lambda race: race.to_come > chance._FEW))
def test_the_chance_lies_between_the_bounds(race: Race) -> None:
    """So what is clear of the margin is decided rightly."""
    assert_enclosed(race)


@pytest.mark.parametrize("race", [race for race, _ in EARLY_AND_LATE])
def test_the_chance_lies_between_the_bounds_at_ten_thousand(race: Race) -> None:
    """Where logarithms of factorials are large, and so are their errors."""
    assert_enclosed(race)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000), st.data())
def test_an_urns_tail_is_right_to_a_fraction_of_the_margin(
    wins: int, losses: int, draws: int, data: st.DataObject
) -> None:
    """Both ways to add it up are within what one probability is allowed."""
    most = data.draw(st.integers(0, draws - 1))
    ways = sum(comb(wins - 1 + won, won) * comb(losses - 1 + draws - won, draws - won) for won in range(most + 1))
    exact = Fraction(ways, comb(wins + losses - 1 + draws, draws))
    size = wins + losses + draws
    allowed = chance._ROUNDING * size * math.log(size)
    assert abs(Fraction(chance._at_most(most, draws, wins, losses)) - exact) <= allowed / 4


def near(exact: Fraction) -> list[float]:
    """Bounds on both sides of a chance: neighbours, parts in 10^12, and far ones."""
    at = float(exact)
    parts = [at * (1 + part * 1e-13) for part in (-9, -3, -1, 1, 3, 9)]
    bounds = [at, math.nextafter(at, 2), math.nextafter(at, 0), *parts, at * 0.99, at * 1.01, at / 2, at * 2]
    return [bound for bound in bounds if bound <= 1]


@given(ballots(), st.integers(0, 60), st.sampled_from([1e-300, 1e-15, 1e-9, 1e-6, 0.001, 0.01, 0.05, 0.5, 0.999]))
def test_a_decision_is_the_exact_one(ballot: Ballot, to_come: int, epsilon: float) -> None:
    """At any bound, and at those next to the chance; several rivals with as many votes count each."""
    exact = ballot.chance_of_change(to_come * MILLI)
    for bound in (epsilon, *near(exact)):
        assert ballot.changes_with_less(bound, to_come * MILLI) == (exact < bound)


@given(ballots(), st.integers(65, 300), st.floats(1e-12, 0.999))
def test_a_decision_of_a_long_horizon_is_the_exact_one(ballot: Ballot, to_come: int, epsilon: float) -> None:
    """The same where bounds are looked at first."""
    exact = ballot.chance_of_change(to_come * MILLI)
    for bound in (epsilon, *near(exact)):
        assert ballot.changes_with_less(bound, to_come * MILLI) == (exact < bound)


@pytest.mark.parametrize("race", EARLY_AND_LATE)
def test_a_decision_at_ten_thousand_is_the_exact_one(race: tuple[Race, int]) -> None:
    """Next to the chance, where it is large enough for a bound."""
    exact = sum(chances([race]), Fraction())
    assert [is_below([race], bound) for bound in near(exact)] == [exact < bound for bound in near(exact)]


def steps(pairs: list[tuple[Race, int]], epsilon: float) -> int:
    """How many times the bounds are narrowed until they tell."""
    bounds = chance._Bounds(epsilon)
    for step, (low, high) in enumerate(bounds.narrowing(pairs)):
        if low - bounds.margin >= epsilon or high + bounds.margin < epsilon:
            return step
    raise AssertionError("only the exact chances tell")


@pytest.mark.parametrize("epsilon", [0.05, 0.01, 0.001])
def test_a_decision_at_ten_thousand_takes_few_points(epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step is a tail of some hundred terms at most, an exact chance ten thousand sums of large integers."""
    monkeypatch.setattr(chance, "chance_to_overtake", None)
    assert max(steps([race], epsilon) for race in EARLY_AND_LATE) <= 64
    unnamed = [(Race(300, votes, 700 - votes, THOUSANDS - 1000, 1), 4) for votes in range(200, -1, -20)]
    assert steps(unnamed, epsilon) <= 128


@given(races(most=300).filter(lambda race: race.to_come > chance._FEW), st.sampled_from([0.97, 1.03]))
def test_bounds_tell_what_is_three_percent_off(race: Race, part: float) -> None:
    """The exact chance is for what is closer."""
    exact = float(chance_to_overtake(race))
    if exact > 1e-6:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chance, "chance_to_overtake", None)
            assert is_below([(race, 1)], exact * part) == (part > 1)
