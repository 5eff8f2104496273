"""The pool: slots whose programs were killed and don't end."""

import math
from collections.abc import Callable

import anyio
import pytest

from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.sandbox import Sandbox
from numina_infer.sandbox.host.process import Process
from numina_infer.sandbox.host.zygote_pool import Pool


class Undying(Process):
    """A program that was killed, and whose end the kernel doesn't confirm."""

    is_quiet = False
    killed_at = 0.0

    def __init__(self) -> None:
        self.number = 1
        self.callbacks: list[Callable[[], object]] = []

    def kill(self) -> None:
        """Without effect."""

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Keep it."""
        self.callbacks.append(callback)


def pool_of(sandbox: Sandbox) -> Pool:
    """Its pool."""
    return sandbox._opened()


@pytest.mark.anyio
async def test_where_every_slot_is_stuck_programs_are_refused_and_not_waited_for(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So trajectories without programs get on; when a program ends after all, its slot is given again."""
    monkeypatch.setattr("numina_infer.sandbox.host.zygote_pool._PATIENCE_S", 0.05)
    pool, programs = pool_of(sandbox), [Undying(), Undying()]
    assert pool.num_slots == len(programs)
    for program in programs:
        await pool.acquire(None)
        pool.release(program)
    with pytest.raises(SandboxError, match="all 2 slots wait for programs that were killed and don't end"):
        await pool.acquire(Cutoff(1e12))
    for program in programs:
        (come_free,) = program.callbacks
        come_free()
    assert (await sandbox.execute("print(5)")).output == "5"


@pytest.mark.anyio
async def test_a_slot_that_works_is_waited_for(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stuck slot of two refuses nobody, however long the other takes."""
    monkeypatch.setattr("numina_infer.sandbox.host.zygote_pool._PATIENCE_S", 0.01)
    pool, program = pool_of(sandbox), Undying()
    await pool.acquire(None)
    pool.release(program)
    outputs: list[str] = []

    async def run(code: str) -> None:
        outputs.append((await sandbox.execute(code, timeout_s=20)).output)

    async with anyio.create_task_group() as programs:
        for number in (1, 2):
            programs.start_soon(run, f"import time; time.sleep(0.3); print({number})")
    assert outputs == ["1", "2"]
    program.callbacks[0]()


def test_whoever_waits_longer_than_others_keeps_the_place_in_the_queue() -> None:
    """However long a program takes that runs before: first come, first served among equals."""
    clock, served = virtual_clock(), list[str]()

    async def come(pool: Pool, name: str, after_s: float) -> None:
        await anyio.sleep(after_s)
        await pool._acquire_slot(math.inf)
        served.append(name)
        pool.release(None)

    async def queue() -> None:
        pool = Pool(SandboxConfig(num_slots=1, preload=False))
        await pool._acquire_slot(math.inf)
        async with anyio.create_task_group() as programs:
            programs.start_soon(come, pool, "first", 0.0)
            programs.start_soon(come, pool, "second", 5.0)
            await anyio.sleep(12.0)
            pool.release(None)

    anyio.run(queue, backend_options=dict(clock.backend_options))
    assert served == ["first", "second"]
