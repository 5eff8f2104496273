"""Runs the programs that models write, so that they can do no harm and never hang their caller.

In: a program's text and its time limit. Out: an `Execution`: status, output, processor and wall seconds.

`host/` is the side that asks: `forking_sandbox.py` has the public `Sandbox` and the sessions of trajectories.
`child/` is the side that runs hostile code: a zygote forks children, each locks itself down and runs its program.
`scripted_sandbox.py` and `simulated_sandbox.py` run nothing; `commands.py` has `sandbox check` and `sandbox run`.
"""

from numina_infer.core.config import SandboxConfig
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.host.forking_sandbox import Sandbox
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox

__all__ = ["Execution", "ExecutionStatus", "Sandbox", "SandboxConfig", "ScriptedSandbox"]
