"""A case: one problem that a competition asked, from the question to its verdict.

Several threads have to do with it: those that ask and wait, and the loop that works on it; whoever changes it holds
the contest's lock.
"""

import re
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Self

from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Bound, Problem, Slice, Solution
from numina_infer.voting.referee import Ledger

_APART = re.compile(r"(?s)(.*) \(\d+\)")


def as_logged(problem_id: str, number: int) -> str:
    """What the log calls the `number`th problem that is in work under one id; events are told apart by their ids."""
    return problem_id if number == 1 else f"{problem_id} ({number})"


def as_asked(problem_id: str) -> str:
    """The id under which a problem was asked that the log calls `problem_id`."""
    apart = _APART.fullmatch(problem_id)
    return apart[1] if apart else problem_id


@dataclass(slots=True)
class Case:
    """One problem that has been asked, and what has become of it."""

    problem: Problem
    """As the log has it."""
    asked_at: float
    slice: Slice
    cutoff: Cutoff
    ledger: Ledger | None = None
    solution: Solution | None = None
    is_owed: bool = False
    """Whether there was a verdict before the log had the opening, so that whoever writes that writes both."""
    is_stopped: bool = False
    """Whether the log says that the referee is no longer asked."""
    was_asked: bool = True
    """In this session; one of old may be asked again."""
    settled: threading.Event = field(default_factory=threading.Event)
    """That there is a verdict."""
    left: "Future[None]" = field(default_factory=Future)
    """That nobody works on it any more."""

    @classmethod
    def asked(cls, problem: Problem, at: float, cut: Slice) -> Self:
        """One that is asked now, and what it gets of the time."""
        return cls(problem, at, cut, Cutoff(at + cut.seconds))

    @classmethod
    def closed(cls, problem: Problem, solution: Solution) -> Self:
        """One with a verdict of old."""
        case = cls(problem, 0.0, Slice(0.0, 0.0, Bound.MOST), Cutoff(0.0), solution=solution, was_asked=False)
        case.settled.set()
        case.left.set_result(None)
        return case

    @property
    def deadline(self) -> float:
        """Loop time at which attempts end."""
        return self.asked_at + self.slice.seconds

    @property
    def reply_by(self) -> float:
        """Loop time at which there is a reply, whatever still runs."""
        return self.deadline + self.slice.grace_s

    @property
    def verdict(self) -> Solution:
        """The solution of a case that is settled."""
        if self.solution is None:
            raise AssertionError(f"problem {self.problem.id} was settled without a solution")
        return self.solution
