"""Attempts that the engine or the sandbox lost: replaced with care, decided on recorded events alone."""

import heapq
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import Policy, StopRule, VoteWeights
from numina_infer.core.events import Ended, Event, Opened, Started
from numina_infer.core.records import ExtractedAnswer, NoAnswer, Outcome, Problem, Solution, StopReason, Trajectory
from numina_infer.voting.referee import LONGEST_PAUSE_S, RULES, Ledger, Start, Stop, Wait, conclude, decide, fold

PROBLEM = Problem("p", "1+1?")
HOURS = 1e6

Fate = tuple[float, int | None]
"""How long an attempt takes, and its vote; None if the engine loses it."""


def trajectory(index: int, vote: int | None, outcome: Outcome = Outcome.ENGINE_ERROR) -> Trajectory:
    """One that voted, or that ended with `outcome` before it could."""
    if vote is None:
        return Trajectory("p", index, (), outcome, ExtractedAnswer(None, NoAnswer.UNFINISHED), error="500")
    return Trajectory("p", index, (), Outcome.FINISHED, ExtractedAnswer(vote))


class Play:
    """A problem played by the referee's orders, its attempts ending as `fates` have it, over and over."""

    def __init__(self, policy: Policy, fates: list[Fate], deadline: float = HOURS, rules: int = RULES) -> None:
        self.policy, self.fates = policy, fates
        self.events: list[Event] = [Opened(PROBLEM, "", deadline, policy.num_samples, 0.0, rules=rules)]
        self.ledger: Ledger = fold(None, self.events[0])
        self.coming: list[tuple[float, int]] = []
        self.starts: list[float] = []
        self.num_voted = 0

    def run(self) -> Solution:
        """The verdict."""
        now = 0.0
        while True:
            match decide(self.policy, self.ledger, now):
                case Start(count):
                    for _ in range(count):
                        self._start(now)
                case Wait(until):
                    now = self._next(until)
                case Stop(reason):
                    return conclude("p", self.policy, self.ledger, reason, now)

    def _start(self, now: float) -> None:
        index = self.ledger.num_started
        heapq.heappush(self.coming, (now + self.fates[index % len(self.fates)][0], index))
        self.starts.append(now)
        self._take(Started("p", index, now))

    def _next(self, until: float) -> float:
        if not self.coming or self.coming[0][0] > until:
            return until
        at, index = heapq.heappop(self.coming)
        vote = self.fates[index % len(self.fates)][1]
        self.num_voted += vote is not None
        self._take(Ended(replace(trajectory(index, vote), ended_at=at), at))
        return at

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self.ledger = fold(self.ledger, event, self.policy.weights)


POLICIES = st.builds(
    Policy, num_samples=st.integers(1, 9), width=st.integers(0, 4), stop_rule=st.sampled_from(list(StopRule))
)
FATES = st.lists(st.tuples(st.floats(0.0, 50.0), st.one_of(st.none(), st.integers(1, 3))), min_size=1, max_size=20)


@pytest.mark.parametrize("width", [0, 3])
def test_an_engine_that_is_ill_for_a_while_costs_no_problem_its_verdict(width: int) -> None:
    """All attempts are lost at once; one after another tries again, and the others follow the first that lives."""
    policy = Policy(num_samples=8, width=width, stop_rule=StopRule.NEVER)
    num_lost = (width or 8) + 3
    play = Play(policy, [(0.0, None)] * num_lost + [(20.0, 5)] * 16)
    solution = play.run()
    assert play.starts[: num_lost + 1] == [0.0] * (width or 8) + [1.0, 3.0, 7.0, 15.0]
    assert play.starts[num_lost + 1] == 15.0 + 8.0
    assert (solution.answer, solution.stop_reason) == (5, StopReason.EXHAUSTED)
    assert play.num_voted == 8 if width else play.num_voted == 16 - num_lost


def test_the_pause_grows_to_half_a_minute_while_failures_come_in_a_row() -> None:
    """An engine that is ill for good is asked now and then, N more times at most."""
    play = Play(Policy(num_samples=12), [(0.0, None)])
    solution = play.run()
    pauses = [later - sooner for sooner, later in zip(play.starts[11:], play.starts[12:], strict=False)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, *[LONGEST_PAUSE_S] * 7]
    assert (solution.num_started, solution.num_ended) == (24, 24)
    assert (solution.is_fallback, solution.stop_reason) == (True, StopReason.EXHAUSTED)


def test_one_loss_among_many_attempts_is_replaced_after_a_second() -> None:
    """The others go on meanwhile, and every place of the horizon votes."""
    fates: list[Fate] = [(30.0, 5)] * 24
    fates[3] = (2.0, None)
    play = Play(Policy(num_samples=12, stop_rule=StopRule.NEVER), fates)
    assert play.run().votes == {5: 12_000}
    assert play.starts == [0.0] * 12 + [3.0]


