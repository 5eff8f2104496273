"""A sandbox that runs nothing: results are scripted in advance."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from numina_infer.core.config import Mode
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff, Session
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.simulated_sandbox import SimulatedSandbox

Script = Mapping[str, Execution | str] | Callable[[str], Execution | str]
"""From a program to its result; a text is the output of a program that succeeds."""


class ScriptedSandbox(SimulatedSandbox):
    """Answers every program from a script, without waiting for a slot; opened and closed like the real one."""

    def __init__(self, script: Script) -> None:
        super().__init__(1, self._look_up)
        self._script = script
        self.programs: list[str] = []
        """The programs that it was asked to run, in order."""
        self.num_open_sessions = 0

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A session for the programs of one trajectory; whether they share variables is up to the script."""
        async with super().session(mode) as session:
            self.num_open_sessions += 1
            try:
                yield session
            finally:
                self.num_open_sessions -= 1

    async def execute(self, code: str, *, timeout_s: float = 5.0, cutoff: Cutoff | None = None) -> Execution:
        """The scripted result of `code`; see `ports.Session.execute`."""
        return await self.pass_time(code, timeout_s=timeout_s, cutoff=cutoff)

    def describe(self) -> Mapping[str, str | int | float]:
        """Says that nothing is run."""
        return {"sandbox": "scripted", "rung": "none"}

    def _look_up(self, code: str) -> Execution:
        self.programs.append(code)
        if isinstance(self._script, Mapping):
            if code not in self._script:
                raise SandboxError(f"no result is scripted for the program {code!r}")
            result = self._script[code]
        else:
            result = self._script(code)
        return Execution(ExecutionStatus.OK, result.strip(), result) if isinstance(result, str) else result
