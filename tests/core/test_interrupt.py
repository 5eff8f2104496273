"""Ctrl-C that waits."""

import signal
import threading

import pytest

from numina_infer.core.terminal import deferred_interrupt


def test_an_interrupt_comes_after_the_block() -> None:
    """The block is left whole, and then the interrupt is there."""
    done = []

    def work() -> None:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]


def test_without_an_interrupt_nothing_changes() -> None:
    """The handler that was there is there again."""
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_pass_through() -> None:
    """Kaggle's relay calls from a thread that may set no handler."""
    passed = []

    def enter() -> None:
        with deferred_interrupt():
            passed.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert passed == [True]
