"""The plan of a drill's contest: how many problems there are, and at which of them its faults strike.

A fault says where it strikes as shares of the contest, so it fits a contest of any size. A random combination shifts
all of its faults, so that they meet at other problems each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from numina_infer.core.config import require_whole
from numina_infer.core.records import Problem

NUM_PROBLEMS = 50
"""As many as a real contest has."""
SECONDS_A_PROBLEM = 648.0
"""A problem's share of the time limit: nine hours over fifty problems."""


@dataclass(frozen=True, slots=True)
class ContestPlan:
    """How many problems a contest has, and by how much its faults and its seeds are shifted."""

    num_problems: int = NUM_PROBLEMS
    shift: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("num_problems", self.num_problems, 1)
        require_whole("shift", self.shift, 0)
        require_whole("seed", self.seed, 0)

    def at(self, shares: Sequence[float]) -> frozenset[int]:
        """The numbers of the problems at these shares of the contest, 0 the first and 1 the last."""
        return frozenset(self._number(share) for share in shares)

    def _number(self, share: float) -> int:
        return (round(share * (self.num_problems - 1)) + self.shift) % self.num_problems + 1

    @property
    def time_limit_s(self) -> float:
        """Seconds of the whole contest."""
        return SECONDS_A_PROBLEM * self.num_problems

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Sums, whose right answers are known."""
        return tuple(Problem(f"p{number}", statement(number)) for number in range(1, self.num_problems + 1))


def statement(number: int) -> str:
    """The problem with that number."""
    return f"What is {number} + 100?"


def right_answer(number: int) -> int:
    """Its answer."""
    return number + 100
