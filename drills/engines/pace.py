"""The pace of a machine that is simulated in real time, or a multiple of it: at speed 12 nine hours take 45 minutes.

It is the batch of the simulated engine, for a server in a process of its own. A prompt counts once, and a trajectory's
own history is in the cache, as with vLLM's prefix caching.
"""

from collections.abc import Sequence

import anyio

from numina_infer.core.config import require_positive
from numina_infer.engines.simulated_machine import MachineCosts, Running, RunningBatch

_TICK_S = 0.02
"""Real time between two looks at which turns are due."""


class Pace:
    """One replica's time; keys identify its turns."""

    def __init__(self, costs: MachineCosts, speed: float = 1.0) -> None:
        """`speed` is how many of the machine's seconds pass in one."""
        require_positive("speed", speed)
        self._speed = speed
        self.batch = RunningBatch(costs)
        self._turns: dict[int, Running] = {}
        self._prompts: set[tuple[int, ...]] = set()
        self._lengths: dict[int, int] = {}
        """By ticket, what is cached of its context."""

    def join(self, key: int, ticket: int, prompt_ids: Sequence[int], num_tokens: int) -> None:
        """Begin a turn that will write `num_tokens`."""
        self._advance()
        cached = self._lengths.get(ticket, len(prompt_ids) - 1 if tuple(prompt_ids) in self._prompts else 0)
        if ticket not in self._lengths:
            self._prompts.add(tuple(prompt_ids))
        self._lengths[ticket] = len(prompt_ids) + num_tokens
        turn = self._turns[key] = Running(ticket, len(prompt_ids), num_tokens)
        self.batch.join(turn, max(1, len(prompt_ids) - cached))

    async def wait(self, key: int, num_tokens: int) -> None:
        """Return once the turn has written `num_tokens`."""
        turn = self._turns[key]
        while turn.written < num_tokens and self.batch.written_by(turn, self._now) < num_tokens:
            await anyio.sleep(_TICK_S)
            self._advance()

    def leave(self, key: int) -> None:
        """End a turn, whatever it has written."""
        turn = self._turns.pop(key, None)
        if turn is not None:
            self._advance()
            self.batch.leave(turn)

    @property
    def _now(self) -> float:
        return anyio.current_time() * self._speed

    def _advance(self) -> None:
        self.batch.advance(self._now)
