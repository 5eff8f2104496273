"""The slots that programs wait for, and the fork server (zygote) that runs them, started again when it dies.

A slot is given back when the kernel says that its program is gone, not when its caller leaves: no caller waits for a
program that won't die, and no program starts in the place of one that still runs.
"""

import asyncio
import logging
import math
import os
from functools import partial

import anyio

from numina_infer.core.config import SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.core.slots import Slots
from numina_infer.sandbox.host.forkserver import ForkServer
from numina_infer.sandbox.host.ladder import RungInForce, find_standing
from numina_infer.sandbox.host.process import Process, until

_logger = logging.getLogger(__name__)


class Pool:
    """`num_slots` slots, handed on by deadline, and the fork server that runs programs in them."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        cores = len(os.sched_getaffinity(0))
        self.num_slots = config.num_slots or (cores - 1 if cores > 2 else cores)
        self.is_closed = False
        self.versions: dict[str, str] = {}
        """Of the packages that programs find loaded."""
        self.standing: RungInForce | None = None
        """The rung of the ladder, once the first server has been tried."""
        self.incidents: list[str] = []
        """Everything that went wrong and was repaired."""
        self._slots = Slots(self.num_slots)
        self._overdue: set[Process] = set()
        """Programs that were killed and whose time to end is over; each keeps its slot until it ends."""
        self._starting = anyio.Lock()
        self._server: ForkServer | None = None

    async def acquire(self, cutoff: Cutoff | None) -> ForkServer | None:
        """Wait for a slot and a living fork server; None if `cutoff` came first.

        Raises:
            SandboxError: the pool is closed, or the server doesn't start.
        """
        with until(cutoff):
            await self._slots.acquire(math.inf if cutoff is None else cutoff.at)
            try:
                return await self.server()
            except BaseException:
                self._slots.release()
                raise
        return None

    def release(self, process: Process | None) -> None:
        """Give the slot back once its program is quiet; one that still runs is killed."""
        if process is None or process.is_quiet:
            self._slots.release()
            return
        process.on_end = partial(self._free, process)
        process.kill()
        left_s = process.killed_at + self.config.kill_grace_s - anyio.current_time()
        asyncio.get_running_loop().call_later(max(0.0, left_s), self._retire, process)

    def _free(self, process: Process) -> None:
        self._overdue.discard(process)
        self._slots.release()

    def _retire(self, process: Process) -> None:
        """Retire the slot of a program whose time to end is over; without any slot left, replace the zygote."""
        if process.is_gone:
            return
        self._overdue.add(process)
        _logger.error("program %d was killed and does not end; its slot is retired until it does", process.number)
        if len(self._overdue) >= self.num_slots and self._server is not None:
            _logger.error("no slot of the sandbox is left; its zygote is replaced")
            self._server.abandon()

    async def server(self) -> ForkServer:
        """The living fork server, started if there is none."""
        async with self._starting:
            if self.is_closed:
                raise SandboxError("the sandbox is closed; run programs inside its `async with` block")
            if self._server is not None and not self._server.is_alive:
                self.incidents.append("the sandbox's zygote died; a new one is started")
                _logger.warning("%s", self.incidents[-1])
                await self._server.close()
                self._server = None
            if self._server is None:
                self._server = await self._start()
            return self._server

    async def _start(self) -> ForkServer:
        server = await ForkServer.start(self.config)
        try:
            if self.standing is None:
                self.standing = await find_standing(server, self.config)
        finally:
            if self.standing is None:
                await server.close()
        server.rung = self.standing.rung
        self.versions = server.versions
        return server

    async def close(self) -> None:
        """End all programs and the server; callers that wait for a slot get a `SandboxError`."""
        self.is_closed = True
        with anyio.CancelScope(shield=True):
            async with self._starting:
                if self._server is not None:
                    await self._server.close()
                    self._server = None
