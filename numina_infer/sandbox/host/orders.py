"""Orders on their way to the zygote: sent at once where its socket takes them, else kept in order until it does.

A socket holds some hundred packets. When many sessions are left at once, or the zygote gets no processor for a moment,
it is full, which says nothing of the zygote's health.
"""

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from numina_infer.sandbox.child.channel import Channel, Message

_AGAIN_S = 0.005
"""A timer, since the loop can only tell that a socket has room, and the kernel may lack memory for a packet too."""
_NOT_NOW = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})


class Orders:
    """The queue before one zygote's socket, which never waits and loses nothing."""

    def __init__(self, control: Channel, on_loss: Callable[[], None]) -> None:
        self._control = control
        self._on_loss = on_loss
        self._waiting: deque[tuple[Message, list[int]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send `message` and copies of `fds`, or keep them until they can be sent.

        Raises:
            ConnectionError: the zygote is gone.
            OSError: this process has no descriptors left for what has to be kept.
        """
        if not self._waiting and self._is_sent(message, fds):
            return
        self._waiting.append((message, _copied(fds)))
        if self._timer is None:
            self._try_later()

    def close(self) -> None:
        """Forget what was not sent."""
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
        self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        try:
            while self._waiting and self._is_sent(*self._waiting[0]):
                _close_all(self._waiting.popleft()[1])
        except OSError:
            self._on_loss()
        else:
            if self._waiting:
                self._try_later()


def _copied(fds: Iterable[int]) -> list[int]:
    """Duplicates of `fds`, or `OSError` and none."""
    with ExitStack() as undo:
        copies = [_copy(fd, undo) for fd in fds]
        undo.pop_all()
    return copies


def _copy(fd: int, undo: ExitStack) -> int:
    copy = os.dup(fd)
    undo.callback(os.close, copy)
    return copy


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
