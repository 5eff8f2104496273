"""Where programs run: a host side, a warm process that forks, and what its children do before untrusted code."""

from numina_infer.core.config import SandboxConfig
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.host.forking_sandbox import Sandbox
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox

__all__ = ["Execution", "ExecutionStatus", "Sandbox", "SandboxConfig", "ScriptedSandbox"]
