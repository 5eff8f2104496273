"""The folder of a run that can be resumed: what it is called, and what `run.json` says before anything is opened.

A run goes on only with the files that it began with, told by their hashes, and by the command that began it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numina_infer.app.choices import EngineName, Task
from numina_infer.app.composition import Info, run_info, samples_path
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.presets import Preset
from numina_infer.runs.history import read_info
from numina_infer.runs.problems import example_problems_path
from numina_infer.runs.provenance import file_sha256


def new_folder() -> Path:
    """Where a run goes that nobody named a folder for."""
    return Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def problems_path(task: Task) -> Path:
    """The file that is read: the one chosen, or the examples in the package, or those that are simulated."""
    if task.problems:
        return Path(task.problems)
    is_simulated = task.choices.engine is EngineName.SIMULATED
    return samples_path(task.choices) if is_simulated else example_problems_path()


def begun_info(command: str, task: Task, preset: Preset, more: Info) -> Info:
    """`run.json` of a run that begins; `more` is what its command adds."""
    return {
        "command": command,
        **more,
        "problems": task.problems,
        **_file_hashes(task),
        **run_info(task.choices, preset),
        "sessions": [_now()],
    }


def resumed_info(task: Task, folder: Path) -> Info:
    """`run.json` of a run that goes on.

    Raises:
        ConfigError: a file that it reads has changed.
    """
    info = read_info(folder)
    changed = [name for name, digest in _file_hashes(task).items() if info.get(name) != digest]
    if changed:
        files = " and ".join(name.removesuffix("_sha256") for name in changed)
        raise ConfigError(f"the {files} file has changed since the run in {folder}; start anew with it")
    return {**info, "sessions": [*(info.get("sessions") or ()), _now()]}


def read_command_info(folder: Path, command: str) -> Mapping[str, Any]:
    """`run.json` of a run that `command` began; one that doesn't name its command may be anybody's.

    Raises:
        RunLogError: there is none, or another command began it.
    """
    info = read_info(folder)
    found = info.get("command", command)
    if found != command:
        raise RunLogError(
            f"the run in {folder} is none of {command}; go on with numina-infer {found} --resume {folder}"
        )
    return info


def _file_hashes(task: Task) -> Mapping[str, str | None]:
    chosen = {name: getattr(task.choices, name) for name in ("script", "samples", "probe")}
    hashes = {f"{name}_sha256": file_sha256(Path(file)) if file else None for name, file in chosen.items()}
    return {"problems_sha256": file_sha256(problems_path(task)), **hashes}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
