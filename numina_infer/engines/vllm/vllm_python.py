"""Finds the interpreter that has vLLM: the one that was named, the one that `make vllm` built, or this one."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import EngineError

VARIABLE = "NUMINA_VLLM_PYTHON"
"""The environment variable that names the interpreter."""
_BUILT = Path(".venv-vllm") / "bin" / "python"
"""Where `make vllm` puts it."""


def find_vllm_python(named: str = "") -> Path:
    """The interpreter to start vLLM with.

    Raises:
        ConfigError: the one that was named isn't there.
        EngineError: none was named, and none is found.
    """
    named = named or os.environ.get(VARIABLE, "")
    if named:
        path = Path(named).expanduser()
        require(
            path.is_file() and os.access(path, os.X_OK),
            f"vllm_python is {named!r}, which can't be run; name the python of the environment that has vLLM",
        )
        return path.absolute()
    for path in _candidates():
        if path.is_file():
            return path.absolute()
    raise EngineError(
        "no vLLM was found: `make vllm` builds an environment for it, "
        f"or name one with --vllm-python or {VARIABLE} (the python of the environment that has vLLM)"
    )


def _candidates() -> Iterator[Path]:
    yield _BUILT
    yield Path(__file__).resolve().parents[3] / _BUILT
    if importlib.util.find_spec("vllm") is not None:
        yield Path(sys.executable)
