"""What is recorded of a problem, in the order in which it happens.

An event is written to the run log before anything is decided on it, and replay needs nothing else.
`at` is loop time in seconds.
"""

from dataclasses import dataclass

from numina_infer.core.records import Problem, Slice, Solution, StopReason, Trajectory


@dataclass(frozen=True, slots=True)
class Opened:
    """A problem has arrived, and its horizon is fixed."""

    problem: Problem
    prompt: str
    """What every trajectory of the problem continues, special tokens spelled out."""
    deadline: float
    num_samples: int
    at: float
    slice: Slice | None = None
    """How the deadline came about; None in logs from before there was a bank."""
    rules: int = 1
    """The version of the referee's rules by which the problem is decided: `referee.RULES` today, 1 in older logs."""

    @property
    def problem_id(self) -> str:
        """Whose event this is."""
        return self.problem.id


@dataclass(frozen=True, slots=True)
class Started:
    """A trajectory is on its way, though it may still wait for a slot."""

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
        """Whose event this is."""
        return self.trajectory.problem_id


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nobody is asked any more; endings behind this are what attempts in flight handed over."""

    problem_id: str
    reason: StopReason
    at: float


@dataclass(frozen=True, slots=True)
class Solved:
    """The verdict has been submitted."""

    solution: Solution
    at: float

    @property
    def problem_id(self) -> str:
        """Whose event this is."""
        return self.solution.problem_id


Event = Opened | Started | Ended | Stopped | Solved
