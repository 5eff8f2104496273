"""Where a kernel's problems come from, and where its answers go.

A scored run is asked by Kaggle's own package; a rehearsal by that package too, or by a mock of ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from numina_infer.competitions.gateways import AimoGateway, KaggleEvaluationGateway
from numina_infer.competitions.kaggle_package import kaggle_gateway
from numina_infer.competitions.known import Api, Competition
from numina_infer.competitions.mock.aimo import MockAimoEnv
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.core.errors import GatewayError
from numina_infer.core.ports import Announce, Gateway
from numina_infer.core.records import Problem
from numina_infer.kaggle.place import Inputs, Place
from numina_infer.runs.problems import ProblemSet, example_problems_path, read_problems

_NUM_EXAMPLES = 2
"""Of our own examples, in a rehearsal that has no other problems."""


@dataclass(frozen=True, slots=True)
class ProblemSource:
    """The competition's side of one kernel."""

    gateway: Gateway
    num_problems: int | None
    """None where the competition doesn't say."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Answers by problem id, where they are known."""
    keep: Callable[[], None] = lambda: None
    """Writes the submission so far, which Kaggle's own package does by itself."""

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


def find_source(
    competition: Competition, place: Place, inputs: Inputs, problems: str, output: Path, report: Announce
) -> ProblemSource:
    """Who asks at `place`; a rehearsal takes `problems`, else the competition's sample, else examples of ours.

    Raises:
        ConfigError: the problems file can't be read.
        GatewayError: Kaggle's package is needed, and isn't there or can't be used.
    """
    roots = (inputs.root,)
    if place is Place.RERUN:
        return ProblemSource(kaggle_gateway(competition, report, is_rerun=True, roots=roots), competition.num_problems)
    sample = inputs.problems(competition.slug)
    if place.is_kaggle and sample is not None and not problems:
        try:
            gateway = kaggle_gateway(competition, report, is_rerun=False, problems=sample, roots=roots)
        except GatewayError as error:
            report(f"{error}; a mock of ours asks instead")
        else:
            report(f"Kaggle's own {competition.package} asks what is in {sample.name}")
            return ProblemSource(gateway, len(read_problems(sample).rows))
    if problems or sample is not None:
        return _mock_source(competition, read_problems(problems or sample or ""), output)
    examples = ProblemSet(read_problems(example_problems_path()).rows[:_NUM_EXAMPLES])
    return _mock_source(competition, examples, output)


def _mock_source(competition: Competition, problem_set: ProblemSet, output: Path) -> ProblemSource:
    num_problems, references = len(problem_set.rows), problem_set.references
    if competition.api is Api.AIMO:
        env = MockAimoEnv(problem_set, output_dir=output, answer_range=competition.answer_range)
        return ProblemSource(AimoGateway(env), num_problems, references, env.write_submission)
    mock = KaggleEvaluation(problem_set, version=competition.api_version, output_dir=output)
    return ProblemSource(KaggleEvaluationGateway(mock.run), num_problems, references, mock.write_submission)
