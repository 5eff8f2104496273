"""Evaluations: the figures of runs whose every sample is known, and of runs that aren't whole."""

import json
from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.records import AnswerRange, NoAnswer, Outcome, StopReason
from numina_infer.lab.evaluate.evaluation import Evaluation, evaluate_run
from numina_infer.lab.evaluate.frames import loss_frame
from numina_infer.lab.evaluate.marking import GraderName
from numina_infer.lab.evaluate.metrics import Tally
from numina_infer.lab.replay.recording import read_recording
from numina_infer.runs.log import RUN_FILE, SOLUTIONS_FILE, TRAJECTORIES_FILE
from tests.lab.recorded_runs import RecordedRun, Samples, write_references

SAMPLES: Samples = {
    "easy": ["7", "7", "7", "8"],
    "tied": ["5", "9", "5", "9"],
    "hard": ["1", "2", "3", None],
    "lost": [None, None, r"\frac12", "1"],
}
ANSWERS = {"easy": "7.0", "tied": "5", "hard": "6", "lost": "1001"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four problems with four samples each."""
    return RecordedRun().write(tmp_path / "run", SAMPLES)


def test_a_run_is_held_against_its_references(run: Path) -> None:
    """The verdict takes the larger of two tied answers, the plain vote half of each."""
    done = evaluate_run(run, ANSWERS)
    assert done.grader is GraderName.INTEGER
    assert [one.is_verdict_right for one in done.problems] == [True, False, False, True]
    assert done.verdicts is not None
    assert (done.verdicts.value, done.vote.value) == (0.5, 0.625)
    assert done.majority(1).value == pytest.approx((3 / 4 + 2 / 4 + 0 + 1 / 4) / 4)
    assert done.majority(4).value == pytest.approx(0.625)
    assert done.passes(4).value == pytest.approx(3 / 4)
    assert done.ks == (1, 2, 3, 4)
    assert done.remarks == ()


def test_a_file_and_a_recording_serve_as_well(run: Path, tmp_path: Path) -> None:
    """And without references the examples, which the run says it was made from, don't fit these problems."""
    references = write_references(tmp_path / "answers.jsonl", ANSWERS)
    by_file = evaluate_run(read_recording(run), references)
    assert [one.marks for one in by_file.problems] == [one.marks for one in evaluate_run(run, ANSWERS).problems]
    with pytest.raises(ConfigError, match="give the references"):
        evaluate_run(run)


def test_lost_votes_are_counted_by_reason_and_outcome(tmp_path: Path) -> None:
    """Of the samples alone: what a verdict broke off lost nothing."""
    decided = RecordedRun(stop_reason=StopReason.DECIDED, num_broken_off=2).write(tmp_path / "run", SAMPLES)
    done = evaluate_run(decided, ANSWERS)
    lost = loss_frame(done)[["reason", "outcome", "count"]].itertuples(index=False, name=None)
    assert list(lost) == [
        (NoAnswer.NOT_STATED, Outcome.FINISHED, 3),
        (NoAnswer.NOT_AN_INTEGER, Outcome.FINISHED, 1),
    ]
    assert done.problems[0].num_tokens == sum(20 + index for index in range(4)) + 2
    assert any("stopped when they were decided" in remark for remark in done.remarks)


def test_a_reference_that_no_vote_can_hit_asks_for_the_general_grader(run: Path) -> None:
    """Unless one insists, which leaves such problems out."""
    answers = {**ANSWERS, "lost": r"\frac{1}{2}"}
    general = evaluate_run(run, answers)
    assert general.grader is GraderName.GENERAL
    assert [one.tally.num_right for one in general.problems] == [3, 2, 0, 1]
    assert general.problems[3].is_verdict_right is None
    assert general.verdicts is not None
    assert general.verdicts.value == pytest.approx(1 / 3)
    integer = evaluate_run(run, answers, grader="integer")
    assert (len(integer.problems), integer.left_out.not_votable) == (3, ("lost",))
    assert any("no vote in the run's range" in remark for remark in integer.remarks)


def test_a_reference_with_two_accepted_answers_is_hit_by_either(tmp_path: Path) -> None:
    """Which split the vote between them, as they did."""
    run = RecordedRun(AnswerRange.UP_TO_999).write(tmp_path / "run", {"a": ["080", "81", "81", "5", "5"]})
    done = evaluate_run(run, {"a": "080 or 081 (both were accepted)"})
    assert done.problems[0].tally.num_right == 3
    assert done.vote.value == 0.5


def test_what_cannot_be_evaluated_is_named(tmp_path: Path) -> None:
    """Problems without a verdict, without a reference, and references to others; a verdict without a sample counts."""
    run = RecordedRun().write(tmp_path / "run", {**SAMPLES, "late": ["1"], "none": []}, unfinished=["late"])
    done = evaluate_run(run, {"easy": "7", "late": "1", "none": "1", "other": "3"})
    assert [(one.problem.id, one.is_right) for one in done.problems] == [("easy", True), ("none", False)]
    assert done.problems[1].tally == Tally(num_blank=1)
    assert done.left_out.unfinished == ("late",)
    assert done.left_out.without_reference == ("tied", "hard", "lost")
    assert done.left_out.not_in_run == ("other",)
    assert [remark.partition(" ")[0] for remark in done.remarks] == ["left"] * 3


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "with answers .left out: 1 problem .late. have no reference"),
        ({"x1": "3"}, "made from.* 1 problem .x1. have a reference and aren't in the run"),
        ({"late": "3"}, "scored in the range mod-1000 .*no verdict yet"),
    ],
)
def test_where_nothing_can_be_evaluated_the_reason_is_given(
    tmp_path: Path, answers: dict[str, str], words: str
) -> None:
    """And what to do."""
    run = RecordedRun().write(tmp_path / "run", {"late": ["1"]}, unfinished=["late"])
    with pytest.raises(ConfigError, match=words):
        evaluate_run(run, answers)


