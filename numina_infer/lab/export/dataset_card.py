"""Writes the card of an exported data set: its origin, how to train on it, what was left out and why.

It begins with the metadata of hub data sets, and names no path of the machine that it was made on.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from numina_infer.core.config import require
from numina_infer.lab.export.export_filter import ExportStatus
from numina_infer.lab.export.selection import Selection
from numina_infer.lab.export.training import Training
from numina_infer.runs.provenance import file_sha256, package_versions

UNKNOWN_LICENSE = "unknown"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_TOLD_OF_ENGINE = ("engine", "model", "weights", "dtype", "versions", "torch", "transformers", "dialect")


def require_license(name: str) -> None:
    """Raise `ConfigError` unless `name` is spelled as the hub spells licences."""
    require(
        bool(_LICENSE.fullmatch(name)),
        f"license is {name!r}; give it as the hub has it, such as mit, apache-2.0 or cc-by-4.0",
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """The run and the references that a data set was made of."""

    run: str
    """The run folder's name."""
    info: Mapping[str, Any]
    """`run.json`."""
    references: str
    """The name of the references file."""
    references_sha256: str
    license: str = UNKNOWN_LICENSE

    @classmethod
    def of(cls, run: Path, info: Mapping[str, Any], references: Path, license_name: str | None) -> "Origin":
        """The origin of an export of `run`."""
        name = run.resolve().name
        return cls(name, info, references.name, file_sha256(references), license_name or UNKNOWN_LICENSE)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Names and values for the card."""
        choices, preset, engine = (self.info.get(name) or {} for name in ("choices", "preset", "engine"))
        known = [
            ("run", self.run),
            ("run log format", self.info.get("format_version")),
            ("made by", self.info.get("command")),
            ("begun", next(iter(self.info.get("sessions") or ()), None)),
            *((f"engine: {name}", engine.get(name)) for name in _TOLD_OF_ENGINE),
            ("preset", choices.get("preset")),
            ("format", preset.get("format")),
            ("sampling", _plainly((preset.get("rollout") or {}).get("sampling"))),
            ("seed", choices.get("seed")),
            ("problems file", self.info.get("problems")),
            ("SHA-256 of the problems file", self.info.get("problems_sha256")),
            ("references", self.references),
            ("SHA-256 of the references", self.references_sha256),
            ("packages of the run", _plainly(self.info.get("versions"))),
            ("packages of the export", _plainly({"numina-infer": package_versions().get("numina-infer", "")})),
        ]
        return [(name, _name(value)) for name, value in known if value not in (None, "")]


def _plainly(values: object) -> str:
    if not isinstance(values, Mapping):
        return ""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, "", [], ()))


def _name(value: object) -> str:
    """`value` as text; of a path only the last part, since the rest would describe a machine."""
    text = str(value)
    return PurePath(text).name if text.startswith(("/", "~", "./", "../")) else text


def make_card(origin: Origin, training: Training, selection: Selection, how_to: str) -> str:
    """The text of the card; `how_to` says how to train on it."""
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in origin.rows)
    return f"""---
license: {origin.license}
task_categories:
- text-generation
tags:
- trl
- {training}
- mathematics
- tool-integrated-reasoning
- numina-infer
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---

# Trajectories of {_cell(json.dumps(origin.run, ensure_ascii=False))}, for {training.upper()}

Solutions of mathematical problems that a model wrote with the help of Python, exported from a run log of numina_infer.
{_counts(selection)}

## How to train on it
{how_to.strip()}

## Where it came from
| what | |
|---|---|
{rows}

## What was left out
{_left_out(selection)}

## Licence
{_license(origin)}
The texts come from a model and from programs, and were not reviewed.
"""


def _cell(text: str) -> str:
    """`text` in one line that ends no cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _counts(selection: Selection) -> str:
    num_wrong = len(selection.statuses) - selection.num_right
    return (
        f"{len(selection.statuses)} trajectories of {selection.num_problems} problems: {selection.num_right} right, "
        f"{num_wrong} wrong, each by its own answer, whatever the vote said."
    )


def _left_out(selection: Selection) -> str:
    if not selection.left_out:
        return "Nothing."
    rows = "\n".join(
        f"| {status.reason} | {selection.left_out[status]} |" for status in ExportStatus if selection.left_out[status]
    )
    return f"| why | trajectories |\n|---|---|\n{rows}"


def _license(origin: Origin) -> str:
    if origin.license == UNKNOWN_LICENSE:
        return (
            "The export was given none: look at the licences of the problems and of the model before you pass it on."
        )
    return f"{origin.license}, as given to the export: look at the licences of the problems and of the model, too."
