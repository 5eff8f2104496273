"""Kills of idle children of the zygote, a few at a time, so that a thousand sessions left at once delay nobody."""

import asyncio
from collections.abc import Callable

_AT_ONCE = 4
"""Idle children that are being killed at the same time."""
_PATIENCE_S = 2.0
"""How long an idle child that doesn't end keeps the next one waiting."""


class IdleKills:
    """Kills children of ended sessions, a few at a time.

    A decided problem ends all its sessions at once. Their children are stopped and hold no slot, so they can wait; the
    zygote and the processors are needed by other programs.
    """

    def __init__(self, kill: Callable[[int], None]) -> None:
        self._kill = kill
        self._waiting: dict[int, None] = {}
        self._dying: set[int] = set()

    def add(self, number: int) -> None:
        """Kill that child when its turn comes."""
        self._waiting[number] = None
        self._kill_next()

    def remove(self, number: int) -> None:
        """Let the next one's turn come, since that child ended or its patience is over."""
        self._waiting.pop(number, None)
        self._dying.discard(number)
        self._kill_next()

    def clear(self) -> None:
        """Forget all children."""
        self._waiting.clear()
        self._dying.clear()

    def _kill_next(self) -> None:
        while self._waiting and len(self._dying) < _AT_ONCE:
            number = next(iter(self._waiting))
            del self._waiting[number]
            self._dying.add(number)
            asyncio.get_running_loop().call_later(_PATIENCE_S, self.remove, number)
            self._kill(number)
