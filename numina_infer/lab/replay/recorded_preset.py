"""`run.json`'s preset as configs again: what a run was made with, not what a preset of that name is today."""

from collections.abc import Mapping
from typing import Any

from numina_infer.core.errors import RunLogError
from numina_infer.core.presets import Preset
from numina_infer.runs.rows import RowError, read_record


def read_preset(info: Mapping[str, Any]) -> Preset:
    """The preset of a run; a field that an older log doesn't have gets its default.

    Raises:
        RunLogError: `run.json` has no preset, or one that can't be read.
    """
    row = info.get("preset")
    if not isinstance(row, Mapping):
        raise RunLogError("run.json names no preset; the run was made by other means, and its policy isn't known")
    try:
        return read_record(Preset, row, is_strict=False)
    except RowError as error:
        raise RunLogError(f"the preset in run.json can't be read: {error}") from error
