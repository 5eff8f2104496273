"""SC-TIR on a model that writes garbage: its turns are real, the programs and answers are drawn from their seeds.

How many programs a trajectory asks for is as recorded of a 7B model that was trained on this way of working
(MathCoder's logs on MATH and GSM8K, 800 solutions): one, two, or three and more in 37, 24 and 38 of a hundred.
Here a trajectory always asks for a first program, goes on to a further one with a chance of 0.6, and states its
answer in its last turn at the latest: 40, 24 and 36 of a hundred.
A program sleeps for half a second to two seconds and prints a number.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from numina_infer.core.config import Mode, RolloutConfig
from numina_infer.core.records import Completion, Execution, SpecialToken, Turn
from numina_infer.formats.fences import OUTPUT_FENCE
from numina_infer.formats.numina import NUMINA
from numina_infer.solving.rollout import turn_seed

_GOES_ON = 0.6
_SHORTEST_S, _LONGEST_S = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class DrawnPrograms:
    """A `Format` for one problem, under which any completion goes on to a program or is the last."""

    turns: Mapping[int, int]
    """From a turn's seed to its number in its trajectory, beginning with 0."""
    max_turns: int
    name: str = "drawn"
    mode: Mode = Mode.FRESH
    stop: tuple[str, ...] = NUMINA.stop

    @classmethod
    def of(cls, statement: str, run_seed: int, num_samples: int, rollout: RolloutConfig) -> "DrawnPrograms":
        """For the trajectories of the problem with this statement."""
        turns = {
            turn_seed(run_seed, statement, index, turn): turn
            for index in range(num_samples)
            for turn in range(rollout.max_turns)
        }
        return cls(turns, rollout.max_turns)

    def prompt(self, statement: str) -> tuple[str | SpecialToken, ...]:
        """Numina's."""
        return NUMINA.prompt(statement)

    def program(self, completion: Completion) -> str | None:
        """One that sleeps, unless it was the last turn."""
        turn, dice = self.turns[completion.seed], random.Random(completion.seed)  # noqa: S311 (no secret)
        goes_on = dice.random() < _GOES_ON
        if turn == self.max_turns - 1 or (turn > 0 and not goes_on):
            return None
        return f"import time\ntime.sleep({dice.uniform(_SHORTEST_S, _LONGEST_S):.3f})\nprint({completion.seed % 1000})"

    def observation(self, completion: Completion, execution: Execution) -> str:  # noqa: ARG002 (the port has it)
        """The output in its block."""
        return f"\n{OUTPUT_FENCE}{execution.output}\n```\n"

    def said(self, turn: Turn) -> str:
        """A box with a number in the last turn."""
        return "" if turn.code is not None else f"The answer is $\\boxed{{{turn.completion.seed % 1000}}}$."
