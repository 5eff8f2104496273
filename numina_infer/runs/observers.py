"""Passes the events of a contest to the run log and to its observers, such as a progress display.

Each observer has a thread of its own, since a terminal or a pipe may take as long as it likes.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from numina_infer.core.events import Event
from numina_infer.runs.background import Background
from numina_infer.runs.log import RunLog

_PATIENCE_S = 10.0
_RECORDED_FIRST_S = 1.0
"""How long an observer waits for the log, so that what people see is on the disk unless that hangs."""

_log = logging.getLogger(__name__)

Observer = Callable[[Event], None]
"""Called with every event after it is recorded, on a thread of its own; no more once it hangs."""


class ObserverThread:
    """One observer and its thread."""

    def __init__(self, observer: Observer, log: RunLog, patience_s: float = _PATIENCE_S) -> None:
        """An observer that takes longer than `patience_s` over one event is given up."""
        self._observer, self._run_log, self._patience_s = observer, log, patience_s
        self._thread = Background("contest-observer", patience_s)

    @property
    def trouble(self) -> str:
        """Why the observer was given up; empty where it wasn't."""
        text = f"an observer took longer than {self._patience_s:g} s over an event, and is told no more"
        return text if self._thread.is_given_up else ""

    def see(self, event: Event) -> None:
        """Call the observer with `event`, later; an error that it raises is logged."""
        self._thread.do(partial(self._call, event))

    def _call(self, event: Event) -> None:
        self._run_log.flush(_RECORDED_FIRST_S)
        self._observer(event)

    def flush(self, timeout_s: float) -> None:
        """Wait until the observer has caught up, for `timeout_s` at most."""
        self._thread.flush(timeout_s)

    def close(self) -> None:
        """Let the observer catch up, and call it no more."""
        self._thread.close()


class Recorders:
    """The run log of a contest and its observers; only `catch_up` and `close` wait for them."""

    def __init__(self, log: RunLog, observers: Sequence[Observer]) -> None:
        """Events go to `log` first, then to `observers` in their order."""
        self._run_log = log
        self._observers = tuple(ObserverThread(observer, log) for observer in observers)

    def note(self, event: Event) -> None:
        """Pass `event` on; never raises."""
        try:
            self._run_log.write(event)
        except Exception as error:  # noqa: BLE001 (a record is worth no vote)
            self._run_log.say(_log.error, "a %s event can't be recorded: %r", type(event).__name__.lower(), error)
        for observer in self._observers:
            observer.see(event)

    def catch_up(self, timeout_s: float) -> None:
        """Wait until everything passed on is recorded, for `timeout_s` at most."""
        until = time.monotonic() + timeout_s
        flushes = (observer.flush for observer in self._observers)
        for flush in (self._run_log.flush, *flushes, self._run_log.let_speak):
            flush(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Call observers no more, once they have caught up; the run's summary lists those that hung."""
        for observer in self._observers:
            observer.close()
            if observer.trouble:
                self._run_log.tell(observer.trouble)
        self._run_log.let_speak()
