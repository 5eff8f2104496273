"""`run.json`'s preset as configs again: what a run was made with, not what a preset of that name is today."""

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar

from numina_infer.errors import ConfigError, RunLogError
from numina_infer.presets import Preset

Config = TypeVar("Config")


def read_preset(info: Mapping[str, Any]) -> Preset:
    """The preset of a run; a field that an older log doesn't have gets its default.

    Raises:
        RunLogError: `run.json` has no preset, or one that can't be read.
    """
    row = info.get("preset")
    if not isinstance(row, Mapping):
        raise RunLogError("run.json names no preset; the run was made by other means, and its policy isn't known")
    try:
        return _config(Preset, row)
    except (ConfigError, TypeError, ValueError, AttributeError) as error:
        raise RunLogError(f"the preset in run.json can't be read: {error}") from error


def _config(kind: type[Config], row: Mapping[str, Any]) -> Config:
    kinds = typing.get_type_hints(kind)
    known = {field.name for field in fields(kind)} & row.keys()  # type: ignore[arg-type]
    return kind(**{name: _value(kinds[name], row[name]) for name in known})


def _value(kind: Any, value: Any) -> Any:
    """`value` as JSON has it → as a field of type `kind` has it."""
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
    if value is None or isinstance(value, float | bool):
        return value
    if is_dataclass(kind):
        return _config(typing.cast("type[Any]", kind), value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    return tuple(value) if isinstance(value, list) else value
