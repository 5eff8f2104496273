"""The core of both mocks: one problem out at a time, one answer for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.competitions.mock.sitting import Sitting, SittingStatus
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet

TWO = ProblemSet((ProblemRow(Problem("a", "1+1?")), ProblemRow(Problem("b", "1+2?"))))


@given(moves=st.lists(st.sampled_from(["advance", "accept"]), max_size=12))
def test_no_order_of_moves_answers_a_problem_twice_or_none(moves: list[str]) -> None:
    """Whatever is called, answers stand behind problems in order, and never more of them than were posed."""
    sitting = Sitting(TWO)
    posed = 0
    for move in moves:
        try:
            sitting = sitting.advance() if move == "advance" else sitting.accept(posed)
        except GatewayError:
            continue
        posed += sitting.status is SittingStatus.PREDICTION_NEEDED
        assert sitting.answers == tuple(range(1, len(sitting.answers) + 1))
        assert posed - len(sitting.answers) == (sitting.status is SittingStatus.PREDICTION_NEEDED)


def test_a_sitting_finishes_when_all_is_answered() -> None:
    """The last answer doesn't finish it; asking for one problem more does, and then nothing may follow."""
    sitting = Sitting(TWO).advance().accept(2).advance().accept(3)
    assert sitting.status is SittingStatus.PREDICTION_RECEIVED
    finished = sitting.advance()
    assert finished.status is SittingStatus.FINISHED
    with pytest.raises(GatewayError, match="make a new one"):
        finished.advance()
    with pytest.raises(GatewayError, match="answered already"):
        finished.accept(4)


def test_the_submission_holds_the_answers_so_far() -> None:
    """Whoever breaks off has what was answered, and nothing for what wasn't."""
    submission = Sitting(TWO).advance().accept(2).advance().submission
    assert (submission.ids, submission.answers) == (("a",), (2,))
