"""The study of vote weights: problems stay together, subsets are those of the plain vote, weights are the ballot's."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paired_votes import (
    assign_folds,
    chance_lower,
    cross_validate,
    draw_subsets,
    estimate,
    pass_at,
    shares_right,
)
from benchmarks.pools import NO_VOTE, Pool, are_stated, make_pool, problem_of
from benchmarks.vote_weights import stop
from benchmarks.weighted_votes import Votes
from benchmarks.weightings import WEIGHTINGS, fit
from numina_infer.core.config import VoteWeights
from numina_infer.core.records import Completion, ExtractedAnswer, FinishReason, Outcome, Trajectory, Turn
from numina_infer.voting.ballot import MILLI, weigh

BY_NAME = {weighting.name: weighting for weighting in WEIGHTINGS}
answers_of_few = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=3, max_size=8)


def pool_of(
    answers: Sequence[int | None], reference: int = 1, tokens: Sequence[float] = (), problem: str = "p"
) -> Pool:
    """A pool with lengths, 1, 2, 3 and so on where none are given."""
    return make_pool(problem, reference, answers, {"tokens": tokens or range(1, len(answers) + 1)})


def share_by_hand(answers: Sequence[int | None], weights: Sequence[int], chosen: Sequence[int]) -> Fraction:
    """How much of one vote is for 1, by counting."""
    votes = Counter[int]()
    for at in chosen:
        answer = answers[at]
        if answer is not None:
            votes[answer] += weights[at]
    winners = [answer for answer, count in votes.items() if count == max(votes.values())]
    return Fraction(1 in winners, max(1, len(winners)))


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1), st.randoms())
def test_a_problem_is_in_one_fold_under_every_model(problems: list[str], chance: Random) -> None:
    """Whatever the order of the pools; and folds have equally many problems, but for one."""
    folds = dict(zip(problems, assign_folds(problems, 5), strict=True))
    assert [folds[problem] for problem in problems] == list(assign_folds(problems, 5))
    shuffled = list(problems)
    chance.shuffle(shuffled)
    assert dict(zip(shuffled, assign_folds(shuffled, 5), strict=True)) == folds
    sizes = Counter(folds.values())
    assert max(sizes.values()) - min(sizes[fold] for fold in range(5)) <= 1


def test_a_problem_without_a_text_is_the_same_under_every_model() -> None:
    """The contest and the number in it say which one it is."""
    rows = [{"source": f"repository aime2024 {model}", "id": f"aime2024-{model}-7"} for model in ("A-1", "B")]
    assert {problem_of(row) for row in rows} == {"aime2024 7"}
    assert problem_of({**rows[0], "problem": "What is 1?"}) == "What is 1?"


@given(answers_of_few, st.lists(st.integers(1, 3), min_size=8, max_size=8), st.integers(1, 3))
def test_accuracy_is_that_of_all_subsets(answers: list[int | None], weights: list[int], size: int) -> None:
    """As counted one by one, ties shared out."""
    chosen = draw_subsets(len(answers), size, 1000, np.random.default_rng(0))
    assert sorted(map(tuple, chosen)) == list(combinations(range(len(answers)), size))
    shares = shares_right(pool_of(answers), chosen, np.array(weights, dtype=float)[chosen])
    expected = [share_by_hand(answers, weights, subset) for subset in chosen]
    assert shares == pytest.approx([float(share) for share in expected])


@given(answers_of_few, st.integers(1, 3))
def test_no_vote_is_right_more_often_than_a_sample(answers: list[int | None], size: int) -> None:
    """The bound is the share of subsets that have a right one."""
    chosen = draw_subsets(len(answers), size, 1000, np.random.default_rng(0))
    pool = pool_of(answers)
    assert pass_at(pool, size) == pytest.approx(pool.is_right[chosen].any(axis=1).mean())
    assert shares_right(pool, chosen, np.ones(chosen.shape)).mean() <= pass_at(pool, size) + 1e-9


def test_random_subsets_come_near_all_of_them() -> None:
    """Where there are too many to take all, none has a sample twice, and their mean is that of all."""
    answers = [1, 1, 1, 2, 2, 3, 3, None, None, 4, 1, 2]
    every, some = (draw_subsets(12, 6, most, np.random.default_rng(0)) for most in (924, 900))
    assert (len(every), len(some)) == (924, 900)
    assert all(len(set(subset)) == 6 for subset in some)
    means = [shares_right(pool_of(answers), chosen, np.ones(chosen.shape)).mean() for chosen in (every, some)]
    assert means[0] == pytest.approx(means[1], abs=0.05)


def test_a_weighting_is_compared_on_the_subsets_of_the_plain_vote() -> None:
    """So one that changes no weight gains nothing at all, and another is computed on the very same subsets."""
    pools = [pool_of([1, 2, 2, 1, 3, 1, 2, 1], problem=name, tokens=[9, 1, 1, 9, 1, 9, 1, 9]) for name in "abc"]
    votes = Votes(pools, (3, 5), 10)
    assert (votes.weighted(lambda drawn: 0.5 + 0 * drawn["tokens"]) == votes.plain).all()
    table = votes.table(BY_NAME["length to a power"])
    assert (table[0] == votes.plain).all()
    assert (table[-1] < votes.plain).all()


@given(
    answers_of_few,
    st.sampled_from([each for each in WEIGHTINGS if {*each.needs} <= {"tokens", "suspicious", "small"}]),
)
def test_the_first_parameter_is_a_plain_vote(answers: list[int | None], weighting: object) -> None:
    """All weights are equal there, so that a choice may be to do nothing."""
    drawn = {name: values[None] for name, values in pool_of(answers).features.items()}
    for each in WEIGHTINGS:
        if drawn.keys() >= {*each.needs}:
            assert np.ptp(each.weigh(drawn, each.grid[0])) == 0


@given(
    st.integers(0, 1100), st.integers(1, 40_000), st.sampled_from([0.8, 0.6, 0.3]), st.sampled_from([125, 2000, 8000])
)
def test_weights_are_those_of_the_ballot(answer: int, tokens: int, share: float, length: int) -> None:
    """To the milli-vote, for those that the library has."""
    completion = Completion(text="", token_ids=(), finish_reason=FinishReason.EOS, num_tokens=tokens)
    trajectory = Trajectory("p", 0, (Turn(completion),), Outcome.FINISHED, ExtractedAnswer(answer))
    drawn = {name: values[None] for name, values in pool_of([answer], tokens=[tokens]).features.items()}
    for weighting, parameter, weights in (
        ("`suspicious`", share, VoteWeights(suspicious=share)),
        ("`length_tokens`", length, VoteWeights(length_tokens=length)),
        ("`suspicious=0.6` and `length_tokens`", length, VoteWeights(suspicious=0.6, length_tokens=length)),
    ):
        counted = BY_NAME[weighting].weigh(drawn, parameter)[0, 0]
        assert round(MILLI * counted) == weigh(trajectory, weights)


def test_a_parameter_is_chosen_on_other_problems() -> None:
    """One that is best on its own fold alone isn't chosen there."""
    table = np.zeros((3, 1, 4))
    table[1, 0, 2:] = 0.5
    table[2, 0, :2] = 1.0
    accuracies, chosen = cross_validate(table, np.array([0, 0, 1, 1]))
    assert chosen == [1, 2]
    assert not accuracies.any()


