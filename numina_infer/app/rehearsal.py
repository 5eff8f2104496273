"""A rehearsal: a whole competition on this machine, from a problems file to a submission.

This is where engine, sandbox, gateway, mock and contest are put together; the command line and the notebooks only
choose.
What was chosen stands in `run.json`, and a run is resumed from there alone.
"""

from pathlib import Path
from typing import Protocol

from rich.console import Console

from numina_infer.app.choices import Choices, Rehearsal
from numina_infer.app.composition import Backends, make_parts, open_contest
from numina_infer.app.run_folder import begun_info, problems_path, read_command_info, resumed_info
from numina_infer.competitions.gateways.aimo_gateway import AimoGateway
from numina_infer.competitions.gateways.predict_gateway import KaggleEvaluationGateway
from numina_infer.competitions.known import Api
from numina_infer.competitions.mock.aimo import make_env
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.competitions.two_processes import SeparateCompetition
from numina_infer.core.errors import RunLogError
from numina_infer.core.ports import Gateway
from numina_infer.core.presets import Preset
from numina_infer.runs.history import solved_problems
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import ProblemSet, read_problems
from numina_infer.runs.summary import Summary, summarize
from numina_infer.solving.contest import Contest

_COMMAND = "rehearse"


class MockCompetition(Protocol):
    """Kaggle's side of a rehearsal."""

    def write_submission(self) -> None:
        """Write the answers so far."""
        ...


def rehearse(
    rehearsal: Rehearsal, folder: Path, console: Console, *, resume: bool = False, backends: Backends | None = None
) -> Summary:
    """Run the competition into `folder`, with both submission files, the run log and live progress.

    `backends` are engine, sandbox and gateway to take instead of those chosen.
    On Ctrl-C the submission so far is written, and `KeyboardInterrupt` goes on to the caller.

    Raises:
        ConfigError: something chosen can't be used; nothing was run.
        RunLogError: `folder` can't be written, or holds another run.
        GatewayError: the competition broke off.
    """
    problem_set = read_problems(problems_path(rehearsal))
    num_problems, backends = len(problem_set.rows), backends or Backends()
    preset = rehearsal.choices.resolve().for_problems(num_problems)
    parts = make_parts(rehearsal.choices, console.print, preset=preset, backends=backends)
    info = resumed_info(rehearsal, folder) if resume else begun_info(_COMMAND, rehearsal, preset, rehearsal.relay)
    competition, gateway = _make_competition(rehearsal, problem_set, preset, folder)
    gateway = backends.gateway(gateway) if backends.gateway else gateway
    with RunLog(folder, resume=resume) as log:
        solved = solved_problems(folder) if resume else {}
        with open_contest(parts, log, info, num_problems=num_problems, solved=solved, console=console) as contest:
            _serve(gateway, contest, competition)
    simulated = parts.clock.is_virtual
    return summarize(folder, problem_set.references, preset, is_simulated=simulated, log_trouble=log.trouble)


def read_rehearsal(folder: Path) -> Rehearsal:
    """What was chosen for the run in `folder`, to go on with it.

    Raises:
        RunLogError: `folder` holds no rehearsal.
    """
    info = read_command_info(folder, _COMMAND)
    try:
        # Runs of before there was a separate relay say nothing of it.
        relay = {name: info[name] for name in ("separate", "nasty") if name in info}
        return Rehearsal(info["problems"], Choices(**info["choices"]), info["api"], **relay)
    except (KeyError, TypeError, ValueError) as error:
        raise RunLogError(f"{folder / 'run.json'} doesn't say what was rehearsed ({error!r}); start anew") from error


def _serve(gateway: Gateway, contest: Contest, competition: MockCompetition) -> None:
    try:
        gateway.serve(contest.answer)
    except KeyboardInterrupt:
        competition.write_submission()
        raise


def _make_competition(
    rehearsal: Rehearsal, problem_set: ProblemSet, preset: Preset, folder: Path
) -> tuple[MockCompetition, Gateway]:
    """Kaggle's side, and ours that talks to it."""
    if rehearsal.api is Api.AIMO:
        env = make_env(problem_set, output_dir=folder, answer_range=preset.rollout.answer_range)
        return env, AimoGateway(env)
    competition: KaggleEvaluation | SeparateCompetition
    if rehearsal.separate:
        seed = rehearsal.choices.seed
        config = RelayConfig(rehearsal.api_version, shuffle_seed=seed, nasty=rehearsal.nasty, nasty_seed=seed)
        competition = SeparateCompetition(problems_path(rehearsal), folder, config)
    else:
        competition = KaggleEvaluation(problem_set, version=rehearsal.api_version, output_dir=folder)
    return competition, KaggleEvaluationGateway(competition.run)
