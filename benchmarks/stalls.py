"""The stalls of a simulated machine, as servers that hang and neighbours that take the machine cause them.

They come at random (a Poisson process).
"""

import math
import random


class Stalls:
    """A machine's stalls from `began` on, drawn as time goes on, the same for the same seed."""

    def __init__(self, began: float, *, every_s: float = 0.0, lasting_s: float = 0.0, seed: int = 0) -> None:
        """A stall of `lasting_s` comes every `every_s` seconds of work on average; 0 for none."""
        self._chance = random.Random(seed)  # noqa: S311 (a simulation, no secret)
        self._every_s, self._lasting_s = every_s, lasting_s
        self._began = began
        self._stalls: list[tuple[float, float]] = []
        """Beginning and end of each, loop time."""
        self._next = math.inf
        self._plan(began)

    def _plan(self, after: float) -> None:
        """When the next stall begins."""
        self._next = after + self._chance.expovariate(1 / self._every_s) if self._every_s else math.inf

    def _draw_to(self, at: float) -> None:
        """Draw the stalls that begin before `at`."""
        while self._next < at:
            end = self._next + self._lasting_s
            self._stalls.append((self._next, end))
            self._plan(end)

    def work(self, at: float) -> float:
        """Seconds of work from the beginning to loop time `at`."""
        self._draw_to(at)
        return at - self._began - sum(min(end, at) - begin for begin, end in self._stalls if begin < at)

    def time(self, work: float) -> float:
        """Loop time at which so much work is done."""
        at = self._began + work
        while math.isfinite(at):
            self._draw_to(at)
            stood_s = sum(end - begin for begin, end in self._stalls if begin < at)
            if at == self._began + work + stood_s:
                break
            at = self._began + work + stood_s
        return at
