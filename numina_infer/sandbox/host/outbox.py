"""Messages on their way to the zygote: a queue before its socket, and kills of idle children, a few at a time.

A socket holds some hundred packets. When many sessions end at once, or the zygote gets no processor for a moment, it
is full, which says nothing about the zygote's health.
"""

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from numina_infer.sandbox.child.channel import Channel, Message

_AGAIN_S = 0.005
"""Until the next try; a timer, since the kernel may also lack memory for a packet, of which the loop hears nothing."""
_NOT_NOW = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
_AT_ONCE = 4
"""Idle children that are being killed at the same time."""
_PATIENCE_S = 2.0
"""How long an idle child that doesn't end keeps the next one waiting."""


class Outbox:
    """Sends at once what the socket takes, and keeps the rest in order; it never waits and loses nothing."""

    def __init__(self, control: Channel, on_loss: Callable[[], None]) -> None:
        self._control = control
        self._on_loss = on_loss
        self._waiting: deque[tuple[Message, list[int]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send `message` and copies of `fds`, or keep them until they can be sent.

        Raises:
            ConnectionError: the zygote is gone.
            OSError: this process has no descriptors left for the copies.
        """
        if not self._waiting and self._is_sent(message, fds):
            return
        self._waiting.append((message, _copied(fds)))
        if self._timer is None:
            self._try_later()

    def close(self) -> None:
        """Drop what was not sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            _close_all(self._waiting.popleft()[1])

    def _is_sent(self, message: Message, fds: Sequence[int]) -> bool:
        try:
            self._control.send(message, fds)
        except OSError as error:
            if error.errno in _NOT_NOW:
                return False
            raise
        return True

    def _try_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._send_waiting)

    def _send_waiting(self) -> None:
        self._timer = None
        try:
            while self._waiting and self._is_sent(*self._waiting[0]):
                _close_all(self._waiting.popleft()[1])
        except OSError:
            self._on_loss()
        else:
            if self._waiting:
                self._try_later()


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


def _copied(fds: Iterable[int]) -> list[int]:
    """Duplicates of `fds`; if `OSError` is raised, none is left open."""
    with ExitStack() as undo:
        copies = []
        for fd in fds:
            copies.append(os.dup(fd))
            undo.callback(os.close, copies[-1])
        undo.pop_all()
    return copies


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
