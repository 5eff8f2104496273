"""A sandbox for simulations: programs say how long they would take and what they would print, and nothing runs.

It keeps the port's contract, also in time: a result's `wall_s` passes on the loop's clock, and a result that takes
longer than `timeout_s`, or beyond the cutoff, becomes a time-out.
"""

import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self

import anyio

from numina_infer.core.config import Mode, require_positive
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff, Session
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.core.slots import Slots
from numina_infer.sandbox.host import ending
from numina_infer.sandbox.host.process import until

_SECONDS = re.compile(r"# simulated: (\d+\.\d+) s")
_PRINTED = re.compile(r"print\((-?\d+)\)")


def pretend(code: str) -> Execution:
    """The result that `code` announces: `# simulated: 1.250 s` and `print(52)`, as the simulated engine writes them.

    A program that announces nothing prints nothing and takes no time.
    """
    seconds, printed = _SECONDS.match(code), _PRINTED.search(code)
    output = printed[1] if printed else ""
    stdout, wall_s = output + "\n" if output else "", float(seconds[1] if seconds else 0)
    return Execution(ExecutionStatus.OK, output, stdout, wall_s=wall_s)


class SimulatedSandbox:
    """As in the real sandbox, programs wait for one of `num_slots` slots, which doesn't count against their limit."""

    def __init__(self, num_slots: int, result_of: Callable[[str], Execution] = pretend) -> None:
        self._num_slots, self._result_of = num_slots, result_of
        self._slots = Slots(num_slots)
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._is_open = False

    @property
    def incidents(self) -> tuple[str, ...]:
        """Always empty."""
        return ()

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:  # noqa: ARG002 - the port has it
        """A session for the programs of one trajectory."""
        self._require_open()
        session = _SimulatedSession(self)
        try:
            yield session
        finally:
            session.is_closed = True

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """The result of `code`, once it had a slot for its time; see `ports.Session.execute`."""
        with until(cutoff):
            async with self._slots.hold(math.inf if cutoff is None else cutoff.at):
                return await self.pass_time(code, timeout_s=timeout_s, cutoff=cutoff)
        return Execution(ExecutionStatus.TIMEOUT, "")

    async def pass_time(self, code: str, *, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        """The result of `code` after the time that it takes, or a time-out."""
        require_positive("timeout_s", timeout_s)
        self._require_open()
        result, started = self._result_of(code), anyio.current_time()
        with until(cutoff, timeout_s):
            await anyio.sleep(result.wall_s)
            return result
        wall_s = anyio.current_time() - started
        late = ending.timed_out(min(timeout_s, round(wall_s, 2)))
        return Execution(late.status, ending.compose(result.stdout, late.text), result.stdout, result.stderr, wall_s)

    def describe(self) -> Mapping[str, str | int | float]:
        """Says that nothing is run."""
        return {"sandbox": "simulated", "rung": "none", "num_slots": self._num_slots}

    def _require_open(self) -> None:
        if not self._is_open:
            raise SandboxError("the sandbox is closed; run programs inside its `async with` block")


class _SimulatedSession:
    def __init__(self, sandbox: SimulatedSandbox) -> None:
        self._sandbox = sandbox
        self.is_closed = False

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        if self.is_closed:
            raise SandboxError("the session is closed; run programs inside its `async with` block")
        return await self._sandbox.execute(code, timeout_s=timeout_s, cutoff=cutoff)
