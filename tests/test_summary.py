"""The summary: what went wrong is told, each thing once."""

from dataclasses import replace

from numina_infer.summary import ProblemSummary, Summary
from numina_infer.trajectory import (
    ExtractedAnswer,
    NoAnswer,
    Outcome,
    Solution,
    StopReason,
    Trajectory,
)

BROKEN = Trajectory(
    "a", 0, (), Outcome.ENGINE_ERROR, ExtractedAnswer(None, NoAnswer.UNFINISHED), error="CUDA out of memory"
)
VERDICT = Solution("a", 5, is_fallback=False, stop_reason=StopReason.DECIDED, incidents=("a server is back",))


def problem(*trajectories: Trajectory, solution: Solution = VERDICT) -> ProblemSummary:
    """One problem of a run."""
    return ProblemSummary(solution, trajectories, frozenset())


def test_what_went_wrong_is_told_once_with_how_often_it_did() -> None:
    """What became of the log first, then what the engine told, then what ended trajectories and problems."""
    late = replace(VERDICT, incidents=(), error="no verdict in time")
    summary = Summary((problem(BROKEN, BROKEN), problem(BROKEN, solution=late)), log_trouble="the run log ends early")
    assert summary.told == (
        "the run log ends early",
        "a server is back",
        "CUDA out of memory (3 times)",
        "no verdict in time",
    )
    assert Summary((problem(solution=replace(VERDICT, incidents=())),)).told == ()


def test_of_very_many_different_things_the_rest_is_a_number() -> None:
    """Nobody reads them all."""
    broken = tuple(replace(BROKEN, error=f"error {number}") for number in range(60))
    told = Summary((problem(*broken),)).told
    assert len(told) == 21
    assert told[0] == "a server is back"
    assert told[-1] == "and 41 other things"
