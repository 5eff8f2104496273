"""How likely a rival overtakes: the exact chance, and that a decision is always the exact one."""

import math
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.records import NoAnswer
from numina_infer.voting.ballot import MILLI, Ballot, Race, chance_to_overtake


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


@given(ballots(), st.integers(65, 200), st.floats(1e-12, 0.999))
def test_a_decision_of_a_long_horizon_is_the_exact_one(ballot: Ballot, to_come: int, epsilon: float) -> None:
    """The same with larger integers."""
    exact = ballot.chance_of_change(to_come * MILLI)
    for bound in (epsilon, *near(exact)):
        assert ballot.changes_with_less(bound, to_come * MILLI) == (exact < bound)
