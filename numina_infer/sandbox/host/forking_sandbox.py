"""The sandbox that runs model-written programs, each in a locked-down process of its own, and its sessions.

Every program or session gets a process with kernel limits, killed at its deadline together with all that it started,
and locked down on the highest rung that holds here (docs/security.md); `describe()` says which rung that is.

A session holds the programs of one trajectory: each in a child of its own, or all in one child that keeps their
variables. Numina and ToRA run each program in a process of its own. Qwen2.5-Math runs earlier blocks again before
each, without their prints; here they run as they are, and their output is dropped. A kept child gives the same without
running them again, except after a kill. In both cases the earlier blocks share the new block's own time; NeMo-Skills
gives both the full time, and so takes up to twice what is allowed.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Self

import anyio

from numina_infer.core.config import Mode, SandboxConfig, require_positive
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff, Session
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.child.program_report import ProgramReport
from numina_infer.sandbox.host import ending
from numina_infer.sandbox.host.forkserver import ForkServer
from numina_infer.sandbox.host.ladder import RungInForce
from numina_infer.sandbox.host.process import Process, ServerLostError
from numina_infer.sandbox.host.program_clock import TimeLimit
from numina_infer.sandbox.host.zygote_pool import Pool

_logger = logging.getLogger(__name__)


class Sandbox:
    """Runs programs in forked children of a warm process.

    Use it as `async with Sandbox() as sandbox`, on one event loop; at the end of the block no process is left.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self._config = config if config is not None else SandboxConfig()
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        """Start the zygote, and wait until its libraries are loaded.

        Raises:
            SandboxError: it doesn't start, this isn't Linux, or no rung of the ladder holds.
        """
        if sys.platform != "linux":
            raise SandboxError(f"the sandbox needs Linux, and this is {sys.platform}")
        if self._pool is not None:
            raise SandboxError("the sandbox was opened before; make a new one")
        self._pool = Pool(self._config)
        await self._pool.server()
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Kill all processes, and wait until they are gone."""
        await self._opened().close()

    def session(self, mode: Mode = Mode.SESSION) -> AbstractAsyncContextManager[Session]:
        """A session for the programs of one trajectory; leaving it kills what still runs.

        Raises:
            SandboxError: the sandbox isn't open.
        """
        pool, mode = self._opened(), Mode(mode)
        return KeptSession(pool) if mode is Mode.SESSION else ProgramSession(pool, replays=mode is Mode.REPLAY)

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """Run one program in a child of its own; see `ports.Session.execute`."""
        async with self.session(Mode.FRESH) as session:
            return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)

    @property
    def incidents(self) -> tuple[str, ...]:
        """A line for every zygote that died."""
        return () if self._pool is None else tuple(self._pool.incidents)

    def describe(self) -> Mapping[str, str | int | float]:
        """The lock-down in force here, the limits, and the versions of the libraries, for the run log."""
        pool = self._opened()
        return {
            "sandbox": "zygote",
            "rung": str(self.standing.rung),
            **{f"not {rung}": reason for rung, reason in self.standing.refused.items()},
            "num_slots": pool.num_slots,
            "memory_bytes": self._config.memory_bytes,
            "max_output_bytes": self._config.max_output_bytes,
            "max_file_bytes": self._config.max_file_bytes,
            **pool.versions,
        }

    @property
    def standing(self) -> RungInForce:
        """The rung in force, why not one above it, and the results of the self-test.

        Raises:
            SandboxError: the sandbox isn't open.
        """
        standing = self._opened().standing
        if standing is None:
            raise SandboxError("the sandbox did not start")
        return standing

    def _opened(self) -> Pool:
        if self._pool is None:
            raise SandboxError("the sandbox isn't open yet; use it in an `async with` block")
        return self._pool


class ProgramSession:
    """Runs one program at a time, in a slot of the pool and a child of its own.

    Where it replays, each runs after those that succeeded before it, in silence.
    """

    def __init__(self, pool: Pool, *, replays: bool) -> None:
        self._pool = pool
        self._replays = replays
        self._process: Process | None = None
        self._history: list[str] = []
        """The programs that succeeded, if a new child is to run them again."""
        self._turn = anyio.Lock()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._is_closed = True
        self._drop()

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        """Run `code`, once more if the zygote died meanwhile; see `ports.Session`."""
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
            return Execution(ExecutionStatus.TIMEOUT, ending.timed_out(0.0).text)
        started, config = anyio.current_time(), self._pool.config
        limit = TimeLimit(timeout_s, started + config.wall_factor * timeout_s, cutoff, config.kill_grace_s)
        try:
            process = await self._run(server, code, limit)
            return self._execution(process, timeout_s, anyio.current_time() - started)
        finally:
            self._pool.release(self._process)
            self._tidy()

    async def _run(self, server: ForkServer, code: str, limit: TimeLimit) -> Process:
        """Run `code` to its end in `self._process`, and return that."""
        self._process = process = server.spawn(limit.timeout_s, [*self._history, code])
        await process.finish(limit)
        # A program that left by os._exit would end every later child before its own program.
        is_ok = process.end is not None and ending.has_succeeded(process.end) and not process.is_flooded
        if self._replays and is_ok:
            self._history.append(code)
        return process

    def _tidy(self) -> None:
        """Leave things ready for the next program."""
        self._drop()

    def _drop(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _execution(self, process: Process, timeout_s: float, wall_s: float) -> Execution:
        found = self._judge(process, timeout_s, min(timeout_s, round(wall_s, 2)))
        stdout, stderr = ending.clean(process.stdout.kept), ending.clean(process.stderr.kept)
        output = ending.compose(stdout, ending.clean(found.text))
        return Execution(found.status, output, stdout, stderr, wall_s, process.cpu_s)

    def _judge(self, process: Process, timeout_s: float, seconds: float) -> ProgramReport:
        if process.is_flooded:
            limit = self._pool.config.max_output_bytes
            return ProgramReport(ExecutionStatus.OUTPUT_LIMIT, f"Stopped: more than {limit} bytes of output.")
        if process.report is not None:
            return process.report
        if process.end is not None:
            overran = process.is_killed or process.end.cpu_s >= timeout_s
            return ending.of_exit(process.end, overran=overran, seconds=seconds)
        return ending.timed_out(seconds)


class KeptSession(ProgramSession):
    """Runs all programs, called blocks here, in one child that keeps the variables; another child replays them."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, replays=True)

    async def _run(self, server: ForkServer, code: str, limit: TimeLimit) -> Process:
        process = self._process
        if process is None or not process.can_go_on():  # it may have died at rest
            self._drop()
            self._process = process = server.spawn(limit.timeout_s, None)
        process.clock.restart()
        if not process.has_begun and not await self._restore(process, limit):
            return process
        await self._run_block(process, code, limit)
        if process.has_succeeded:
            self._history.append(code)
        return process

    async def _restore(self, process: Process, limit: TimeLimit) -> bool:
        """Run the history again; if it doesn't end in time it is forgotten, so that it stops one block only."""
        for block in self._history:
            await self._run_block(process, block, limit)
            if process.never_began:
                return False
            if not process.is_quiet or not process.can_go_on():
                _logger.warning("the %d earlier blocks of a session can not be run again", len(self._history))
                self._history.clear()
                return False
        return True

    async def _run_block(self, process: Process, code: str, limit: TimeLimit) -> None:
        process.start_block(code, max(0.0, limit.timeout_s - process.clock.spent_s))
        await process.finish(limit)

    def _tidy(self) -> None:
        if self._process is not None and self._process.is_usable:
            self._process.pause()
        else:
            super()._tidy()
