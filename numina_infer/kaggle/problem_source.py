"""Who asks a kernel: Kaggle's own package where it is scored, and where it rehearses Kaggle's or a mock of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from numina_infer.competitions.gateways.aimo_gateway import AimoGateway
from numina_infer.competitions.gateways.kaggle_gateway import kaggle_gateway
from numina_infer.competitions.gateways.predict_gateway import KaggleEvaluationGateway
from numina_infer.competitions.known import Api, Competition
from numina_infer.competitions.mock.aimo import make_env
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.core.errors import GatewayError
from numina_infer.core.ports import Announce, Gateway
from numina_infer.core.records import Problem
from numina_infer.kaggle.inputs import Inputs
from numina_infer.kaggle.place import Place
from numina_infer.runs.problems import ProblemSet, example_problems_path, read_problems

_NUM_EXAMPLES = 2
"""Of our own examples, in a rehearsal that has no other problems."""


def _nothing_to_keep() -> None:
    """Kaggle's own side keeps what it has."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The competition's side of one kernel."""

    gateway: Gateway
    num_problems: int | None
    """None where nobody says."""
    references: Mapping[str, str] = field(default_factory=dict)
    """By problem id, where they are known."""
    keep: Callable[[], None] = _nothing_to_keep
    """Writes the submission so far."""

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Have every problem answered by `answer`; interrupted, the submission so far is written.

        Raises:
            GatewayError: the competition's side broke off.
        """
        try:
            self.gateway.serve(answer)
        except KeyboardInterrupt:
            self.keep()
            raise


def set_stage(
    competition: Competition, place: Place, inputs: Inputs, problems: str, output: Path, report: Announce
) -> Stage:
    """The stage of `competition` at `place`; rehearsed are `problems`, else its own sample, else examples of ours.

    Raises:
        ConfigError: the problems file can't be read.
        GatewayError: Kaggle's package is needed, and isn't there or can't be used.
    """
    roots = (inputs.root,)
    if place is Place.RERUN:
        return Stage(kaggle_gateway(competition, report, is_rerun=True, roots=roots), competition.num_problems)
    sample = inputs.problems(competition.slug)
    if place.is_kaggle and sample is not None and not problems:
        try:
            gateway = kaggle_gateway(competition, report, is_rerun=False, problems=sample, roots=roots)
        except GatewayError as error:
            report(f"{error}; a mock of ours asks instead")
        else:
            report(f"Kaggle's own {competition.package} asks what is in {sample.name}")
            return Stage(gateway, len(read_problems(sample).rows))
    return _mock_stage(competition, _rehearsed(problems, sample), output)


def _rehearsed(problems: str, sample: Path | None) -> ProblemSet:
    if problems or sample is not None:
        return read_problems(problems or sample or "")
    return ProblemSet(read_problems(example_problems_path()).rows[:_NUM_EXAMPLES])


def _mock_stage(competition: Competition, problem_set: ProblemSet, output: Path) -> Stage:
    num_problems, references = len(problem_set.rows), problem_set.references
    if competition.api is Api.AIMO:
        env = make_env(problem_set, output_dir=output, answer_range=competition.answer_range)
        return Stage(AimoGateway(env), num_problems, references, env.write_submission)
    mock = KaggleEvaluation(problem_set, version=competition.api_version, output_dir=output)
    return Stage(KaggleEvaluationGateway(mock.run), num_problems, references, mock.write_submission)