def test_an_id_before_another_statement_is_another_problem(run: Path, tmp_path: Path) -> None:
    """Hub sets all begin with 0; spaces alone make no difference."""
    rows = [
        {"id": "easy", "problem": "How  much is easy?\n", "answer": "7"},
        {"id": "tied", "problem": "How much is another?", "answer": "5"},
    ]
    references = tmp_path / "other.jsonl"
    references.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = evaluate_run(run, references)
    assert [one.problem.id for one in done.problems] == ["easy"]
    assert done.left_out.otherwise_stated == ("tied",)
    assert done.left_out.without_reference == ("hard", "lost")
    references.write_text(json.dumps(rows[1]))
    with pytest.raises(ConfigError, match=r"1 problem \(tied\) have the id of a reference and another statement"):
        evaluate_run(run, references)


def test_no_votable_reference_points_to_the_other_grader(run: Path) -> None:
    """Rather than to an accuracy of nothing."""
    with pytest.raises(ConfigError, match="--grader general"):
        evaluate_run(run, {"easy": "-1"}, grader="integer")
    with pytest.raises(ConfigError, match="grader is 'numeric'; choose one of auto, integer, general"):
        evaluate_run(run, ANSWERS, grader="numeric")


def test_a_run_cut_off_in_the_middle_of_a_line_is_evaluated_as_far_as_it_goes(run: Path) -> None:
    """Cut in the last verdict, and again in the last trajectory."""
    for name in (SOLUTIONS_FILE, TRAJECTORIES_FILE):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[:-20])
        done = evaluate_run(run, ANSWERS)
        assert [one.problem.id for one in done.problems] == ["easy", "tied", "hard"]
        assert done.left_out.unfinished == ("lost",)


def test_logs_of_the_format_before_are_read_and_others_refused(run: Path) -> None:
    """By their version."""
    info = json.loads((run / RUN_FILE).read_text())
    (run / RUN_FILE).write_text(json.dumps({**info, "format_version": 1}))
    assert len(evaluate_run(run, ANSWERS).problems) == 4
    (run / RUN_FILE).write_text(json.dumps({**info, "format_version": 99}))
    with pytest.raises(RunLogError, match="format 99"):
        evaluate_run(run, ANSWERS)


def test_a_k_that_nobody_has_is_named(run: Path) -> None:
    """With what there is."""
    done = evaluate_run(run, ANSWERS)
    with pytest.raises(ConfigError, match="k is 5; the run has 1 to 4 samples"):
        done.majority(5)


def test_of_problems_with_fewer_samples_all_are_taken(tmp_path: Path) -> None:
    """And their number is told."""
    done: Evaluation = evaluate_run(
        RecordedRun().write(tmp_path / "run", {"a": ["1"], "b": ["2"] * 4}), {"a": "1", "b": "3"}
    )
    assert (done.majority(4).value, done.num_short(4), done.num_short(1)) == (0.5, 1, 0)


def test_marking_tells_how_far_it_is(run: Path) -> None:
    """Once a problem."""
    told: list[tuple[int, int]] = []
    evaluate_run(run, ANSWERS, tell=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
