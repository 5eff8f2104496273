"""Formats by name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Format
from numina_infer.formats.chat import CHAT, chat_format
from numina_infer.formats.math_instruct import DEEPSEEK_MATH, QWEN_MATH, OpenMath
from numina_infer.formats.numina import NUMINA, NUMINA_FEW_SHOT

_FIXED: Mapping[str, Format] = {
    fmt.name: fmt for fmt in (NUMINA, NUMINA_FEW_SHOT, DEEPSEEK_MATH, QWEN_MATH, OpenMath())
}
FORMATS = (*_FIXED, CHAT)
"""The names of all formats."""


def require_format(name: str) -> None:
    """Raise `ConfigError` naming the known formats unless `name` is one."""
    require(name in FORMATS, f"no format is called {name!r}; choose one of {', '.join(FORMATS)}")


def make_format(name: str, *, max_calls: int | None = None, model_folder: Path | None = None) -> Format:
    """The format called `name`.

    Args:
        name: one of `FORMATS`.
        max_calls: how many programs a trajectory may run; `openmath` says so to the model.
        model_folder: holds the tokenizer whose chat template `chat` takes.

    Raises:
        ConfigError: there is no such format, or it can't be made from what is given.
    """
    require_format(name)
    if name == CHAT:
        if model_folder is None:
            raise ConfigError(f"format {CHAT} takes the template of a model; give a model's folder, or another format")
        return chat_format(model_folder)
    fmt = _FIXED[name]
    return replace(fmt, max_calls=max_calls) if isinstance(fmt, OpenMath) and max_calls is not None else fmt
