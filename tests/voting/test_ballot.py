"""The ballot and the exact rule."""

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import VoteWeights
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Trajectory,
    Turn,
)
from numina_infer.voting.ballot import MILLI, Ballot, weigh

answers = st.integers(0, 6)
weights = st.integers(1, 5000)


def vote(value: int) -> ExtractedAnswer:
    """A stated integer."""
    return ExtractedAnswer(value)


def ballot_of(values: list[int]) -> Ballot:
    """A ballot with one plain vote for each value."""
    ballot = Ballot()
    for value in values:
        ballot = ballot.add(vote(value))
    return ballot


@given(st.lists(st.tuples(answers, weights), max_size=12), st.randoms())
def test_any_order_of_arrival_and_any_weights_give_the_same_winner(
    cast: list[tuple[int, int]], random: object
) -> None:
    """Integer sums don't depend on order, nor do ties."""
    shuffled = list(cast)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis types its Random as an object
    first, second = Ballot(), Ballot()
    for value, weight in cast:
        first = first.cast(value, weight)
    for value, weight in shuffled:
        second = second.cast(value, weight)
    assert (first.ranking, dict(first.votes)) == (second.ranking, dict(second.votes))


@given(st.lists(answers, min_size=1, max_size=12))
def test_the_winner_is_the_most_frequent_and_the_larger_of_equals(values: list[int]) -> None:
    """As counting by hand says."""
    assert ballot_of(values).winner == max(values, key=lambda value: (values.count(value), value))


@given(st.lists(st.one_of(st.none(), answers), min_size=1, max_size=14))
def test_the_winner_at_an_exact_stop_is_the_winner_of_the_full_horizon(endings: list[int | None]) -> None:
    """At the first moment at which the rule says decided, the leader is the final winner."""
    ballot = Ballot()
    for seen, value in enumerate(endings):
        if ballot.votes and ballot.is_decided((len(endings) - seen) * MILLI):
            final = ballot_of([v for v in endings if v is not None])
            assert ballot.winner == final.winner
            return
        ballot = ballot.add(vote(value) if value is not None else ExtractedAnswer(None, NoAnswer.NOT_STATED))


@given(st.lists(answers, min_size=1, max_size=6), st.integers(0, 4))
def test_the_exact_rule_stops_no_later_than_it_must(values: list[int], outstanding: int) -> None:
    """If it says undecided, some way to cast what is out changes the winner."""
    ballot = ballot_of(values)
    if ballot.is_decided(outstanding * MILLI):
        return
    unseen_and_larger = 99
    rivals = [*ballot.votes, unseen_and_larger]
    assert any(ballot.cast(rival, outstanding * MILLI).winner != ballot.winner for rival in rivals)


def test_ties_go_to_the_larger_answer_in_every_order() -> None:
    """The tie-break knows values, never arrivals."""
    assert {ballot_of(list(order)).winner for order in permutations([3, 3, 7, 7, 5])} == {7}


def test_answers_without_a_vote_are_counted_by_reason() -> None:
    """Nothing is dropped in silence."""
    ballot = Ballot().add(ExtractedAnswer(None, NoAnswer.NEGATIVE)).add(ExtractedAnswer(None, NoAnswer.NEGATIVE))
    ballot = ballot.add(ExtractedAnswer(None, NoAnswer.NOT_AN_INTEGER)).add(vote(3))
    assert ballot.invalid == {NoAnswer.NEGATIVE: 2, NoAnswer.NOT_AN_INTEGER: 1}
    assert ballot.votes == {3: MILLI}


def test_an_empty_ballot_has_no_winner_and_is_decided_only_when_nothing_is_out() -> None:
    """No votes is no answer, not answer 0."""
    assert Ballot().winner is None
    assert Ballot().is_decided(0)
    assert not Ballot().is_decided(1)


def test_the_ranking_lists_all_answers_winner_first() -> None:
    """Equal votes stand larger answer first."""
    assert ballot_of([1, 2, 2, 3]).ranking == ((2, 2 * MILLI), (3, MILLI), (1, MILLI))


@pytest.mark.parametrize("weight", [0, -1])
def test_a_vote_without_weight_is_refused(weight: int) -> None:
    """A weight of nothing would be a vote lost in silence."""
    with pytest.raises(ValueError, match="above 0"):
        Ballot().cast(1, weight)


