"""Waiting for a state in tests: until it is there, or until it is plain that it won't come."""

import time
from collections.abc import Callable

import anyio

_LOOK_EVERY_S = 0.01
_PATIENCE_S = 60.0
"""Only a test that fails waits so long."""


async def until(condition: Callable[[], object]) -> None:
    """Return once `condition()` holds."""
    with anyio.fail_after(_PATIENCE_S):
        while not condition():
            await anyio.sleep(_LOOK_EVERY_S)


def wait_until(condition: Callable[[], object]) -> None:
    """Return once `condition()` holds, where there is no event loop."""
    last = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < last, "what was waited for doesn't come"
        time.sleep(_LOOK_EVERY_S)
