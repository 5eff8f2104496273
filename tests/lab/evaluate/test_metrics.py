"""maj@k and pass@k against every subset listed, and against recorded samples drawn at random."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.lab.evaluate.metrics import MOST_SAMPLES, Tally, maj_at_k, majority_curve, pass_at_k
from tests.lab.evaluate.tallies import BLANK, RIGHT, recorded, tallies, tally_of, vote_score

samples_of_a_problem = st.lists(st.sampled_from([*RIGHT, "a", "b", "c", BLANK]), min_size=1, max_size=9)


@given(samples_of_a_problem)
def test_maj_at_k_is_the_mean_over_all_subsets(samples: list[str | None]) -> None:
    """For every k, with ties, blanks and two accepted answers."""
    listed = [
        float(np.mean([vote_score(subset) for subset in combinations(samples, k)])) for k in range(1, len(samples) + 1)
    ]
    assert majority_curve(tally_of(samples)) == pytest.approx(listed, abs=1e-12)


def pass_curve(tally: Tally) -> tuple[float, ...]:
    """pass@1 to pass@n."""
    n, c = tally.num_samples, tally.num_right
    return tuple(pass_at_k(n, c, k) for k in range(1, n + 1))


@given(samples_of_a_problem)
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(samples: list[str | None]) -> None:
    """For every k."""
    listed = [
        float(np.mean([any(sample in RIGHT for sample in subset) for subset in combinations(samples, k)]))
        for k in range(1, len(samples) + 1)
    ]
    assert pass_curve(tally_of(samples)) == pytest.approx(listed, abs=1e-12)


@given(tallies)
def test_the_curves_agree_where_they_must(tally: Tally) -> None:
    """At 1 both are the share of right samples, at n the whole vote, and a vote never beats the best sample."""
    votes, passes = majority_curve(tally), pass_curve(tally)
    assert votes[0] == pytest.approx(tally.num_right / tally.num_samples)
    assert passes[0] == pytest.approx(tally.num_right / tally.num_samples)
    assert votes[-1] == pytest.approx(tally.score)
    assert passes[-1] == (tally.num_right > 0)
    assert all(vote <= passed + 1e-12 for vote, passed in zip(votes, passes, strict=True))
    assert all(0 <= vote <= 1 + 1e-12 for vote in votes)


@given(tallies)
def test_relabelling_and_order_change_nothing(tally: Tally) -> None:
    """Only how often each answer came counts."""
    assert majority_curve(tally) == majority_curve(Tally(tally.right[::-1], tally.wrong[::-1], tally.num_blank))


def test_a_large_tally_is_as_exact_as_a_small_one() -> None:
    """Two answers with as many samples share every vote, up to the largest n."""
    half = MOST_SAMPLES // 2
    assert majority_curve(Tally((half,), (half,))) == pytest.approx([0.5] * MOST_SAMPLES, abs=1e-10)


@pytest.mark.parametrize(
    ("right", "wrong", "num_blank"), [((0,), (), 0), ((), (3, -1), 0), ((1,), (), -1), ((MOST_SAMPLES,), (1,), 0)]
)
def test_what_is_no_tally_is_refused(right: tuple[int, ...], wrong: tuple[int, ...], num_blank: int) -> None:
    """Counts begin at one, and have an end."""
    with pytest.raises(ValueError):
        Tally(right, wrong, num_blank)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 2, 0), (4, 2, 5), (4, 5, 2), (4, -1, 2), (0, 0, 1)])
def test_an_impossible_k_is_refused(n: int, c: int, k: int) -> None:
    """Rather than answered with something."""
    with pytest.raises(ValueError, match="give 1 <= k <= n"):
        pass_at_k(n, c, k)
    with pytest.raises(ValueError, match="1 at least"):
        maj_at_k(Tally((2,), (2,)), 0)


@pytest.mark.parametrize("k", [8, 16, 48])
def test_recorded_votes_agree_with_subsets_drawn_at_random(shared_data: Path, k: int) -> None:
    """300 lists of 80 to 100 samples; the mean over problems is held to four standard errors of the drawing."""
    draws = np.random.default_rng(7)
    exact, drawn, variance = [], [], 0.0
    for row in recorded(shared_data / "votes" / "boinf_aime.jsonl"):
        answers, right = np.array(row["answers"]), [row["reference"]]
        scores = [vote_score(list(draws.permutation(answers)[:k]), right) for _ in range(20)]
        exact.append(majority_curve(tally_of(row["answers"], right))[k - 1])
        drawn.append(float(np.mean(scores)))
        variance += float(np.var(scores)) / len(scores)
    error = variance**0.5 / len(exact)
    assert float(np.mean(exact)) == pytest.approx(float(np.mean(drawn)), abs=4 * error)
    assert error < 0.003


def test_recorded_grades_agree_with_counts_by_hand(shared_data: Path) -> None:
    """Of 38 MATH problems with 8 graded samples each: the mean, the vote of all, and one right of all."""
    rows = list(recorded(shared_data / "votes" / "qwen_math100x8.jsonl"))
    tallies = []
    for row in rows:
        right = {answer for answer, is_right in zip(row["answers"], row["recorded_correct"], strict=True) if is_right}
        tallies.append(tally_of(row["answers"], sorted(right)))
    grades = np.array([row["recorded_correct"] for row in rows])
    mean = [[curve(tally)[k - 1] for tally in tallies] for curve, k in ((pass_curve, 1), (pass_curve, 8))]
    assert np.mean(mean[0]) == pytest.approx(grades.mean())
    assert np.mean(mean[1]) == pytest.approx(grades.any(axis=1).mean())
