"""The ends of children at rest: a few at a time, so that nobody's program waits behind them.

When a problem is decided all of its sessions are left at once. They are stopped, have no slot and hurt nobody for the
moment that it takes, while the zygote and the processors are wanted by the programs of others.
"""

import asyncio
from collections.abc import Callable

_AT_ONCE = 4
_PATIENCE_S = 2.0
"""For one end; one that doesn't come holds up no other for longer."""


class Burials:
    """The children of one zygote that are to end, in order."""

    def __init__(self, kill: Callable[[int], None]) -> None:
        self._kill = kill
        self._waiting: dict[int, None] = {}
        self._dying: set[int] = set()

    def add(self, number: int) -> None:
        """End that child when its turn comes."""
        self._waiting[number] = None
        self._go_on()

    def strike_off(self, number: int) -> None:
        """Note that it has ended, or that nobody waits for that any longer."""
        self._waiting.pop(number, None)
        self._dying.discard(number)
        self._go_on()

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
        self._dying.clear()

    def _go_on(self) -> None:
        while self._waiting and len(self._dying) < _AT_ONCE:
            number = next(iter(self._waiting))
            del self._waiting[number]
            self._dying.add(number)
            asyncio.get_running_loop().call_later(_PATIENCE_S, self.strike_off, number)
            self._kill(number)
