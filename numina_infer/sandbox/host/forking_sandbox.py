"""The sandbox that runs model-written programs, each in a locked-down process of its own.

Every program or session gets a process with kernel limits, killed at its deadline together with all that it started,
and locked down on the highest rung that holds here (docs/security.md); `describe()` says which rung that is.
"""

import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from numina_infer.core.config import Mode, SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff, Session
from numina_infer.core.records import Execution
from numina_infer.sandbox.host.ladder import RungInForce
from numina_infer.sandbox.host.session import FreshSession, KeptSession, ReplayedSession
from numina_infer.sandbox.host.zygote_pool import Pool

_SESSIONS = {Mode.FRESH: FreshSession, Mode.REPLAY: ReplayedSession, Mode.SESSION: KeptSession}


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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all processes, and wait until they are gone."""
        await self._opened().close()

    def session(self, mode: Mode = Mode.SESSION) -> AbstractAsyncContextManager[Session]:
        """A session for the programs of one trajectory; leaving it kills what still runs.

        Raises:
            SandboxError: the sandbox isn't open.
        """
        return _SESSIONS[mode](self._opened())

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """Run one program in a child of its own; see `ports.Session.execute`."""
        async with FreshSession(self._opened()) as session:
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
