"""A rehearsal: a whole competition on this machine, from a problems file to a submission.

Kaggle's side is a mock, in this process or in one of its own; everything else is what a submission runs.
"""

from pathlib import Path

from rich.console import Console

from numina_infer.app.composition import Backends, make_parts, open_contest
from numina_infer.app.tasks import Rehearsal, task_info
from numina_infer.competitions.gateways import AimoGateway, KaggleEvaluationGateway
from numina_infer.competitions.known import Api
from numina_infer.competitions.mock.aimo import MockAimoEnv
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.competitions.two_processes import SeparateCompetition
from numina_infer.core.ports import Gateway
from numina_infer.core.presets import Preset
from numina_infer.runs.history import solved_problems
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import ProblemSet, read_problems
from numina_infer.runs.summary import Summary, summarize


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
    problem_set = read_problems(rehearsal.problems_path)
    num_problems, backends = len(problem_set.rows), backends or Backends()
    preset = rehearsal.choices.resolve().for_problems(num_problems)
    parts = make_parts(rehearsal.choices, console.print, preset=preset, backends=backends)
    info = task_info(rehearsal, preset, folder, resume=resume)
    competition, gateway = _make_competition(rehearsal, problem_set, preset, folder)
    gateway = backends.gateway(gateway) if backends.gateway else gateway
    with RunLog(folder, resume=resume) as log:
        solved = solved_problems(folder) if resume else {}
        with open_contest(parts, log, info, num_problems=num_problems, solved=solved, console=console) as contest:
            try:
                gateway.serve(contest.answer)
            except KeyboardInterrupt:
                competition.write_submission()
                raise
    simulated = parts.clock.is_virtual
    return summarize(folder, problem_set.references, preset, is_simulated=simulated, log_trouble=log.trouble)


def _make_competition(
    rehearsal: Rehearsal, problem_set: ProblemSet, preset: Preset, folder: Path
) -> tuple[MockAimoEnv | KaggleEvaluation | SeparateCompetition, Gateway]:
    """Kaggle's side, and ours that talks to it."""
    if rehearsal.api is Api.AIMO:
        env = MockAimoEnv(problem_set, output_dir=folder, answer_range=preset.rollout.answer_range)
        return env, AimoGateway(env)
    competition: KaggleEvaluation | SeparateCompetition
    if rehearsal.separate:
        seed = rehearsal.choices.seed
        config = RelayConfig(rehearsal.api_version, shuffle_seed=seed, nasty=rehearsal.nasty, nasty_seed=seed)
        competition = SeparateCompetition(rehearsal.problems_path, folder, config)
    else:
        competition = KaggleEvaluation(problem_set, version=rehearsal.api_version, output_dir=folder)
    return competition, KaggleEvaluationGateway(competition.run)
