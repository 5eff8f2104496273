"""One sandbox for all tests of a module, without libraries that would take a second or two to load."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from numina_infer.core.config import Rung
from numina_infer.sandbox import Sandbox, SandboxConfig
from tests.sandbox.limits_only import LIMITS_ONLY

Eventually = Callable[[Callable[[], bool]], Awaitable[bool]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, and alive as long as the module's sandbox."""
    return "asyncio"


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A real sandbox with two slots, on the highest rung that holds here."""
    config = SandboxConfig(num_slots=2, memory_bytes=512 * 1024**2, preload=False, lowest_rung=Rung.LIMITS)
    async with Sandbox(config) as opened:
        yield opened


@pytest.fixture(scope="module")
async def unlocked() -> AsyncIterator[Sandbox]:
    """One with limits alone, where programs can still fork, signal and write: for what must hold there too."""
    async with Sandbox(replace(LIMITS_ONLY, num_slots=2, memory_bytes=512 * 1024**2)) as opened:
        yield opened


@pytest.fixture
def eventually() -> Eventually:
    """Look until something holds, for 10 seconds at most: True if it came to hold."""

    async def look(condition: Callable[[], bool]) -> bool:
        with anyio.move_on_after(10):
            while not condition():
                await anyio.sleep(0.005)
        return condition()

    return look
