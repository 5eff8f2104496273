"""The events of a problem, in the order in which they happen.

An event is recorded before anything is decided on it, and a replay needs nothing else. `at` is loop time in seconds.
"""

from dataclasses import dataclass

from numina_infer.core.records import Problem, Slice, Solution, StopReason, Trajectory


@dataclass(frozen=True, slots=True)
class Opened:
    """A problem has arrived, and its horizon is fixed."""

    problem: Problem
    prompt: str
    """The text that every trajectory continues, special tokens spelled out."""
    deadline: float
    num_samples: int
    at: float
    slice: Slice | None = None
    """The time it got; None in logs from before there was a bank."""
    rules: int = 1
    """The version of the referee's rules that decide it: `referee.RULES` today, 1 in older logs."""

    @property
    def problem_id(self) -> str:
        """The problem's id."""
        return self.problem.id


@dataclass(frozen=True, slots=True)
class Started:
    """A trajectory has started, though it may still wait for a slot."""

    problem_id: str
    index: int
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A trajectory has come to its only end."""

    trajectory: Trajectory
    at: float

    @property
    def problem_id(self) -> str:
        """The problem's id."""
        return self.trajectory.problem_id


@dataclass(frozen=True, slots=True)
class Stopped:
    """The referee has stopped the problem; attempts that end behind this one handed over their text so far."""

    problem_id: str
    reason: StopReason
    at: float


@dataclass(frozen=True, slots=True)
class Solved:
    """The problem has its verdict."""

    solution: Solution
    at: float

    @property
    def problem_id(self) -> str:
        """The problem's id."""
        return self.solution.problem_id


Event = Opened | Started | Ended | Stopped | Solved
