"""Sandboxes that run nothing, for tests, demonstrations and simulations: results are scripted, or said by programs.

They keep the port's contract, also in time: a result's `wall_s` passes on the loop's clock, and a result that takes
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

Script = Mapping[str, Execution | str] | Callable[[str], Execution | str]
"""From a program to its result; a text is the output of a program that succeeds."""
_SECONDS = re.compile(r"# simulated: (\d+\.\d+) s")
_PRINTED = re.compile(r"print\((-?\d+)\)")


class ScriptedSandbox:
    """Answers every program from a script; opened and closed like the real one."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._is_open = False
        self.programs: list[str] = []
        """The programs that it was asked to run, in order."""
        self.num_open_sessions = 0

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
        """A session for the programs of one trajectory; whether they share variables is up to the script."""
        self._require_open()
        session = _ScriptedSession(self)
        self.num_open_sessions += 1
        try:
            yield session
        finally:
            session.is_closed = True
            self.num_open_sessions -= 1

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """The scripted result of `code`; see `ports.Session.execute`."""
        require_positive("timeout_s", timeout_s)
        self._require_open()
        self.programs.append(code)
        result = self._look_up(code)
        started = anyio.current_time()
        with until(cutoff, timeout_s):
            await anyio.sleep(result.wall_s)
            return result
        wall_s = anyio.current_time() - started
        late = ending.timed_out(min(timeout_s, round(wall_s, 2)))
        return Execution(late.status, ending.compose(result.stdout, late.text), result.stdout, result.stderr, wall_s)

    def describe(self) -> Mapping[str, str | int | float]:
        """Says that nothing is run."""
        return {"sandbox": "scripted", "rung": "none"}

    def _look_up(self, code: str) -> Execution:
        if isinstance(self._script, Mapping):
            if code not in self._script:
                raise SandboxError(f"no result is scripted for the program {code!r}")
            result = self._script[code]
        else:
            result = self._script(code)
        return Execution(ExecutionStatus.OK, result.strip(), result) if isinstance(result, str) else result

    def _require_open(self) -> None:
        if not self._is_open:
            raise SandboxError("the sandbox is closed; run programs inside its `async with` block")


class _ScriptedSession:
    def __init__(self, sandbox: ScriptedSandbox) -> None:
        self._sandbox = sandbox
        self.is_closed = False

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        if self.is_closed:
            raise SandboxError("the session is closed; run programs inside its `async with` block")
        return await self._sandbox.execute(code, timeout_s=timeout_s, cutoff=cutoff)


def pretend(code: str) -> Execution:
    """The result that `code` announces: `# simulated: 1.250 s` and `print(52)`, as the simulated engine writes them.

    A program that announces nothing prints nothing and takes no time.
    """
    seconds, printed = _SECONDS.match(code), _PRINTED.search(code)
    output = printed[1] if printed else ""
    stdout, wall_s = output + "\n" if output else "", float(seconds[1] if seconds else 0)
    return Execution(ExecutionStatus.OK, output, stdout, wall_s=wall_s)


class SimulatedSandbox(ScriptedSandbox):
    """As the real sandbox, programs wait for one of `num_slots` slots; waiting doesn't count against their limit."""

    def __init__(self, num_slots: int) -> None:
        super().__init__(pretend)
        self._num_slots = num_slots
        self._slots = Slots(num_slots)

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """The announced result of `code`; see `ports.Session.execute`."""
        with until(cutoff):
            await self._slots.acquire(math.inf if cutoff is None else cutoff.at)
            try:
                return await super().execute(code, timeout_s=timeout_s, cutoff=cutoff)
            finally:
                self._slots.release()
        return Execution(ExecutionStatus.TIMEOUT, "")

    def describe(self) -> Mapping[str, str | int | float]:
        """Says that nothing is run."""
        return {"sandbox": "simulated", "rung": "none", "num_slots": self._num_slots}
