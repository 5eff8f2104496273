"""The folder of a run that can be resumed: its name, and what `run.json` says before anything is opened.

A run goes on with the files that it began with, known by their hashes, and by the command that began it.
"""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.composition import Info, run_info
from numina_infer.app.engine_choice import samples_path
from numina_infer.app.tasks import Rehearsal, Task
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.presets import Preset
from numina_infer.runs.history import read_info
from numina_infer.runs.problems import example_problems_path
from numina_infer.runs.provenance import file_sha256

AnyTask = TypeVar("AnyTask", bound=Task)


def new_folder() -> Path:
    """The folder of a run for which none was named."""
    return Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def problems_path(task: Task) -> Path:
    """The file that is read: the one chosen, or the samples that are simulated, or the examples in the package."""
    if task.problems:
        return Path(task.problems)
    is_simulated = task.choices.engine is EngineName.SIMULATED
    return samples_path(task.choices) if is_simulated else example_problems_path()


def begun_info(task: Task, preset: Preset) -> Info:
    """`run.json` of a run that begins."""
    chosen = {each.name: getattr(task, each.name) for each in fields(task) if each.name != "choices"}
    info = {"command": task.command, **chosen, **_file_hashes(task), **run_info(task.choices, preset)}
    return {**info, "sessions": [_now()]}


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


def read_task(kind: type[AnyTask], folder: Path) -> AnyTask:
    """What was chosen for the run in `folder`, to go on with it.

    Raises:
        RunLogError: `folder` holds no run of this kind.
    """
    info = read_info(folder)
    found = info.get("command", Rehearsal.command)  # early runs are rehearsals, and don't name their command
    if found != kind.command:
        raise RunLogError(
            f"the run in {folder} is none of {kind.command}; go on with numina-infer {found} --resume {folder}"
        )
    try:
        choices = Choices(**info["choices"])
        # Runs of before there was a separate relay say nothing of it.
        others = {each.name: info[each.name] for each in fields(kind) if each.name in info}
        return kind(**{**others, "problems": info["problems"], "choices": choices})
    except (KeyError, TypeError, ValueError) as error:
        raise RunLogError(f"{folder / 'run.json'} doesn't say what was chosen ({error!r}); start anew") from error


def _file_hashes(task: Task) -> dict[str, str | None]:
    chosen = {name: getattr(task.choices, name) for name in ("script", "samples", "probe")}
    hashes = {f"{name}_sha256": file_sha256(Path(file)) if file else None for name, file in chosen.items()}
    return {"problems_sha256": file_sha256(problems_path(task)), **hashes}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
