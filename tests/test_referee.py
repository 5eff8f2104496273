"""The referee: pure decisions on recorded events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.config import Policy, StopRule
from numina_infer.events import Ended, Opened, Solved, Started
from numina_infer.referee import Ledger, Start, Stop, Wait, conclude, decide, fold
from numina_infer.trajectory import ExtractedAnswer, NoAnswer, Outcome, Problem, StopReason, Trajectory

PROBLEM = Problem("p", "1+1?")


def ending(index: int, value: int | None, printed: int | None = None) -> Trajectory:
    """A trajectory that stated `value`."""
    answer = ExtractedAnswer(None, NoAnswer.NOT_STATED) if value is None else ExtractedAnswer(value)
    return Trajectory(PROBLEM.id, index, (), Outcome.FINISHED, answer, printed=printed)


def ledger_of(values: list[int | None], started: int) -> Ledger:
    """A ledger with `started` trajectories of which those with `values` have ended."""
    ledger = fold(None, Opened(PROBLEM, "", deadline=100.0, num_samples=started, at=0.0))
    for index in range(started):
        ledger = fold(ledger, Started(PROBLEM.id, index, at=0.0))
    for index, value in enumerate(values):
        ledger = fold(ledger, Ended(ending(index, value), at=1.0))
    return ledger


def test_a_new_problem_starts_its_whole_horizon() -> None:
    """Trajectories wait for slots in the engine, not in the referee."""
    assert decide(Policy(num_samples=5), ledger_of([], 0), now=0.0) == Start(5)


def test_an_undecided_problem_waits_for_the_next_ending() -> None:
    """Nothing is started beyond the horizon."""
    assert decide(Policy(num_samples=5), ledger_of([1, 2], 5), now=1.0) == Wait(until=100.0)


def test_a_decided_problem_stops_at_once() -> None:
    """Three of five can't be overtaken by two."""
    assert decide(Policy(num_samples=5), ledger_of([1, 1, 1], 5), now=1.0) == Stop(StopReason.DECIDED)


def test_a_likely_verdict_stops_only_when_the_policy_asks_for_it() -> None:
    """Eight of 48 agree: the exact rule waits, the predictive rule at 1 % doesn't; at 0 they are the same."""
    ledger = ledger_of([1] * 8, 48)
    assert isinstance(decide(Policy(num_samples=48), ledger, now=1.0), Wait)
    assert isinstance(decide(Policy(num_samples=48, epsilon=0.0), ledger, now=1.0), Wait)
    assert decide(Policy(num_samples=48, epsilon=0.01), ledger, now=1.0) == Stop(StopReason.DECIDED)


def test_collect_mode_waits_for_every_ending() -> None:
    """The rule NEVER has a log that any policy can be replayed on."""
    policy = Policy(num_samples=5, stop_rule=StopRule.NEVER)
    assert isinstance(decide(policy, ledger_of([1, 1, 1, 1], 5), now=1.0), Wait)
    assert decide(policy, ledger_of([1, 1, 1, 1, 1], 5), now=1.0) == Stop(StopReason.EXHAUSTED)


def test_endings_without_a_vote_use_up_the_horizon() -> None:
    """A lost attempt can't vote later."""
    assert decide(Policy(num_samples=5), ledger_of([1, None, None, None], 5), now=1.0) == Wait(until=100.0)
    assert decide(Policy(num_samples=5), ledger_of([1, 1, None, None], 5), now=1.0) == Stop(StopReason.DECIDED)
    assert decide(Policy(num_samples=5), ledger_of([None] * 5, 5), now=1.0) == Stop(StopReason.EXHAUSTED)


def test_the_deadline_stops_everything() -> None:
    """Also before anything was started."""
    assert decide(Policy(num_samples=5), ledger_of([], 0), now=100.0) == Stop(StopReason.DEADLINE)
    assert decide(Policy(num_samples=5), ledger_of([1], 5), now=100.0) == Stop(StopReason.DEADLINE)


@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=10))
def test_the_early_verdict_is_the_verdict_of_the_full_horizon(values: list[int | None]) -> None:
    """Stopping as the exact rule says changes no verdict."""
    policy = Policy(num_samples=len(values))
    full = conclude(PROBLEM.id, policy, ledger_of(values, len(values)), StopReason.EXHAUSTED, now=9.0)
    for seen in range(len(values) + 1):
        ledger = ledger_of(values[:seen], len(values))
        match decide(policy, ledger, now=1.0):
            case Stop(reason):
                early = conclude(PROBLEM.id, policy, ledger, reason, now=1.0)
                assert (early.answer, early.is_fallback) == (full.answer, full.is_fallback)
                return
    pytest.fail("the full horizon must stop")


def test_without_a_vote_what_programs_printed_is_better_than_the_constant() -> None:
    """And the constant is better than nothing; both are marked as fallbacks."""
    ledger = fold(ledger_of([], 3), Ended(ending(0, None, printed=42), at=1.0))
    printed = conclude(PROBLEM.id, Policy(fallback_answer=7), ledger, StopReason.DEADLINE, now=2.0)
    constant = conclude(PROBLEM.id, Policy(fallback_answer=7), ledger_of([], 3), StopReason.DEADLINE, now=2.0)
    assert (printed.answer, printed.is_fallback) == (42, True)
    assert (constant.answer, constant.is_fallback) == (7, True)


def test_a_vote_beats_everything_printed() -> None:
    """Printed integers are no votes."""
    ledger = ledger_of([5], 4)
    for index in range(1, 4):
        ledger = fold(ledger, Ended(ending(index, None, printed=42), at=1.0))
    verdict = conclude(PROBLEM.id, Policy(num_samples=4), ledger, StopReason.EXHAUSTED, now=2.0)
    assert (verdict.answer, verdict.is_fallback, verdict.votes) == (5, False, {5: 1000})
    assert (verdict.num_started, verdict.num_ended, verdict.invalid) == (4, 4, {NoAnswer.NOT_STATED: 3})


def test_a_verdict_changes_no_ledger_and_an_event_needs_an_opening() -> None:
    """The fold takes any run's events in their order."""
    ledger = ledger_of([1], 2)
    solution = conclude(PROBLEM.id, Policy(num_samples=2), ledger, StopReason.DEADLINE, now=2.0)
    assert fold(ledger, Solved(solution, at=2.0)) == ledger
    with pytest.raises(ValueError, match="before it was opened"):
        fold(None, Started("p", 0, at=0.0))
