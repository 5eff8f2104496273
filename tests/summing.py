"""A sandbox that runs nothing and knows what the built-in script's programs print."""

import json
import re
from pathlib import Path

from numina_infer.app.composition import Backends
from numina_infer.sandbox import SandboxConfig
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox


def printed(code: str) -> str:
    """What a program of `sum_of_numbers` prints: the sum of the numbers in its first line; nothing for another's."""
    numbers = re.match(r"numbers = \[([\d, ]*)\]\n", code)
    return f"{sum(map(int, re.findall(r'[0-9]+', numbers[1])))}\n" if numbers else ""


def summing_sandbox(_config: SandboxConfig | None = None) -> ScriptedSandbox:
    """The sandbox, closed."""
    return ScriptedSandbox(printed)


SUMMING = Backends(sandbox=summing_sandbox)
"""The engine that was chosen, without the zygote of the real sandbox."""


def write_sums(path: Path, count: int) -> Path:
    """A problems file of `count` sums."""
    rows = [{"id": f"s{n}", "problem": f"Add {n}, 100 and 7.", "answer": f"{n + 107}.0"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
