"""The referee: pure decisions on recorded events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import Policy, StopRule, VoteWeights
from numina_infer.core.events import Ended, Opened, Solved, Started
from numina_infer.core.records import ExtractedAnswer, NoAnswer, Outcome, Problem, StopReason, Trajectory
from numina_infer.voting.referee import Ledger, Start, Stop, Wait, conclude, decide, fold

PROBLEM = Problem("p", "1+1?")


def ending(
    index: int,
    value: int | None,
    printed: int | None = None,
    *,
    seconds: float = 0.0,
    outcome: Outcome = Outcome.FINISHED,
) -> Trajectory:
    """A trajectory that stated `value` after `seconds`."""
    answer = ExtractedAnswer(None, NoAnswer.NOT_STATED) if value is None else ExtractedAnswer(value)
    return Trajectory(PROBLEM.id, index, (), outcome, answer, printed=printed, ended_at=seconds)


def ledger_of(values: list[int | None], started: int, *, seconds: float = 0.0) -> Ledger:
    """A ledger with `started` trajectories of which those with `values` have ended, after `seconds` each."""
    ledger = fold(None, Opened(PROBLEM, "", deadline=100.0, num_samples=started, at=0.0))
    for index in range(started):
        ledger = fold(ledger, Started(PROBLEM.id, index, at=0.0))
    for index, value in enumerate(values):
        ledger = fold(ledger, Ended(ending(index, value, seconds=seconds), at=1.0))
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


REFILL = Policy(num_samples=6, width=2)


def test_a_place_that_comes_free_takes_a_new_trajectory_up_to_the_horizon() -> None:
    """Two at once, six in all, while nothing is decided."""
    assert decide(REFILL, ledger_of([], 0), now=0.0) == Start(2)
    assert decide(REFILL, ledger_of([1], 2), now=1.0) == Start(1)
    assert decide(REFILL, ledger_of([1, 2], 2), now=1.0) == Start(2)
    assert decide(REFILL, ledger_of([1], 3), now=1.0) == Wait(until=100.0)
    assert decide(REFILL, ledger_of([1, 2, 3, 1], 6), now=1.0) == Wait(until=100.0)


def test_a_decided_problem_takes_no_new_trajectory() -> None:
    """Those that haven't started count as out: four of six agree, no two can change it."""
    assert decide(REFILL, ledger_of([1, 1, 1], 4), now=1.0) == Start(1)
    assert decide(REFILL, ledger_of([1, 1, 1, 1], 5), now=1.0) == Stop(StopReason.DECIDED)


def test_nothing_starts_that_would_not_usually_end_in_time() -> None:
    """Trajectories take 30 s: at 69 s one more is started, at 70 s none, and what runs is waited for."""
    ledger = ledger_of([1, 2], 3, seconds=30.0)
    assert decide(REFILL, ledger, now=69.0) == Start(1)
    assert decide(REFILL, ledger, now=70.0) == Wait(until=100.0)


def test_what_cannot_start_any_more_is_not_out_any_more() -> None:
    """Three starts could still change the winner, the one that runs can't; with none left the time is given back."""
    assert decide(REFILL, ledger_of([1, 1], 3, seconds=30.0), now=69.0) == Start(1)
    assert decide(REFILL, ledger_of([1, 1], 3, seconds=30.0), now=70.0) == Stop(StopReason.DECIDED)
    assert decide(REFILL, ledger_of([1, 2], 2, seconds=30.0), now=70.0) == Stop(StopReason.DEADLINE)


def test_only_trajectories_that_came_to_their_own_end_tell_how_long_one_takes() -> None:
    """One that was cut off, or that the engine lost, says nothing; of the others the median counts."""
    ledger = ledger_of([], 6)
    for index, (seconds, outcome) in enumerate(
        [(1.0, Outcome.CUTOFF), (2.0, Outcome.ENGINE_ERROR), (40.0, Outcome.FINISHED), (60.0, Outcome.MAX_TOKENS)]
    ):
        ledger = fold(ledger, Ended(ending(index, 1, seconds=seconds, outcome=outcome), at=1.0))
    assert ledger.typical_s == 50.0


def test_a_horizon_below_what_is_out_already_counts_what_is_out() -> None:
    """A log replayed with a narrower policy: nothing more starts, and what runs can still change the winner."""
    narrow = Policy(num_samples=3)
    assert decide(narrow, ledger_of([1, 1, 2], 8), now=1.0) == Wait(until=100.0)
    assert decide(narrow, ledger_of([1] * 5, 8), now=1.0) == Stop(StopReason.DECIDED)
    assert decide(narrow, ledger_of([1, 2] * 4, 8), now=1.0) == Stop(StopReason.EXHAUSTED)


def test_a_partial_text_that_is_not_to_count_is_no_vote() -> None:
    """The weights decide; by default a stated answer counts whoever broke the text off."""
    cut = Ended(ending(0, 5, outcome=Outcome.CUTOFF), at=1.0)
    counted, uncounted = (fold(ledger_of([], 3), cut, VoteWeights(partial=share)).ballot for share in (1.0, 0.0))
    assert (dict(counted.votes), dict(counted.invalid)) == ({5: 1000}, {})
    assert (dict(uncounted.votes), dict(uncounted.invalid)) == ({}, {NoAnswer.UNFINISHED: 1})
