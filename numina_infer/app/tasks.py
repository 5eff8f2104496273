"""The runs that have a folder and can be resumed: a rehearsal and a collection, each with all that defines it.

`run.json` says it before anything is opened, and is read back when the run goes on: by the command that began it, and
with the files that it began with, known by their hashes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from numina_infer.app.choices import Choices, EngineName, Option
from numina_infer.competitions.known import Api, get_competition
from numina_infer.competitions.mock.relay import RelayFault
from numina_infer.core.config import require, require_choice, require_whole
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.presets import Preset
from numina_infer.runs.history import read_info
from numina_infer.runs.problems import example_problems_path, packaged_path
from numina_infer.runs.provenance import file_sha256, machine, package_versions

Info = Mapping[str, object]
"""What goes into `run.json`."""

_NEWEST_API = "0.9.0"
"""AIMO-3's kaggle_evaluation, which a rehearsal speaks where no competition is named."""

COLLECT = "collect"
"""The preset that a collection takes by default."""


@dataclass(frozen=True, slots=True)
class Task:
    """Which problems are solved, and how."""

    command: ClassVar[str]
    """The command that begins it and goes on with it."""

    problems: Annotated[str | None, Option("CSV, JSONL or Parquet (default: ten examples in the package)", "FILE")] = (
        None
    )
    choices: Choices = field(default_factory=Choices)

    def __post_init__(self) -> None:
        require(self.problems != "", "problems is empty; name a problems file, or leave it out for the examples")
        if self.problems is not None:
            object.__setattr__(self, "problems", str(Path(self.problems).absolute()))

    @property
    def problems_path(self) -> Path:
        """The file that is read: the one chosen, or the samples that are simulated, or the examples in the package."""
        if self.problems:
            return Path(self.problems)
        is_simulated = self.choices.engine is EngineName.SIMULATED
        return samples_path(self.choices) if is_simulated else example_problems_path()


@dataclass(frozen=True, slots=True)
class Rehearsal(Task):
    """Everything that defines a rehearsal."""

    command: ClassVar[str] = "rehearse"

    api: Annotated[
        Api, Option("2024's iterate and predict, or the inference server (default: aimo)", "|".join(Api))
    ] = Api.AIMO
    separate: Annotated[
        bool, Option("Kaggle's side is a process of its own that calls over gRPC, in a random order, as in a rerun")
    ] = False
    nasty: Annotated[
        tuple[RelayFault, ...],
        Option(f"for --separate: what that process does on purpose, {', '.join(RelayFault)}; may be repeated", "NAME"),
    ] = ()

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        object.__setattr__(self, "api", require_choice("api", self.api, Api))
        object.__setattr__(self, "nasty", tuple(require_choice("nasty", name, RelayFault) for name in self.nasty))
        require(
            not self.separate or self.api is Api.KAGGLE_EVALUATION,
            f"separate means api {Api.KAGGLE_EVALUATION}, and the api is {self.api}; leave one of the two out",
        )
        require(
            self.separate or not self.nasty,
            f"nasty is {', '.join(self.nasty)} for a relay in this process; only a separate one can be so",
        )

    @property
    def api_version(self) -> str:
        """The version of kaggle_evaluation: the competition's, else the newest that a competition came with."""
        name = self.choices.competition
        return _NEWEST_API if name is None else get_competition(name).api_version


@dataclass(frozen=True, slots=True)
class Collection(Task):
    """Everything that defines a collection."""

    command: ClassVar[str] = "collect"

    choices: Choices = field(default_factory=lambda: Choices(preset=COLLECT))
    concurrent_problems: Annotated[
        int,
        Option("problems in work at once; the start says how many would fill the engine (default: 4)", "K"),
    ] = 4

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        require_whole("concurrent_problems", self.concurrent_problems, 1)
        limit = self.choices.time_limit_s
        require(
            limit is None,
            f"time_limit_s is {limit} for a collection, which has no contest clock; leave it out, or give "
            "problem_time_s to limit each problem",
        )


AnyTask = TypeVar("AnyTask", bound=Task)


def samples_path(choices: Choices) -> Path:
    """The file of recorded samples to simulate: the one chosen, or the one in the package."""
    return Path(choices.samples) if choices.samples else packaged_path("samples.jsonl")


def new_folder() -> Path:
    """The folder of a run for which none was named."""
    return Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def run_info(choices: Choices, preset: Preset) -> Info:
    """The part of `run.json` that every run has, known before anything is opened."""
    return {
        "choices": asdict(choices),
        "preset": asdict(preset),
        "versions": package_versions(),
        "machine": machine(),
    }


def task_info(task: Task, preset: Preset, folder: Path, *, resume: bool) -> Info:
    """`run.json` of a run that begins, or goes on in `folder`; `ConfigError` if a file that it reads has changed."""
    hashes, now = _file_hashes(task), datetime.now(UTC).isoformat(timespec="seconds")
    if not resume:
        chosen = {each.name: getattr(task, each.name) for each in fields(task) if each.name != "choices"}
        return {"command": task.command, **chosen, **hashes, **run_info(task.choices, preset), "sessions": [now]}
    info = read_info(folder)
    changed = [name for name, digest in hashes.items() if info.get(name) != digest]
    if changed:
        files = " and ".join(name.removesuffix("_sha256") for name in changed)
        raise ConfigError(f"the {files} file has changed since the run in {folder}; start anew with it")
    return {**info, "sessions": [*(info.get("sessions") or ()), now]}


def _file_hashes(task: Task) -> dict[str, str | None]:
    chosen = {name: getattr(task.choices, name) for name in ("script", "samples", "probe")}
    hashes = {f"{name}_sha256": file_sha256(Path(file)) if file else None for name, file in chosen.items()}
    return {"problems_sha256": file_sha256(task.problems_path), **hashes}


def read_task(kind: type[AnyTask], folder: Path) -> AnyTask:
    """What was chosen for the run in `folder`, to go on with it; `RunLogError` if that is no run of this kind."""
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
