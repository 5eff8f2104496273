"""The sandbox as the core sees it: a place where model-written programs run and can't be waited for in vain.

A process of its own for every program or session, kernel limits, kill at the deadline, death of everything left
behind, and the lock-down of the highest rung that holds here (docs/security.md); `describe()` tells which.
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

    Use it as `async with Sandbox() as sandbox`; at the end of the block no process is left.
    It belongs to the event loop that opened it.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self._config = config if config is not None else SandboxConfig()
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        """Start the zygote; done when it is warm.

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
        """Kill everything; done when it is gone."""
        await self._opened().close()

    def session(self, mode: Mode = Mode.SESSION) -> AbstractAsyncContextManager[Session]:
        """A place for the programs of one trajectory; leaving it kills what still runs.

        Raises:
            SandboxError: the sandbox isn't open.
        """
        pool = self._opened()
        return _SESSIONS[mode](pool)

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """Run one program in a child of its own; see `ports.Session.execute`."""
        async with FreshSession(self._opened()) as session:
            return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)

    @property
    def incidents(self) -> tuple[str, ...]:
        """Zygotes that died."""
        return () if self._pool is None else tuple(self._pool.incidents)

    def describe(self) -> Mapping[str, str | int | float]:
        """What holds programs back here, and which versions they find."""
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
        """The rung in force, why not the ones above, and what the self-test tried.

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
