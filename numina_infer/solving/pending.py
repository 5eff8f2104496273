"""One problem that a competition asked, from the question to its verdict.

The threads that ask share it with the loop that solves it; a thread holds the contest's lock while it changes it.
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
    """The id in the log of the `number`th problem in work that was asked under one id, since ids tell events apart."""
    return problem_id if number == 1 else f"{problem_id} ({number})"


def as_asked(problem_id: str) -> str:
    """The id under which the problem was asked that has `problem_id` in the log."""
    apart = _APART.fullmatch(problem_id)
    return apart[1] if apart else problem_id


@dataclass(slots=True)
class PendingProblem:
    """A problem that was asked, and its state."""

    problem: Problem
    """With the id that it has in the log."""
    asked_at: float
    slice: Slice
    cutoff: Cutoff
    ledger: Ledger | None = None
    solution: Solution | None = None
    is_owed: bool = False
    """Whether the verdict came before the opening was logged; the thread that logs the opening then logs both."""
    is_stopped: bool = False
    """Whether the log has its `Stopped` event."""
    was_asked: bool = True
    """Whether it was asked in this session; a resumed run also has the verdicts of earlier ones."""
    settled: threading.Event = field(default_factory=threading.Event)
    """Set with the verdict."""
    left: "Future[None]" = field(default_factory=Future)
    """Done when no work on it goes on."""

    @classmethod
    def closed(cls, problem: Problem, solution: Solution) -> Self:
        """A problem that an earlier session solved."""
        pending = cls(problem, 0.0, Slice(0.0, 0.0, Bound.MOST), Cutoff(0.0), solution=solution, was_asked=False)
        pending.settled.set()
        pending.left.set_result(None)
        return pending

    @property
    def deadline(self) -> float:
        """Loop time at which attempts end."""
        return self.asked_at + self.slice.seconds

    @property
    def reply_by(self) -> float:
        """Loop time at which the reply is due, whatever still runs."""
        return self.deadline + self.slice.grace_s

    @property
    def verdict(self) -> Solution:
        """The solution of a settled problem."""
        if self.solution is None:
            raise AssertionError(f"problem {self.problem.id} was settled without a solution")
        return self.solution