def chance_by_enumeration(leading: int, following: int, neither: int, to_come: int, lead: int) -> Fraction:
    """Pólya's urn drawn out, vote by vote: to the leader, to the rival, to neither."""
    if to_come == 0:
        return Fraction(following >= leading + lead)
    total = leading + following + neither + 3

    def drawn(gain: int, *more: int) -> Fraction:
        first, second, third = (count + one for count, one in zip((leading, following, neither), more, strict=True))
        return Fraction(gain + 1, total) * chance_by_enumeration(first, second, third, to_come - 1, lead)

    return drawn(leading, 1, 0, 0) + drawn(following, 0, 1, 0) + drawn(neither, 0, 0, 1)


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 3), st.integers(0, 5), st.booleans())
def test_the_chance_of_change_is_that_of_drawing_vote_by_vote(
    one: int, other: int, invalid: int, to_come: int, wins_ties: bool
) -> None:
    """The closed form agrees with the tree of all ways, for the rival and for an answer that nobody has named."""
    leading, following = max(one, other), min(one, other)
    wins_ties &= leading > following
    leader, rival = (5, 9) if wins_ties else (9, 5)
    ballot = ballot_of([leader] * leading + [rival] * following)
    for _ in range(invalid):
        ballot = ballot.add(ExtractedAnswer(None, NoAnswer.NOT_STATED))
    unnamed = chance_by_enumeration(leading, 0, following + invalid, to_come, lead=0)
    named = chance_by_enumeration(leading, following, invalid, to_come, lead=0 if wins_ties else 1)
    expected = unnamed + (named if following else 0)
    assert ballot.chance_of_change(to_come * MILLI) == min(1, expected)


@given(st.lists(answers, min_size=1, max_size=12), st.integers(0, 12))
def test_what_the_exact_rule_decides_has_no_chance(values: list[int], outstanding: int) -> None:
    """So the predictive rule stops no later than the exact one, at any bound above zero."""
    ballot = ballot_of(values)
    assert ballot.is_decided(outstanding * MILLI) == (ballot.chance_of_change(outstanding * MILLI) == 0)


@given(st.lists(answers, min_size=1, max_size=9), st.integers(0, 20), st.floats(0.001, 0.999))
def test_the_bound_is_on_the_sum_of_all_rivals_chances(values: list[int], outstanding: int, epsilon: float) -> None:
    """Looking at the likeliest first only saves time."""
    ballot = ballot_of(values)
    is_below = ballot.chance_of_change(outstanding * MILLI) < epsilon
    assert ballot.changes_with_less(epsilon, outstanding * MILLI) == is_below


def test_fractions_of_votes_are_counted_against_the_winner() -> None:
    """Half a vote more for the runner-up counts as a whole one."""
    ballot = Ballot().cast(1, 3500).cast(2, 1200)
    unnamed = chance_by_enumeration(3, 0, 1, 2, lead=0)
    assert ballot.chance_of_change(1800) == chance_by_enumeration(3, 2, 0, 2, lead=0) + unnamed


def test_nobody_leads_an_empty_ballot() -> None:
    """Whatever comes changes it."""
    assert Ballot().chance_of_change(MILLI) == 1


def trajectory(value: int, *, outcome: Outcome = Outcome.FINISHED, printed: int | None = None) -> Trajectory:
    """A trajectory of 200 tokens at a mean log-probability of -0.5, with a program if that printed something."""
    written = Completion("", (), FinishReason.EOS, num_tokens=200, cumulative_logprob=-100.0)
    ran = None if printed is None else Execution(ExecutionStatus.OK, str(printed))
    turns = (Turn(written, "print()" if ran else None, ran),)
    return Trajectory("p", 0, turns, outcome, ExtractedAnswer(value), printed=printed)


@pytest.mark.parametrize(
    ("attempt", "weights", "milli"),
    [
        (trajectory(52), VoteWeights(), 1000),
        (trajectory(52), VoteWeights(no_code=0.8, unconfirmed=0.5), 800),
        (trajectory(52, printed=52), VoteWeights(no_code=0.8, unconfirmed=0.5), 1000),
        (trajectory(52, printed=7), VoteWeights(no_code=0.8, unconfirmed=0.5), 500),
        (trajectory(20), VoteWeights(suspicious=0.6), 600),
        (trajectory(700), VoteWeights(suspicious=0.6), 600),
        (trajectory(21), VoteWeights(suspicious=0.6), 1000),
        (trajectory(52), VoteWeights(length_tokens=50), 250),
        (trajectory(52), VoteWeights(length_tokens=400), 1000),
        (trajectory(52), VoteWeights(logprob=2.0), 368),
        (trajectory(52, outcome=Outcome.CUTOFF), VoteWeights(partial=0.5), 500),
        (trajectory(52, outcome=Outcome.CUTOFF), VoteWeights(partial=0), 0),
        (trajectory(52, outcome=Outcome.MAX_TOKENS), VoteWeights(partial=0), 1000),
        (trajectory(4), VoteWeights(suspicious=0.001, length_tokens=1, no_code=0.001), 1),
    ],
)
def test_a_vote_counts_what_the_weights_say(attempt: Trajectory, weights: VoteWeights, milli: int) -> None:
    """All are off by default; several are multiplied; a vote that counts at all counts at least a thousandth."""
    assert weigh(attempt, weights) == milli


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0, 1), st.integers(0, 500), st.floats(0, 9), st.booleans())
def test_no_vote_counts_more_than_a_plain_one(
    share: float, other: float, partial: float, length_tokens: int, logprob: float, is_cut: bool
) -> None:
    """Or what is still out could be worth more than the exact rule allows for."""
    weights = VoteWeights(share, other, share, partial, length_tokens, logprob)
    outcome = Outcome.CUTOFF if is_cut else Outcome.FINISHED
    assert 0 <= weigh(trajectory(100, outcome=outcome, printed=3), weights) <= MILLI
