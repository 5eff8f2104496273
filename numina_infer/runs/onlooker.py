"""Who takes note of a contest and has no say in it: the run log, a progress display, a collection's watch over itself.

An observer is told on a thread of its own, since a terminal or a pipe may take as long as it likes.
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
"""How long an onlooker waits for the log, so that what people see is on the disk unless that hangs."""

_log = logging.getLogger(__name__)

Observer = Callable[[Event], None]
"""Told of every event after it is recorded, on a thread of its own; one that hangs is told no more."""


class Onlooker:
    """One observer, and what became of it."""

    def __init__(self, observer: Observer, log: RunLog, patience_s: float = _PATIENCE_S) -> None:
        """An observer that takes longer than `patience_s` over one event is given up."""
        self._observer, self._run_log, self._patience_s = observer, log, patience_s
        self._telling = Background("contest-onlooker", patience_s)

    @property
    def trouble(self) -> str:
        """What is to be said of it; empty where it is well."""
        what = f"an onlooker took longer than {self._patience_s:g} s over an event, and is told no more"
        return what if self._telling.is_given_up else ""

    def see(self, event: Event) -> None:
        """Tell it of `event`; what it raises is its own affair."""
        self._telling.do(partial(self._tell, event))

    def _tell(self, event: Event) -> None:
        self._run_log.flush(_RECORDED_FIRST_S)
        self._observer(event)

    def flush(self, timeout_s: float) -> None:
        """Let it catch up for `timeout_s` at most."""
        self._telling.flush(timeout_s)

    def close(self) -> None:
        """Tell it no more, once it has caught up."""
        self._telling.close()


class Witnesses:
    """The run log of a contest and its onlookers; nobody waits for them but by `catch_up`."""

    def __init__(self, log: RunLog, observers: Sequence[Observer]) -> None:
        """Events go to `log` first, then to `observers` in their order."""
        self._run_log = log
        self._onlookers = tuple(Onlooker(observer, log) for observer in observers)

    def note(self, event: Event) -> None:
        """Have all take note of `event`; never raises."""
        try:
            self._run_log.write(event)
        except Exception as error:  # noqa: BLE001 (no vote is lost for what is written of it)
            self._run_log.say(_log.error, "a %s event can't be recorded: %r", type(event).__name__.lower(), error)
        for onlooker in self._onlookers:
            onlooker.see(event)

    def catch_up(self, timeout_s: float) -> None:
        """Let all catch up for `timeout_s` at most."""
        until = time.monotonic() + timeout_s
        flushes = (onlooker.flush for onlooker in self._onlookers)
        for flush in (self._run_log.flush, *flushes, self._run_log.let_speak):
            flush(max(0.0, until - time.monotonic()))

    def dismiss(self) -> None:
        """Tell onlookers no more, once they have caught up; the summary hears of those that hung."""
        for onlooker in self._onlookers:
            onlooker.close()
            if onlooker.trouble:
                self._run_log.tell(onlooker.trouble)
        self._run_log.let_speak()
