"""Writes the card of an exported data set: its origin, how to train on it, what was left out and why.

It begins with the metadata of hub data sets, and names no path of the machine that it was made on.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path, PurePath
from string import Template
from typing import Any

from numina_infer.core.config import require
from numina_infer.lab.export.selection import ExportStatus, Selection
from numina_infer.runs.provenance import file_sha256, package_versions

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_TOLD_OF_ENGINE = ("engine", "model", "weights", "dtype", "versions", "torch", "transformers", "dialect")


def require_license(name: str) -> None:
    """Raise `ConfigError` unless `name` is spelled as the hub spells licences."""
    require(
        bool(_LICENSE.fullmatch(name)),
        f"license is {name!r}; give it as the hub has it, such as mit, apache-2.0 or cc-by-4.0",
    )


def read_text(name: str) -> str:
    """A text of the folder `data`."""
    return (files("numina_infer.lab.export") / "data" / name).read_text(encoding="utf-8").rstrip()


def make_card(
    run: Path,
    info: Mapping[str, Any],
    references: Path,
    license_name: str | None,
    selection: Selection,
    *,
    training: str,
    how_to: str,
) -> str:
    """The text of the card.

    Args:
        run: the run folder.
        info: its `run.json`.
        references: the problems file by which trajectories are right.
        license_name: as the hub spells it; None leaves it unknown.
        selection: what was exported.
        training: the kind of training, as a tag of the hub.
        how_to: the text of `data` that says how to train on it.
    """
    name = run.resolve().name
    origin = [("run", name), *_origin(info, references)]
    cells = ((what, _cell(_without_folder(value))) for what, value in origin if value not in (None, ""))
    return Template(read_text("card.md") + "\n").substitute(
        license=license_name or "unknown",
        training=training,
        training_in_capitals=training.upper(),
        run=_cell(json.dumps(name, ensure_ascii=False)),
        counts=selection.counts,
        how_to=read_text(how_to),
        origin="\n".join(f"| {what} | {cell} |" for what, cell in cells),
        left_out=_left_out(selection.left_out),
        licence_note=f"{license_name}, as given to the export: {_LOOK}, too."
        if license_name
        else f"The export was given none: {_LOOK} before you pass it on.",
    )


_LOOK = "look at the licences of the problems and of the model"


def _origin(info: Mapping[str, Any], references: Path) -> Iterator[tuple[str, object]]:
    """Names and values of what the data set was made of."""
    choices, preset, engine = (info.get(name) or {} for name in ("choices", "preset", "engine"))
    yield "run log format", info.get("format_version")
    yield "made by", info.get("command")
    yield "begun", next(iter(info.get("sessions") or ()), None)
    yield from ((f"engine: {name}", engine.get(name)) for name in _TOLD_OF_ENGINE)
    yield "preset", choices.get("preset")
    yield "format", preset.get("format")
    yield "sampling", _plainly((preset.get("rollout") or {}).get("sampling"))
    yield "seed", choices.get("seed")
    yield "problems file", info.get("problems")
    yield "SHA-256 of the problems file", info.get("problems_sha256")
    yield "references", references.name
    yield "SHA-256 of the references", file_sha256(references)
    yield "packages of the run", _plainly(info.get("versions"))
    yield "packages of the export", f"numina-infer {package_versions().get('numina-infer', '')}"


def _plainly(values: object) -> str:
    if not isinstance(values, Mapping):
        return ""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, "", [], ()))


def _without_folder(value: object) -> str:
    """`value` as text; of a path only the last part, since the rest would describe a machine."""
    text = str(value)
    return PurePath(text).name if text.startswith(("/", "~", "./", "../")) else text


def _cell(text: str) -> str:
    """`text` in one line that ends no cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _left_out(counts: Mapping[ExportStatus, int]) -> str:
    if not counts:
        return "Nothing."
    rows = (f"| {status.reason} | {counts[status]} |" for status in ExportStatus if status in counts)
    return "\n".join(["| why | trajectories |", "|---|---|", *rows])
