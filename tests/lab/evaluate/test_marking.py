"""Marks: which answers are the same, which are right, and which samples count."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from numina_infer.core.records import StopReason, Trajectory
from numina_infer.lab.evaluate.grading import Grader
from numina_infer.lab.evaluate.marking import mark_general, mark_integers, samples_of
from numina_infer.lab.evaluate.metrics import MOST_SAMPLES, Tally
from numina_infer.lab.replay.recording import read_recording
from tests.lab.recorded_runs import RecordedRun


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    """One process for all tests."""
    with Grader(1) as one:
        yield one


def samples(folder: Path, boxes: Sequence[str | None], run: RecordedRun | None = None) -> tuple[Trajectory, ...]:
    """The samples of a one-problem run, by way of its log."""
    recording = read_recording((run or RecordedRun()).write(folder / "run", {"a": boxes}))
    return samples_of(recording.problems[0])


def test_integers_are_the_votes_of_the_run(tmp_path: Path) -> None:
    """Modulo 1000 as the run had it; what was no vote is a blank; two accepted answers stay two."""
    marks = mark_integers(samples(tmp_path, ["1080", "80.0", "81", "7", r"\frac12", None]), frozenset({80, 81}))
    assert marks.answers == ("80", "80", "81", "7", None, None)
    assert marks.tally == Tally((2, 1), (1,), num_blank=2)


def test_general_answers_fall_into_groups(tmp_path: Path, grader: Grader) -> None:
    """The right ones into one, wrong ones by what they are, whatever the run's range made of them."""
    boxes = [r"\frac{1}{2}", "0.5", "1/2", r"\frac{1}{3}", "1/3", "-15", "-15.0", "1515", None]
    marks = mark_general(samples(tmp_path, boxes), r"\frac12", grader)
    half = marks.answers[0]
    assert marks.right == {half}
    assert marks.answers[:3] == (half,) * 3
    assert marks.answers[3] == marks.answers[4]
    assert marks.answers[5] == marks.answers[6] != marks.answers[7]
    assert sorted(marks.tally.wrong) == [1, 2, 2]
    assert marks.tally.num_blank == 1


def test_an_answer_that_cannot_be_compared_is_a_group_of_its_own(tmp_path: Path) -> None:
    """Not right, and named with the reason."""
    with Grader(1, timeout_s=1) as strict:
        marks = mark_general(samples(tmp_path, ["1/2", "10^{10^{10}}", "10^{10^{10}}"]), "1/2", strict)
    assert marks.tally == Tally((1,), (2,))
    assert list(marks.undecided) == ["10^{10^{10}}"]


def test_integers_in_a_general_set_need_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own reader compares them, negative ones and large ones too, and alternatives."""
    monkeypatch.setattr("sys.executable", "/nonexistent")
    with Grader() as grader:
        marks = mark_general(samples(tmp_path, ["-4", "-4.0", "1{,}234", "1234", "7"]), "-4 or 1234 (both)", grader)
    assert marks.tally == Tally((4,), (1,))


def test_what_the_verdict_broke_off_is_no_sample(tmp_path: Path) -> None:
    """But what ran out of time is one, without a vote."""
    decided = RecordedRun(stop_reason=StopReason.DECIDED, num_broken_off=3)
    assert len(samples(tmp_path / "decided", ["1", "1"], decided)) == 2
    late = RecordedRun(stop_reason=StopReason.DEADLINE, num_broken_off=3)
    marks = mark_integers(samples(tmp_path / "late", ["1", "1"], late), frozenset({1}))
    assert marks.tally == Tally((2,), (), num_blank=3)


def test_more_samples_than_can_be_counted_exactly_are_left_out(tmp_path: Path) -> None:
    """The first that ended stay."""
    assert len(samples(tmp_path, ["1"] * (MOST_SAMPLES + 5))) == MOST_SAMPLES
