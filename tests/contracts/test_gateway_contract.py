"""What every Gateway promises, shown with each against its mock."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from numina_infer.competitions.gateways import AimoGateway, KaggleEvaluationGateway
from numina_infer.competitions.mock.aimo import MockAimoEnv
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.competitions.mock.relay import RelayConfig, RelayFault
from numina_infer.core.errors import GatewayError
from numina_infer.core.ports import Gateway
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet, example_problems_path, read_problems
from tests.competitions.relays import GrpcCompetition


@dataclass(frozen=True)
class Pair:
    """A gateway and the competition that it is served by."""

    gateway: Gateway
    competition: MockAimoEnv | KaggleEvaluation | GrpcCompetition


def in_order(problem_set: ProblemSet, seed: int | None) -> ProblemSet:
    """The problems, shuffled if there is a seed."""
    return problem_set if seed is None else problem_set.shuffled(seed)


def aimo(problem_set: ProblemSet, folder: Path, seed: int | None = None) -> Pair:
    """AIMO-1."""
    env = MockAimoEnv(in_order(problem_set, seed), output_dir=folder)
    return Pair(AimoGateway(env), env)


def aimo_2(problem_set: ProblemSet, folder: Path, seed: int | None = None) -> Pair:
    """AIMO-2, whose relay checks the ids."""
    competition = KaggleEvaluation(in_order(problem_set, seed), version="0.3.0", output_dir=folder)
    return Pair(KaggleEvaluationGateway(competition.run), competition)


def aimo_3(problem_set: ProblemSet, folder: Path, seed: int | None = None) -> Pair:
    """AIMO-3, whose relay takes a plain function alone, over a file with references."""
    competition = KaggleEvaluation(in_order(problem_set, seed), output_dir=folder, extra_columns=("answer",))
    return Pair(KaggleEvaluationGateway(competition.run), competition)


def aimo_2_over_grpc(problem_set: ProblemSet, folder: Path, seed: int | None = None) -> Pair:
    """AIMO-2 with our own inference server, called by the relay that is a process of its own elsewhere."""
    competition = GrpcCompetition(problem_set, folder, RelayConfig(version="0.3.0", shuffle_seed=seed))
    return Pair(KaggleEvaluationGateway(competition.run), competition)


def aimo_3_over_grpc(problem_set: ProblemSet, folder: Path, seed: int | None = None) -> Pair:
    """AIMO-3 likewise, with more columns than it needs."""
    config = RelayConfig(shuffle_seed=seed, nasty=(RelayFault.EXTRA_COLUMNS,))
    competition = GrpcCompetition(problem_set, folder, config)
    return Pair(KaggleEvaluationGateway(competition.run), competition)


MakePair = Callable[..., Pair]

every_gateway = pytest.mark.parametrize("make_pair", [aimo, aimo_2, aimo_3, aimo_2_over_grpc, aimo_3_over_grpc])

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
identifiers = texts | st.sampled_from(["007", "7", "1e5", "NA", "0x10", "True"])
problem_sets = st.lists(
    st.builds(ProblemRow, st.builds(Problem, identifiers, texts)),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row.problem.id,
).map(lambda rows: ProblemSet(tuple(rows)))


@every_gateway
@given(problem_set=problem_sets, answers=st.lists(st.integers(0, 999), min_size=5, max_size=5))
def test_every_problem_is_asked_once_and_its_answer_submitted(
    make_pair: MakePair, problem_set: ProblemSet, answers: list[int]
) -> None:
    """In order, ids and statements exact, and the submission holds each answer beside its id, both files whole."""
    asked: list[Problem] = []

    def answer(problem: Problem) -> int:
        asked.append(problem)
        return answers[len(asked) - 1]

    with tempfile.TemporaryDirectory() as folder:
        make_pair(problem_set, Path(folder)).gateway.serve(answer)
        table = parquet.read_table(Path(folder) / "submission.parquet")
        assert (Path(folder) / "submission.csv").exists()
    assert tuple(asked) == problem_set.problems
    assert table["id"].to_pylist() == [problem.id for problem in asked]
    assert table["answer"].to_pylist() == answers[: len(asked)]
    assert table.schema.field("answer").type == pa.int64()


@every_gateway
def test_a_shuffled_competition_is_answered_in_its_order(make_pair: MakePair, tmp_path: Path) -> None:
    """Whatever the order, each answer stands beside its own problem."""
    examples = read_problems(example_problems_path())
    pair = make_pair(examples, tmp_path, 1)
    pair.gateway.serve(lambda problem: int(examples.references[problem.id]))
    submission = pair.competition.submission
    assert submission.ids == tuple(problem.id for problem in examples.shuffled(1).problems)
    assert dict(zip(submission.ids, map(str, submission.answers), strict=True)) == examples.references


@every_gateway
def test_an_interrupt_leaves_the_answers_so_far(make_pair: MakePair, tmp_path: Path) -> None:
    """Ctrl-C at the third problem: it passes through, and two answers can be written."""
    asked: list[Problem] = []

    def answer(problem: Problem) -> int:
        asked.append(problem)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return len(asked)

    pair = make_pair(read_problems(example_problems_path()), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        pair.gateway.serve(answer)
    assert list(tmp_path.iterdir()) == []
    pair.competition.write_submission()
    assert (tmp_path / "submission.csv").read_text() == "id,answer\nsum-1,1\nsum-2,2\n"


@every_gateway
def test_a_competition_that_is_over_is_a_gateway_error(make_pair: MakePair, tmp_path: Path) -> None:
    """Serving a second time says so instead of asking again."""
    pair = make_pair(read_problems(example_problems_path()), tmp_path)
    pair.gateway.serve(lambda _: 0)
    with pytest.raises(GatewayError, match="make a new"):
        pair.gateway.serve(lambda _: 0)
