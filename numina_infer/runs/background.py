"""Does work that no reply may wait for, in order, on a thread of its own, and gives up work that hangs.

A write to a disk that is gone, or an observer that never returns, can't be broken off, only left behind.
The idea is Python's `QueueHandler` for logging, with a limit for what hangs.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

_MOST_WAITING = 100_000
"""With more pieces of work in the queue, the thread counts as hung."""
_MOST_WAITS = 6
"""How many times its patience closing waits at most, while work still gets done."""


class Background:
    """Does pieces of work one after another; given up once one of them takes longer than `patience_s`."""

    def __init__(self, name: str, patience_s: float) -> None:
        """The first piece of work starts the thread, which is called `name`."""
        self._name, self._patience_s = name, patience_s
        self._waiting = deque[Callable[[], object]]()
        self._num_given = self._num_done = 0
        self._news = threading.Condition()
        self._since: float | None = None
        """The time at which the current piece of work began; None without one."""
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_given_up = False
        self._then: Callable[[], object] = lambda: None

    @property
    def is_given_up(self) -> bool:
        """Whether a piece of work hung, so that none after it is done."""
        with self._news:
            self._look()
            return self._is_given_up

    def do(self, work: Callable[[], object]) -> None:
        """Have `work` done after all earlier work; returns at once, and does nothing when given up or closed."""
        with self._news:
            self._look()
            if self._is_given_up or self._is_closed:
                return
            self._waiting.append(work)
            self._num_given += 1
            if self._thread is not None or self._start():
                self._news.notify_all()
                return
        self._do_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all earlier work is done; False if that takes longer, or if it was given up."""
        with self._news:
            due = self._num_given
            self._news.wait_for(lambda: self._num_done >= due or self._is_given_up, timeout_s)
            self._look()
            return self._num_done >= due and not self._is_given_up

    def close(self, then: Callable[[], object] = lambda: None) -> None:
        """Take no more work, and wait for the rest, unless that hangs or takes several times the patience.

        `then` is done last: now, or when work that hangs returns after all.
        """
        is_done, num_waits = False, 0
        while not is_done and num_waits < _MOST_WAITS and not self.is_given_up:
            is_done, num_waits = self.flush(self._patience_s), num_waits + 1
        with self._news:
            self._is_closed = True
            self._is_given_up = self._is_given_up or not is_done
            self._waiting.clear()
            self._then = then
            self._news.notify_all()
            is_thread_left = self._thread is not None
        if not is_thread_left:
            then()
        elif is_done and self._thread is not None:
            self._thread.join(self._patience_s)

    def _look(self) -> None:
        """Give up if the current piece of work takes too long, or too many wait for it."""
        has_hung = self._since is not None and time.monotonic() - self._since > self._patience_s
        if has_hung or len(self._waiting) > _MOST_WAITING:
            self._is_given_up = True
            self._waiting.clear()

    def _start(self) -> bool:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system gives no thread: the caller does the work
            self._thread = None
            return False
        return True

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    break
            self._do_all()
        self._then()

    def _do_all(self) -> None:
        while True:
            with self._news:
                if not self._waiting:
                    return
                work, self._since = self._waiting.popleft(), time.monotonic()
            try:
                work()
            except BaseException:  # noqa: BLE001 (an error costs no later work)
                _log.exception("work of %s broke", self._name)
            with self._news:
                self._since, self._num_done = None, self._num_done + 1
                self._news.notify_all()
