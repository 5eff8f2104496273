"""Pauses of a gateway: time of a contest's loop passes while no problem is asked."""

from concurrent.futures import Future

import anyio
from anyio.from_thread import BlockingPortal

from numina_infer.core.clock import Clock


def start_pause(portal: BlockingPortal, clock: Clock, seconds: float) -> "Future[None]":
    """Begin a pause of `seconds` on the loop of `portal`; done when they have passed.

    It counts as a caller who waits. Otherwise the end of an earlier problem, which may reach the loop only now, would
    freeze virtual time again, for ever.
    """

    async def dawdle() -> None:
        clock.callers.heard()
        await anyio.sleep(seconds)
        clock.callers.leave()

    clock.callers.come()
    return portal.start_task_soon(dawdle)
