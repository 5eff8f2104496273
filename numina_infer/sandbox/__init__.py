"""Where programs run: a host side, a warm process that forks, and what its children do before untrusted code."""

from numina_infer.config import SandboxConfig
from numina_infer.sandbox.host import Sandbox
from numina_infer.sandbox.scripted import ScriptedSandbox
from numina_infer.trajectory import Execution, ExecutionStatus

__all__ = ["Execution", "ExecutionStatus", "Sandbox", "SandboxConfig", "ScriptedSandbox"]
