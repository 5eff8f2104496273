"""The summary: what went wrong is told, each thing once."""

from dataclasses import replace

from numina_infer.core.config import BankConfig
from numina_infer.core.events import Ended, Opened
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
)
from numina_infer.runs.history import Outline
from numina_infer.runs.summary import ProblemSummary, Summary

BROKEN = Trajectory(
    "a", 0, (), Outcome.ENGINE_ERROR, ExtractedAnswer(None, NoAnswer.UNFINISHED), error="CUDA out of memory"
)
VERDICT = Solution("a", 5, is_fallback=False, stop_reason=StopReason.DECIDED, incidents=("a server is back",))


def problem(*trajectories: Trajectory, solution: Solution = VERDICT) -> ProblemSummary:
    """One problem of a run."""
    outline = Outline(Opened(Problem("a", "?"), "", deadline=0.0, num_samples=4, at=0.0))
    for trajectory in trajectories:
        outline.take(Ended(trajectory, 0.0))
    return ProblemSummary(solution, outline, frozenset())


def test_what_went_wrong_is_told_once_with_how_often_it_did() -> None:
    """What became of the log first, then what the engine told, then what ended trajectories and problems."""
    late = replace(VERDICT, incidents=(), error="no verdict in time")
    summary = Summary((problem(BROKEN, BROKEN), problem(BROKEN, solution=late)), log_trouble="the run log ends early")
    assert summary.failures == (
        "the run log ends early",
        "a server is back",
        "CUDA out of memory (3 times)",
        "no verdict in time",
    )
    assert Summary((problem(solution=replace(VERDICT, incidents=())),)).failures == ()


def test_of_very_many_different_things_the_rest_is_a_number() -> None:
    """Nobody reads them all."""
    broken = tuple(replace(BROKEN, error=f"error {number}") for number in range(60))
    told = Summary((problem(*broken),)).failures
    assert len(told) == 21
    assert told[0] == "a server is back"
    assert told[-1] == "and 41 other things"


def test_an_error_with_a_log_behind_it_is_told_by_its_first_line() -> None:
    """The lines of a log differ in their times, so nothing that happened twice would be told as one thing."""
    broken = tuple(replace(BROKEN, error=f"the server ended:\n{number} s: a log\nits end") for number in range(3))
    summary = Summary((problem(*broken, solution=replace(VERDICT, incidents=())),))
    assert summary.failures == ("the server ended: (3 times)",)


def test_more_or_fewer_problems_than_announced_are_told() -> None:
    """Where their number was known, and the log is whole."""
    quiet = problem(solution=replace(VERDICT, incidents=()))
    bank = BankConfig(600.0, num_problems=3)
    assert Summary((quiet, quiet), bank).failures == ("3 problems were announced, and 2 came",)
    assert Summary((quiet,) * 3, bank).failures == Summary((quiet,), replace(bank, num_problems=None)).failures == ()
    assert Summary((quiet,), bank, log_trouble="gone").failures == ("gone",)


def test_attempts_without_a_vote_are_counted_by_reason() -> None:
    """Over all problems."""
    one = replace(VERDICT, num_ended=5, invalid={NoAnswer.TOO_LARGE: 2, NoAnswer.NOT_STATED: 1})
    two = replace(VERDICT, num_ended=4, invalid={NoAnswer.TOO_LARGE: 1})
    assert Summary((problem(solution=one), problem(solution=two))).vote_line == (
        "votes: 5 of 9 attempts; without: 1 not_stated, 3 too_large"
    )
    assert Summary((problem(solution=VERDICT),)).vote_line == "votes: 0 of 0 attempts"


def test_programs_that_did_not_run_well_are_counted_by_their_end() -> None:
    """So floods and loops are seen where nothing else tells of them."""
    ends = (ExecutionStatus.OK, ExecutionStatus.TIMEOUT, ExecutionStatus.OUTPUT_LIMIT, ExecutionStatus.TIMEOUT)
    turns = tuple(Turn(Completion("", (), FinishReason.STOP), "", Execution(end, ""), "") for end in ends)
    line = Summary((problem(replace(BROKEN, turns=turns)),)).line
    assert line.endswith("1 of 4 programs ran (1 output_limit, 2 timeout).")
