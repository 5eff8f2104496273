"""Ctrl-C held back during the few calls that must not be left in the middle."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold a Ctrl-C back until the end of the block, then raise `KeyboardInterrupt`.

    On any thread but the main one this does nothing: Python delivers signals to the main thread only, and Kaggle's
    relay calls from another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if arrived:
        raise KeyboardInterrupt
