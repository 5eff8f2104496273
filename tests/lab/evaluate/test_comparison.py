"""Two runs beside each other: on what both have, with a plain sentence at the end."""

from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.lab.evaluate.evaluation import Comparison, Evaluation, compare, evaluate_run
from tests.lab.recorded_runs import RecordedRun, Samples

NUM_PROBLEMS = 30
ANSWERS = {f"p{number}": "1" for number in range(NUM_PROBLEMS)}


def run(folder: Path, num_right: int, num_samples: int = 4, count: int = NUM_PROBLEMS, **how: str) -> Evaluation:
    """A run in which so many samples of each problem are right."""
    samples: Samples = {f"p{n}": ["1"] * num_right + ["2"] * (num_samples - num_right) for n in range(count)}
    return evaluate_run(RecordedRun(**how).write(folder, samples), ANSWERS)  # type: ignore[arg-type]


@pytest.fixture
def clear(tmp_path: Path) -> Comparison:
    """Right in all samples against right in one."""
    return compare(run(tmp_path / "good", 4), run(tmp_path / "bad", 1))


def test_the_better_run_is_named(clear: Comparison) -> None:
    """With both scores, the difference, its interval and the chance."""
    assert clear.difference.is_clear
    assert (clear.k, clear.scores) == (4, (1.0, 0.0))
    assert clear.num_right_alone == (NUM_PROBLEMS, 0)
    assert "good is better than" in clear.sentence
    assert "100.0% against 0.0% on 30 problems" in clear.sentence
    assert "chance of 100%" in clear.sentence


def test_the_order_of_the_runs_changes_the_sign_alone(clear: Comparison) -> None:
    """The sentence stays."""
    turned = compare(clear.second, clear.first)
    assert turned.difference.value == -clear.difference.value
    assert turned.sentence == clear.sentence


def test_a_small_difference_is_called_what_it_is(tmp_path: Path) -> None:
    """One problem of twenty is no proof."""
    some = {f"p{n}": ["1", "1", "2"] if n % 2 else ["2", "2", "1"] for n in range(20)}
    other = {**some, "p0": ["1", "1", "2"]}
    first = evaluate_run(RecordedRun().write(tmp_path / "a", some), ANSWERS)
    second = evaluate_run(RecordedRun().write(tmp_path / "b", other), ANSWERS)
    compared = compare(first, second)
    assert not compared.difference.is_clear
    assert "b and " in compared.sentence
    assert "can't be told apart" in compared.sentence


def test_equal_runs_are_as_good_as_each_other(tmp_path: Path) -> None:
    """There is nothing to show."""
    compared = compare(run(tmp_path / "a", 2), run(tmp_path / "b", 2))
    assert compared.sentence.endswith("better with a chance of 50%.")


def test_votes_of_the_same_number_of_samples_are_compared(tmp_path: Path) -> None:
    """As many as both have, or fewer by choice."""
    first, second = run(tmp_path / "a", 3, num_samples=8), run(tmp_path / "b", 3, num_samples=4)
    assert compare(first, second).k == 4
    assert compare(first, second, 1).difference.value == pytest.approx(3 / 8 - 3 / 4)
    with pytest.raises(ConfigError, match="k is 8; the two runs have 1 to 4"):
        compare(first, second, 8)


def test_runs_of_different_problems_are_compared_on_the_common_ones(tmp_path: Path) -> None:
    """The rest is named."""
    compared = compare(run(tmp_path / "a", 2, count=8), run(tmp_path / "b", 2, count=6))
    assert len(compared.pairs) == 6
    assert compared.left_out == (("p6", "p7"), ())
    assert compared.remarks == (f"not compared: 2 problems (p6, p7), only in {tmp_path / 'a'}",)


def test_two_ways_of_grading_are_not_compared(tmp_path: Path) -> None:
    """The same answers would be counted in two ways."""
    first = run(tmp_path / "a", 2)
    with pytest.raises(ConfigError, match=r"graded by integer.*by general"):
        compare(first, evaluate_run(tmp_path / "a", ANSWERS, grader="general"))


def test_the_same_id_with_another_statement_is_another_problem(tmp_path: Path) -> None:
    """Two runs without a common problem can't be compared."""
    with pytest.raises(ConfigError, match="no problem in common"):
        compare(run(tmp_path / "a", 2), run(tmp_path / "b", 2, statement="What is"))
