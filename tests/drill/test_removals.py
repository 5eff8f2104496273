"""The drill itself is tested: with a safety of the contest taken out, it fails, and at the right check."""

from dataclasses import replace

import pytest

from numina_infer.budget import Bank, Bound, Slice
from numina_infer.config import BankConfig
from numina_infer.contest import Contest
from numina_infer.drill.catalogue import FAULTS
from numina_infer.drill.course import Course
from numina_infer.drill.fault import Drill, together
from numina_infer.drill.judge import Check, judge
from numina_infer.drill.play import play
from numina_infer.trajectory import Problem, Solution


def drill(name: str, num_problems: int) -> Drill:
    """The drill of one fault in a contest of that size, for which its words of the summary aren't made."""
    fault = FAULTS[name]
    return together([replace(fault, expected=replace(fault.expected, says=()))], Course(num_problems), play)


def failed(played: Drill) -> set[Check]:
    """The checks that fail."""
    return {finding.check for finding in judge(played, played.play())}


def test_without_the_watchdog_of_the_waiting_thread_a_blocked_loop_makes_a_reply_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop's own watch comes when the loop does."""

    def solve(self: Contest, problem: Problem) -> Solution:
        case = self._case(problem)
        case.settled.wait()
        assert case.solution is not None
        return case.solution

    assert failed(drill("loop-blocked", 10)) == set()
    monkeypatch.setattr(Contest, "solve", solve)
    assert failed(drill("loop-blocked", 10)) == {Check.TIME}


def test_without_the_cache_of_replies_a_problem_that_is_asked_again_is_worked_on_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its evidence is another one, the log has it twice, and it may take until after its time."""
    with_cache = Contest._case

    def case(self: Contest, problem: Problem) -> object:
        self._cases.pop(problem, None)
        return with_cache(self, problem)

    assert failed(drill("asks-twice", 10)) == set()
    monkeypatch.setattr(Contest, "_case", case)
    assert {Check.SAME, Check.ONCE} <= failed(drill("asks-twice", 10))


def test_without_the_floors_of_the_bank_the_last_problems_pass_the_hard_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem then takes more than is left."""

    def cut(self: Bank, bank: BankConfig, now: float) -> Slice:
        left_s = max(0.0, self.started_at + bank.time_limit_s - bank.reserve_s - now)
        num_left = self._num_left(bank)
        share_s = bank.most_of_fair_share * left_s / num_left
        bounds = [(self.config.problem_time_s, Bound.MOST), (share_s, Bound.SHARE)]
        return Slice(*min(bounds)[:1], self.config.reply_grace_s, min(bounds)[1], left_s, num_left)

    whole = drill("servers-hang-for-good", 50)
    assert failed(whole) == set()
    monkeypatch.setattr(Bank, "_slice", cut)
    assert failed(whole) == {Check.TIME}
