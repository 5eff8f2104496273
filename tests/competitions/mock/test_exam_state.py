"""The core of both mocks: one problem out at a time, one answer for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.competitions.mock.exam_state import ExamState, ExamStatus
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet

TWO = ProblemSet((ProblemRow(Problem("a", "1+1?")), ProblemRow(Problem("b", "1+2?"))))


@given(moves=st.lists(st.sampled_from(["advance", "accept"]), max_size=12))
def test_no_order_of_moves_answers_a_problem_twice_or_none(moves: list[str]) -> None:
    """For any order of calls, answers follow the problems' order, and there are never more than problems posed."""
    state = ExamState(TWO)
    posed = 0
    for move in moves:
        try:
            state = state.advance() if move == "advance" else state.accept(posed)
        except GatewayError:
            continue
        posed += state.status is ExamStatus.PREDICTION_NEEDED
        assert state.answers == tuple(range(1, len(state.answers) + 1))
        assert posed - len(state.answers) == (state.status is ExamStatus.PREDICTION_NEEDED)


def test_a_sitting_finishes_when_all_is_answered() -> None:
    """The last answer doesn't finish it; asking for one problem more does, and then nothing may follow."""
    state = ExamState(TWO).advance().accept(2).advance().accept(3)
    assert state.status is ExamStatus.PREDICTION_RECEIVED
    finished = state.advance()
    assert finished.status is ExamStatus.FINISHED
    with pytest.raises(GatewayError, match="make a new one"):
        finished.advance()
    with pytest.raises(GatewayError, match="answered already"):
        finished.accept(4)


def test_the_submission_holds_the_answers_so_far() -> None:
    """After an early end it has the answers so far, and no row for other problems."""
    submission = ExamState(TWO).advance().accept(2).advance().submission
    assert (submission.ids, submission.answers) == (("a",), (2,))
