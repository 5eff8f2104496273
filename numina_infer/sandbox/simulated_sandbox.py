"""A simulated sandbox: programs that say how long they would take and what they would print, on so many slots.

A program is `# simulated: 1.250 s` and `print(52)`, as `engines/simulated/samples.py` writes it; others print nothing
at once.
"""

import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from numina_infer.core.config import Mode
from numina_infer.core.ports import Cutoff, Session
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.core.slots import Slots
from numina_infer.sandbox.host.process import until
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox

_SECONDS = re.compile(r"# simulated: (\d+\.\d+) s")
_PRINTED = re.compile(r"print\((-?\d+)\)")


def pretend(code: str) -> Execution:
    """What would come of `code`."""
    seconds, printed = _SECONDS.match(code), _PRINTED.search(code)
    output = printed[1] if printed else ""
    return Execution(
        ExecutionStatus.OK, output, output + "\n" if output else "", wall_s=float(seconds[1] if seconds else 0)
    )


class SimulatedSandbox:
    """A `Sandbox` in which time passes and nothing runs: `async with SimulatedSandbox(num_slots=3) as sandbox`."""

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._slots = Slots(num_slots)
        self._scripted = ScriptedSandbox(pretend)

    async def __aenter__(self) -> Self:
        await self._scripted.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._scripted.__aexit__(None, None, None)

    @property
    def incidents(self) -> tuple[str, ...]:
        """None ever."""
        return ()

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A place for the programs of one trajectory."""
        async with self._scripted.session(mode) as session:
            yield _QueuedSession(session, self._slots)

    def describe(self) -> Mapping[str, str | int | float]:
        """That nothing is run here."""
        return {"sandbox": "simulated", "rung": "none", "num_slots": self._num_slots}


class _QueuedSession:
    """Programs wait for a slot, as in the real sandbox; waiting doesn't count against their limit."""

    def __init__(self, session: Session, slots: Slots) -> None:
        self._session, self._slots = session, slots

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        with until(cutoff):
            await self._slots.acquire(math.inf if cutoff is None else cutoff.at)
            try:
                return await self._session.execute(code, timeout_s=timeout_s, cutoff=cutoff)
            finally:
                self._slots.release()
        return Execution(ExecutionStatus.TIMEOUT, "")
