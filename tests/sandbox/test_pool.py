"""The pool: slots whose programs were killed and don't end."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from numina_infer.sandbox import Sandbox
from numina_infer.sandbox.host.process import Process
from tests.sandbox.limits_only import LIMITS_ONLY

Eventually = Callable[[Callable[[], bool]], Awaitable[bool]]


class Undying(Process):
    """A program that was killed, and whose end the kernel doesn't confirm."""

    is_quiet = False

    def __init__(self) -> None:
        self.number = 1
        self.end, self.is_lost = None, False
        self.killed_at = anyio.current_time()

    def kill(self) -> None:
        """Without effect."""


@pytest.mark.anyio
async def test_where_every_slot_is_stuck_the_zygote_is_replaced(eventually: Eventually) -> None:
    """Once the kills had their time; it takes its children with it, and later programs run on the new one."""
    async with Sandbox(replace(LIMITS_ONLY, num_slots=1, kill_grace_s=0.05)) as sandbox:
        pool = sandbox._opened()
        server = await pool.server()
        await pool.acquire(None)
        program = Undying()
        pool.release(program)
        assert await eventually(lambda: not server.is_alive)
        program.on_end()
        assert (await sandbox.execute("print(5)", timeout_s=20)).output == "5"


@pytest.mark.anyio
async def test_a_slot_that_works_is_waited_for(sandbox: Sandbox) -> None:
    """One stuck slot of two refuses nobody, however long the other takes."""
    pool, program = sandbox._opened(), Undying()
    await pool.acquire(None)
    pool.release(program)
    outputs: list[str] = []

    async def run(code: str) -> None:
        outputs.append((await sandbox.execute(code, timeout_s=20)).output)

    async with anyio.create_task_group() as programs:
        for number in (1, 2):
            programs.start_soon(run, f"import time; time.sleep(0.3); print({number})")
    assert outputs == ["1", "2"]
    program.on_end()
