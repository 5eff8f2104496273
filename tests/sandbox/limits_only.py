"""The sandbox's lowest rung."""

from numina_infer.core.config import Rung
from numina_infer.sandbox import SandboxConfig

LIMITS_ONLY = SandboxConfig(preload=False, highest_rung=Rung.LIMITS, lowest_rung=Rung.LIMITS)
