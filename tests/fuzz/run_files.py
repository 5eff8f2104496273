"""The files of a whole run, to be damaged."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numina_infer.app.choices import Choices
from numina_infer.core.presets import get_preset
from numina_infer.runs.log import RUN_FILE, SOLUTIONS_FILE, TRAJECTORIES_FILE, RunLog
from tests.run_folders import EVENTS, write_run

LOGS = (TRAJECTORIES_FILE, SOLUTIONS_FILE)
INFO: dict[str, Any] = {
    "command": "rehearse",
    "problems": None,
    "choices": asdict(Choices()),
    "preset": asdict(get_preset("t4x2")),
    "engine": {"engine": "scripted", "model": "none"},
    "sessions": ["2026-11-25T10:00:00+00:00"],
}


def good_files() -> dict[str, bytes]:
    """The files of a whole run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        write_run(folder, EVENTS)
        with RunLog(folder, resume=True) as log:
            log.describe(INFO)
        return {file: (folder / file).read_bytes() for file in (*LOGS, RUN_FILE)}


FILES = good_files()
ROWS = [json.loads(row) for file in LOGS for row in FILES[file].splitlines()]


def in_folder(files: dict[str, bytes], check: Callable[[Path], object]) -> None:
    """`check` a run folder with `files`."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_bytes(content)
        check(Path(name))
