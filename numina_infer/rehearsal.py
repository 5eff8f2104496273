"""A rehearsal: a whole competition on this machine, from a problems file to a submission.

This is where engine, sandbox, gateway, mock and contest are put together; the command line and the notebooks only
choose.
What was chosen stands in `run.json`, and a run is resumed from there alone.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from rich.console import Console

from numina_infer.choices import Api, Choices, EngineName, Rehearsal
from numina_infer.composition import Info, make_parts, open_contest, run_info, samples_path
from numina_infer.contest import Contest
from numina_infer.errors import ConfigError, RunLogError
from numina_infer.gateways.aimo import AimoGateway
from numina_infer.gateways.kaggle_evaluation import KaggleEvaluationGateway
from numina_infer.history import read_info, solved_problems
from numina_infer.mock.aimo import make_env
from numina_infer.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.ports import Gateway
from numina_infer.presets import Preset
from numina_infer.problems import ProblemSet, example_problems_path, read_problems
from numina_infer.provenance import file_sha256
from numina_infer.runlog import RunLog
from numina_infer.summary import Summary, summarize


def problems_path(rehearsal: Rehearsal) -> Path:
    """The file that is read: the one chosen, or the examples in the package, or those that are simulated."""
    if rehearsal.problems:
        return Path(rehearsal.problems)
    is_simulated = rehearsal.choices.engine is EngineName.SIMULATED
    return samples_path(rehearsal.choices) if is_simulated else example_problems_path()


class Competition(Protocol):
    """Kaggle's side of a rehearsal."""

    def write_submission(self) -> None:
        """Write the answers so far."""
        ...


def rehearse(rehearsal: Rehearsal, folder: Path, console: Console, *, resume: bool = False) -> Summary:
    """Run the competition into `folder`, with both submission files, the run log and live progress.

    On Ctrl-C the submission so far is written, and `KeyboardInterrupt` goes on to the caller.

    Raises:
        ConfigError: something chosen can't be used; nothing was run.
        RunLogError: `folder` can't be written, or holds another run.
        GatewayError: the competition broke off.
    """
    problem_set = read_problems(problems_path(rehearsal))
    parts = make_parts(rehearsal.choices, console.print, num_problems=len(problem_set.rows))
    preset = parts.preset
    info = _resumed_info(rehearsal, folder) if resume else _new_info(rehearsal, preset)
    competition, gateway = _make_competition(rehearsal, problem_set, preset, folder)
    with RunLog(folder, resume=resume) as log:
        solved = solved_problems(folder) if resume else {}
        num_problems = len(problem_set.rows)
        with open_contest(parts, log, info, num_problems=num_problems, solved=solved, console=console) as contest:
            _serve(gateway, contest, competition)
    return summarize(folder, problem_set.references, preset, is_simulated=parts.clock.is_virtual)


def read_rehearsal(folder: Path) -> Rehearsal:
    """What was chosen for the run in `folder`, to go on with it.

    Raises:
        RunLogError: `folder` holds no rehearsal.
    """
    info = read_info(folder)
    try:
        return Rehearsal(info["problems"], Choices(**info["choices"]), info["api"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunLogError(f"{folder / 'run.json'} doesn't say what was rehearsed ({error!r}); start anew") from error


def _serve(gateway: Gateway, contest: Contest, competition: Competition) -> None:
    try:
        gateway.serve(contest.answer)
    except KeyboardInterrupt:
        competition.write_submission()
        raise


def _make_competition(
    rehearsal: Rehearsal, problem_set: ProblemSet, preset: Preset, folder: Path
) -> tuple[Competition, Gateway]:
    """Kaggle's side in process, and ours that talks to it."""
    if rehearsal.api is Api.AIMO:
        env = make_env(problem_set, output_dir=folder, answer_range=preset.rollout.answer_range)
        return env, AimoGateway(env)
    competition = KaggleEvaluation(problem_set, output_dir=folder)
    return competition, KaggleEvaluationGateway(competition.run)


def _new_info(rehearsal: Rehearsal, preset: Preset) -> Info:
    return {
        "api": rehearsal.api,
        "problems": rehearsal.problems,
        **_file_hashes(rehearsal),
        **run_info(rehearsal.choices, preset),
        "sessions": [_now()],
    }


def _resumed_info(rehearsal: Rehearsal, folder: Path) -> Info:
    info = read_info(folder)
    changed = [name for name, digest in _file_hashes(rehearsal).items() if info.get(name) != digest]
    if changed:
        files = " and ".join(name.removesuffix("_sha256") for name in changed)
        raise ConfigError(f"the {files} file has changed since the run in {folder}; start anew with it")
    return {**info, "sessions": [*info["sessions"], _now()]}


def _file_hashes(rehearsal: Rehearsal) -> Mapping[str, str | None]:
    script = rehearsal.choices.script
    return {
        "problems_sha256": file_sha256(problems_path(rehearsal)),
        "script_sha256": file_sha256(Path(script)) if script else None,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
