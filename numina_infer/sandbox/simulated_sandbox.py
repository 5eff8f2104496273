"""A sandbox for simulations: programs say how long they would take and what they would print, and nothing runs.

A program is `# simulated: 1.250 s` and `print(52)`, as `engines/simulated_engine.py` writes it; others print nothing
and take no time.
"""

import math
import re
from collections.abc import Mapping

from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.core.slots import Slots
from numina_infer.sandbox.host.process import until
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox

_SECONDS = re.compile(r"# simulated: (\d+\.\d+) s")
_PRINTED = re.compile(r"print\((-?\d+)\)")


def pretend(code: str) -> Execution:
    """The result that `code` announces."""
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
