"""The core of both mocks: one problem out at a time, one answer for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.competitions.mock.exam import Exam, ExamStatus
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet

TWO = ProblemSet((ProblemRow(Problem("a", "1+1?")), ProblemRow(Problem("b", "1+2?"))))


@given(moves=st.lists(st.sampled_from(["pose", "accept"]), max_size=12))
def test_no_order_of_moves_answers_a_problem_twice_or_none(
    tmp_path_factory: pytest.TempPathFactory, moves: list[str]
) -> None:
    """For any order of calls, answers follow the problems' order, and there are never more than problems posed."""
    exam = Exam(TWO, tmp_path_factory.mktemp("exam"))
    problems = exam.pose_all()
    posed = 0
    for move in moves:
        try:
            if move == "pose":
                posed += next(problems, None) is not None
            else:
                exam.accept(posed)
        except GatewayError:
            pass
        assert exam.submission.answers == tuple(range(1, len(exam.submission.answers) + 1))
        assert posed - len(exam.submission.answers) == (exam.status is ExamStatus.PREDICTION_NEEDED)


def answered(exam: Exam, *answers: int) -> Iterator[ProblemRow]:
    """The problems that are left after these answers."""
    problems = exam.pose_all()
    for answer in answers:
        next(problems)
        exam.accept(answer)
    return problems


def test_an_exam_finishes_when_all_is_answered(tmp_path: Path) -> None:
    """The last answer doesn't finish it; asking for one problem more does, and then nothing may follow."""
    exam = Exam(TWO, tmp_path)
    problems = answered(exam, 2, 3)
    assert exam.status.name == "PREDICTION_RECEIVED"
    assert next(problems, None) is None
    assert exam.status.name == "FINISHED"
    with pytest.raises(GatewayError, match="make a new one"):
        next(exam.pose_all())
    with pytest.raises(GatewayError, match="answered already"):
        exam.accept(4)


def test_the_submission_holds_the_answers_so_far(tmp_path: Path) -> None:
    """After an early end it has the answers so far, and no row for other problems."""
    exam = Exam(TWO, tmp_path)
    next(answered(exam, 2))
    assert (exam.submission.ids, exam.submission.answers) == (("a",), (2,))