def test_an_attempt_that_voted_before_it_was_lost_is_not_replaced() -> None:
    """It has what a replacement would be for."""
    ledger = fold(None, Opened(PROBLEM, "", HOURS, 1, 0.0, rules=RULES))
    ledger = fold(ledger, Started("p", 0, 0.0))
    lost = replace(trajectory(0, None), answer=ExtractedAnswer(5))
    ledger = fold(ledger, Ended(lost, 1.0))
    assert decide(Policy(num_samples=1), ledger, 1.0) == Stop(StopReason.EXHAUSTED)


@pytest.mark.parametrize("outcome", [Outcome.ENGINE_GONE, Outcome.SANDBOX_GONE, Outcome.FAILED, Outcome.MAX_TOKENS])
def test_what_another_attempt_would_not_mend_is_not_replaced(outcome: Outcome) -> None:
    """An engine that is gone for good, a fault of ours, a limit of the model's."""
    ledger = fold(None, Opened(PROBLEM, "", HOURS, 1, 0.0, rules=RULES))
    ledger = fold(ledger, Started("p", 0, 0.0))
    ledger = fold(ledger, Ended(trajectory(0, None, outcome), 1.0))
    assert decide(Policy(num_samples=1), ledger, 1.0) == Stop(StopReason.EXHAUSTED)


def test_attempts_that_end_well_in_between_keep_the_pause_short() -> None:
    """A third of all is lost at once, for good: the others vote as if nothing were."""
    fates: list[Fate] = [(1.0, None), (40.0, 5), (40.0, 5)]
    play = Play(Policy(num_samples=48, width=8, stop_rule=StopRule.NEVER), fates, deadline=300.0)
    solution = play.run()
    longest = max(later - sooner for sooner, later in zip(play.starts, play.starts[1:], strict=False))
    assert longest < 40.0
    older = Play(play.policy, fates, deadline=300.0, rules=1).run()
    assert solution.votes[5] >= older.votes[5]


@given(POLICIES, FATES)
def test_at_most_as_many_again_are_started_and_lost_ones_alone_are_replaced(policy: Policy, fates: list[Fate]) -> None:
    """However engines fare, and always to an end."""
    play = Play(policy, fates)
    solution = play.run()
    num_lost = solution.num_ended - play.num_voted
    assert solution.num_started <= policy.num_samples + min(num_lost, policy.num_samples)
    if solution.stop_reason is StopReason.EXHAUSTED:
        assert play.num_voted == min(policy.num_samples, 2 * policy.num_samples - num_lost)


@given(POLICIES, FATES)
def test_the_exact_rule_loses_nothing_by_it(policy: Policy, fates: list[Fate]) -> None:
    """A problem that is stopped early has the winner that it would have had at its very end."""
    early = Play(replace(policy, stop_rule=StopRule.DECIDED), fates).run()
    whole = Play(replace(policy, stop_rule=StopRule.NEVER), fates).run()
    assert early.answer == whole.answer


@given(POLICIES, FATES, st.floats(0.0, 300.0))
def test_no_attempt_starts_that_the_deadline_would_end(policy: Policy, fates: list[Fate], deadline: float) -> None:
    """Nor does a problem wait for a pause that leaves no time for another one."""
    play = Play(policy, fates, deadline)
    solution = play.run()
    assert all(at <= deadline for at in play.starts)
    assert solution.solved_at <= deadline


@given(POLICIES, FATES)
def test_an_older_log_is_decided_by_the_rules_of_its_day(policy: Policy, fates: list[Fate]) -> None:
    """Nothing is replaced in it, and nothing waits."""
    play = Play(policy, fates, rules=1)
    assert play.run().num_started <= policy.num_samples


def test_a_vote_that_weighs_nothing_has_a_reason_of_its_own() -> None:
    """An attempt without a vote keeps its own; older logs called both unfinished."""
    weights = VoteWeights(partial=0.0)
    opened = Opened(PROBLEM, "", HOURS, 2, 0.0, rules=RULES)
    for rules, invalid in (
        (RULES, {NoAnswer.WEIGHTLESS: 1, NoAnswer.NOT_AN_INTEGER: 1}),
        (1, {NoAnswer.UNFINISHED: 2}),
    ):
        ledger = fold(None, replace(opened, rules=rules))
        for answer in (ExtractedAnswer(5), ExtractedAnswer(None, NoAnswer.NOT_AN_INTEGER)):
            cut = Trajectory("p", ledger.num_started, (), Outcome.CUTOFF, answer)
            ledger = fold(fold(ledger, Started("p", cut.index, 0.0)), Ended(cut, 1.0), weights)
        assert (dict(ledger.ballot.votes), dict(ledger.ballot.invalid)) == ({}, invalid)
