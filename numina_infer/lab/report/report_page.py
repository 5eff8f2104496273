"""Writes the HTML page of a run, which loads nothing: a template with the run's data in it.

The content security policy names the template's own style and script by their hashes, so that nothing else can run.
The data are JSON in elements that browsers don't run: an index, and the texts of trajectories in chunks that are read
when one is opened.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from numina_infer.answers.references import read_reference, show_reference
from numina_infer.core.config import StopRule
from numina_infer.core.errors import RunLogError
from numina_infer.core.ports import Advance
from numina_infer.core.presets import PRESETS, Preset
from numina_infer.core.records import AnswerRange
from numina_infer.lab.evaluate.matching import own_references
from numina_infer.lab.replay.recording import read_preset
from numina_infer.lab.report.formulae import ATTRIBUTES, ELEMENTS, can_typeset
from numina_infer.lab.report.page_data import MAX_TEXT_BYTES, Row, Sheet, Sheets, page_index
from numina_infer.lab.report.texts import embed
from numina_infer.runs.history import read_events, read_info
from numina_infer.runs.log import SOLUTIONS_FILE, TRAJECTORIES_FILE

REPORT_FILE = "report.html"


def write_report(
    folder: str | Path,
    out: str | Path | None = None,
    references: Mapping[str, str] | None = None,
    *,
    on_progress: Advance = lambda _read, _all: None,
    max_text_bytes: int = MAX_TEXT_BYTES,
) -> Path:
    """Write the page of the run in `folder`, finished or not, and return its path.

    Args:
        folder: a run folder.
        out: the page's path; `report.html` in the run folder by default.
        references: answers by problem id, as a problems file has them; by default those of the file that the run was
            made from, where that is still here and the same.
        on_progress: called after each event.
        max_text_bytes: the size of the trajectories' texts; later ones are left out, and the page says so.

    Raises:
        RunLogError: there is no run, or its log is damaged.
        OSError: the page can't be written.
    """
    folder = Path(folder)
    path = folder / REPORT_FILE if out is None else Path(out)
    info = read_info(folder)
    known = own_references(info) if references is None else references
    preset, doubts = _preset(info)
    sheets = Sheets(preset.policy, max_text_bytes)
    total = sum(_count_lines(folder / name) for name in (TRAJECTORIES_FILE, SOLUTIONS_FILE))
    for number, event in enumerate(read_events(folder), start=1):
        sheets.add(event)
        on_progress(number, total)
    problems = sheets.close()
    rows = {identifier: _reference_row(text, preset.rollout.answer_range) for identifier, text in known.items()}
    notes = [*doubts, *_notes(problems)]
    index = {**page_index(problems, sheets.axis, rows), **_head(folder, info, preset), "notes": notes}
    draft = path.with_name(path.name + ".tmp")
    with draft.open("w", encoding="utf-8") as page:
        page.writelines(_page(index, problems))
    return draft.replace(path)


def _preset(info: Mapping[str, Any]) -> tuple[Preset, list[str]]:
    """The run's preset; where it isn't known, votes count alike and the exact rule is drawn."""
    try:
        return read_preset(info), []
    except RunLogError as error:
        return PRESETS["cpu"], [f"The policy isn't known ({error}): votes are drawn as plain ones."]


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _reference_row(text: str, answer_range: AnswerRange) -> Row:
    accepted = read_reference(text, answer_range)
    return {"accepted": sorted(accepted), "reference": show_reference(accepted) or text}


def _notes(sheets: list[Sheet]) -> Iterator[str]:
    """Lines that say what is missing in the page."""
    unfinished = sum(sheet.solution is None for sheet in sheets)
    if unfinished:
        yield f"Without a verdict yet: {unfinished} of {len(sheets)} problems. The run goes on, or was stopped."
    if not can_typeset():
        yield "Formulae stand as they were written: latex2mathml isn't here (pip install 'numina-infer[report]')."
    if any(row["chunk"] not in sheet.chunks for sheet in sheets for row in sheet.rows):
        yield "Texts of some trajectories are left out, since the page would be too large for a browser."


def _head(folder: Path, info: Mapping[str, Any], preset: Preset) -> Row:
    """What stands above the tables: what `run.json` says of the run, and by which rules its votes are drawn."""
    engine, choices, recorded = (info.get(name) or {} for name in ("engine", "choices", "preset"))
    began = str(next(iter(info.get("sessions") or ()), "")).replace("T", " ").replace("+00:00", " UTC")
    words = [info.get("command"), choices.get("preset") and f"preset {choices['preset']}", began, folder.name]
    facts = {
        "run log format": info.get("format_version"),
        **{name: info.get(name) for name in ("sessions", "engine")},
        "format": preset.format,
        **{name: recorded.get(name) for name in ("rollout", "policy", "contest")},
        **{name: info.get(name) for name in ("sandbox", "machine", "versions")},
    }
    return {
        "title": f"{engine.get('model', 'A run')}{_on(info)}",
        "subtitle": " · ".join(str(word) for word in words if word),
        "foot": "Made by numina-infer report; the run folder has every field, docs/run-log.md what they mean.",
        "facts": [[name, _plain(value)] for name, value in facts.items()],
        "epsilon": preset.policy.epsilon,
        "never": preset.policy.stop_rule is StopRule.NEVER,
        "mathElements": sorted(ELEMENTS),
        "mathAttributes": sorted(ATTRIBUTES),
    }


def _on(info: Mapping[str, Any]) -> str:
    """The problems of the run, as far as `run.json` names them."""
    if "competition" in info:
        return f" on {info['competition']}"
    if "problems" in info:
        return f" on {Path(info['problems']).name if info['problems'] else 'the problems in the package'}"
    return ""


def _plain(value: Any) -> str:
    """A value of `run.json` as a line of text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items() if inner not in (None, [], {}))
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


def _page(index: Row, sheets: list[Sheet]) -> Iterator[str]:
    """The page in parts, so that its texts stand in memory once."""
    template = (files("numina_infer.lab.report") / REPORT_FILE).read_text(encoding="utf-8")
    before, after = template.replace("@policy@", _policy(template)).split("@data@")
    yield before
    yield _data("index", embed(index))
    for sheet in sheets:
        yield from (_data(f"chunk-{number}", chunk) for number, chunk in sheet.chunks.items())
    yield after


def _data(name: str, text: str) -> str:
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _policy(template: str) -> str:
    """A content security policy by which the page's own style and script work, and nothing is loaded or sent."""
    rules = [f"{name}-src 'sha256-{_digest(template, name)}'" for name in ("style", "script")]
    closed = ("base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'")
    return "; ".join(["default-src 'none'", *rules, *closed])


def _digest(template: str, element: str) -> str:
    (text,) = re.findall(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
