"""The clock that a contest runs by: this machine's, or a virtual one under which nine hours take seconds.

Virtual time is trio's: its event loop, with a clock that jumps to the next deadline whenever everybody waits.
It is for engines and sandboxes that live in this process and wait on the loop alone; what works outside of it, in
threads, processes or servers, would be overtaken.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from numina_infer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Clock:
    """An event loop and its time."""

    backend: str = "asyncio"
    """anyio's name of the loop."""
    backend_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    now: Callable[[], float] = time.monotonic
    """The loop's time in seconds, from any thread."""
    is_virtual: bool = False


def virtual_clock() -> Clock:
    """A clock that starts at 0 and stands still while anybody works.

    Raises:
        ConfigError: trio isn't installed.
    """
    try:
        from trio.testing import MockClock
    except ImportError as error:
        raise ConfigError(
            'virtual time needs trio, which is not installed; pip install "numina-infer[simulation]"'
        ) from error
    clock = MockClock(autojump_threshold=0)
    return Clock("trio", {"clock": clock}, clock.current_time, is_virtual=True)