def test_a_model_is_fitted_on_other_problems() -> None:
    """What is recorded of a fold's own problems changes nothing in its model, and everything in the others'."""
    answers = [1, 2, 1, 2, 3, 1]
    pools = [pool_of(answers, problem=str(number)) for number in range(20)]
    changed = [pool_of(answers, problem="0", tokens=[1, 100, 1, 100, 100, 1]), *pools[1:]]
    before, after = Votes(pools, (3,), 10), Votes(changed, (3,), 10)
    own = int(before.folds[0])
    same = [bool(np.allclose(*slopes)) for slopes in zip(before.slopes, after.slopes, strict=True)]
    assert same == [fold == own for fold in range(10)]


def test_the_model_finds_what_tells_right_from_wrong_within_problems() -> None:
    """Short ones are right here, though the problem with the longer texts is the easier one."""
    easy = pool_of([1, 1, 1, 1, 2, 3], problem="easy", tokens=[90, 80, 95, 150, 200, 180])
    hard = pool_of([1, 2, 3, 4, 2, 3], problem="hard", tokens=[5, 9, 8, 9, 7, 9])
    suspicious, length = fit([easy, hard, pool_of([None] * 6)])
    assert length < -0.5
    assert suspicious == pytest.approx(0, abs=1e-9)


def test_intervals_are_of_problems_not_of_pools() -> None:
    """The same problem under ten models is one problem, so its gain alone gives no narrower interval."""
    gains = np.array([1.0] * 10 + [0.0] * 10)
    of_two = estimate(gains, ["a"] * 10 + ["b"] * 10, 1000)
    of_twenty = estimate(gains, [str(number) for number in range(20)], 1000)
    assert of_two.mean == of_twenty.mean == 0.5
    assert (of_two.low, of_two.high) == (0, 1)
    assert 0.2 < of_twenty.low < of_twenty.high < 0.8
    assert estimate(np.zeros(3), ["a", "b", "c"], 100).chance_above == 0.5


def test_a_feature_is_compared_within_a_problem() -> None:
    """Every right vote with every wrong one, equal values as half; samples without a vote stay out."""
    pool = pool_of([1, 1, 2, None], tokens=[1, 3, 3, 0])
    assert chance_lower(pool.features["tokens"], pool) == 0.75


def test_numbers_of_a_statement_stand_alone() -> None:
    """Digits within a longer number are none of it."""
    assert are_stated("Find 12 + x_{30}.", [12, 2, 30, 1, None]) == [True, False, True, False, False]


def test_a_pool_knows_right_from_wrong_from_no_vote() -> None:
    """A reference that nobody named is no vote that is right."""
    pool = pool_of([7, None, 1])
    assert (list(pool.votes), pool.right) == ([1, NO_VOTE, 0], 0)
    assert (list(pool.is_right), list(pool.is_wrong)) == ([False, False, True], [True, False, False])
    assert not pool_of([7, None, 8]).is_mixed
    assert not pool_of([7, None, 8]).is_right.any()


def test_weights_cost_samples() -> None:
    """Votes of less than one make the same lead smaller, so the stop rule waits longer for the same verdict."""
    pool, order = pool_of([1] * 48), np.arange(48)
    plain, lighter = (stop(pool, order, np.full(48, weight)) for weight in (1000, 300))
    assert plain[1:] == lighter[1:] == (True, True)
    assert plain[0] < lighter[0]
