"""The programs of one trajectory: each in a child of its own, or all in one that keeps their variables.

Fresh is what Numina and ToRA do. Qwen2.5-Math runs earlier blocks again before each, without their prints; here they
run as they are and their output is thrown away. Keeping a child gives the same without running them again; only after
a kill are they. In both cases they share the new block's own time (NeMo-Skills gives both the full time, and takes
twice what it is allowed).
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio

from numina_infer.core.config import require_positive
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.child.channel import ChildEnded
from numina_infer.sandbox.child.output import clean, compose
from numina_infer.sandbox.host import verdict
from numina_infer.sandbox.host.forkserver import ForkServer
from numina_infer.sandbox.host.process import Process, ServerLostError
from numina_infer.sandbox.host.verdict import ProgramEnding, has_come_through
from numina_infer.sandbox.host.zygote_pool import Pool

_logger = logging.getLogger(__name__)


class PooledSession(ABC):
    """What both kinds share: one program at a time, each in a slot of the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._process: Process | None = None
        self._turn = anyio.Lock()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._drop()

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        """Run `code`; see `ports.Session`. A program whose zygote died under it is run once more."""
        require_positive("timeout_s", timeout_s)
        async with self._turn:
            try:
                return await self._in_slot(code, timeout_s, cutoff)
            except ServerLostError as error:
                _logger.warning("%s; the program is run again", error)
                return await self._in_slot(code, timeout_s, cutoff)

    async def _in_slot(self, code: str, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        if self._is_closed:
            raise SandboxError("the session is closed; run programs inside its `async with` block")
        server = await self._pool.acquire(cutoff)
        if server is None:
            return Execution(ExecutionStatus.TIMEOUT, verdict.timed_out(0.0).note)
        started = anyio.current_time()
        try:
            process = await self._run(server, code, timeout_s, cutoff)
            return self._execution(process, timeout_s, anyio.current_time() - started)
        finally:
            self._pool.release(self._process)
            self._tidy()

    @abstractmethod
    async def _run(self, server: ForkServer, code: str, timeout_s: float, cutoff: Cutoff | None) -> Process:
        """Run `code` to its end in `self._process`, which is returned."""

    @abstractmethod
    def _tidy(self) -> None:
        """After a program: keep `self._process` or drop it."""

    def _drop(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _execution(self, process: Process, timeout_s: float, wall_s: float) -> Execution:
        found = self._judge(process, timeout_s, min(timeout_s, round(wall_s, 2)))
        stdout, stderr = clean(process.stdout.kept), clean(process.stderr.kept)
        output = compose(stdout, clean(found.note))
        return Execution(found.status, output, stdout, stderr, wall_s, process.cpu_s)

    def _judge(self, process: Process, timeout_s: float, seconds: float) -> ProgramEnding:
        if process.is_flooded:
            return verdict.flooded(self._pool.config.max_output_bytes)
        if process.report is not None:
            return verdict.of_report(process.report)
        if isinstance(process.end, ChildEnded):
            overran = process.is_killed or process.end.cpu_s >= timeout_s
            return verdict.of_exit(process.end, overran=overran, seconds=seconds)
        return verdict.timed_out(seconds)


class FreshSession(PooledSession):
    """Every program has a child of its own."""

    async def _run(self, server: ForkServer, code: str, timeout_s: float, cutoff: Cutoff | None) -> Process:
        return await self._run_last(server, [code], timeout_s, cutoff)

    async def _run_last(
        self, server: ForkServer, programs: Sequence[str], timeout_s: float, cutoff: Cutoff | None
    ) -> Process:
        self._process = process = server.spawn(timeout_s, programs)
        config = self._pool.config
        wall_deadline = anyio.current_time() + config.wall_factor * timeout_s
        await process.finish(timeout_s, wall_deadline, cutoff, config.kill_grace_s)
        return process

    def _tidy(self) -> None:
        self._drop()


class ReplayedSession(FreshSession):
    """Every program has a child of its own, in which those that succeeded before it are run first, in silence."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._history: list[str] = []

    async def _run(self, server: ForkServer, code: str, timeout_s: float, cutoff: Cutoff | None) -> Process:
        process = await self._run_last(server, [*self._history, code], timeout_s, cutoff)
        # One that left by os._exit would end every later child before its own program.
        if isinstance(process.end, ChildEnded) and has_come_through(process.end) and not process.is_flooded:
            self._history.append(code)
        return process


@dataclass(frozen=True, slots=True)
class _Time:
    """What a block and those that are run again for it have together."""

    cpu_s: float
    wall_deadline: float
    cutoff: Cutoff | None


class KeptSession(PooledSession):
    """One child keeps the variables from program to program."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._history: list[str] = []
        """The blocks that succeeded: what a new child has to run to know what the old one knew."""

    async def _run(self, server: ForkServer, code: str, timeout_s: float, cutoff: Cutoff | None) -> Process:
        process = self._process
        if process is None or not process.can_go_on():  # it may have died at rest
            self._drop()
            self._process = process = server.spawn(timeout_s, None)
        process.start_clock()
        time = _Time(timeout_s, anyio.current_time() + self._pool.config.wall_factor * timeout_s, cutoff)
        if not process.has_begun and not await self._restore(process, time):
            return process
        await self._block(process, code, time)
        if process.has_succeeded:
            self._history.append(code)
        return process

    async def _restore(self, process: Process, time: "_Time") -> bool:
        """Run the history again; one that doesn't come to its end in time is forgotten, lest it stop every block."""
        for block in self._history:
            await self._block(process, block, time)
            if not process.is_quiet or not process.can_go_on():
                _logger.warning("the %d earlier blocks of a session can not be run again", len(self._history))
                self._history.clear()
                return False
        return True

    async def _block(self, process: Process, code: str, time: "_Time") -> None:
        process.start_block(code, max(0.0, time.cpu_s - process.spent_s))
        await process.finish(time.cpu_s, time.wall_deadline, time.cutoff, self._pool.config.kill_grace_s)

    def _tidy(self) -> None:
        if self._process is not None and self._process.is_usable:
            self._process.pause()
        else:
            self._drop()
