"""Each kind of reply of `predict`, and the outcome of the run on both mocks: in process, and over gRPC."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from pyarrow import parquet

from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.core.errors import GatewayError
from numina_infer.runs.problems import ProblemSet
from tests.competitions.relays import GrpcCompetition
from tests.competitions.replies import REPLIES, TWO, Fate, polars_reply, replying

Run = Callable[[ProblemSet, Path, str, Predict, float | None], None]


def in_process(
    problem_set: ProblemSet, folder: Path, version: str, predict: Predict, deadline_s: float | None = None
) -> None:
    """The quick rehearsal's way."""
    KaggleEvaluation(problem_set, version=version, output_dir=folder, deadline_s=deadline_s).run(predict)


def over_grpc(
    problem_set: ProblemSet, folder: Path, version: str, predict: Predict, deadline_s: float | None = None
) -> None:
    """A rerun's way."""
    GrpcCompetition(problem_set, folder, RelayConfig(version=version, deadline_s=deadline_s)).run(predict)


either_way = pytest.mark.parametrize("run", [in_process, over_grpc])
either_version = pytest.mark.parametrize("version", ["0.3.0", "0.9.0"])
any_version = pytest.mark.parametrize("version", list(API_VERSIONS))


def fate(run: Run, folder: Path, version: str, predict: Predict, deadline_s: float | None = None) -> Fate:
    """The run's outcome: an error's number and name, or the type of the submission's answers."""
    try:
        run(TWO, folder, version, predict, deadline_s)
    except GatewayError:
        assert sorted(path.name for path in folder.iterdir()) == ["result.json"]
        result = json.loads((folder / "result.json").read_text())
        assert result["Succeeded"] is False
        return result["ErrorType"], result["ErrorName"]
    assert json.loads((folder / "result.json").read_text()) == {"Succeeded": True}
    return str(parquet.read_schema(folder / "submission.parquet").field("answer").type)


@either_way
@either_version
@pytest.mark.parametrize("kind", REPLIES)
def test_replies_fare_as_with_the_real_package(tmp_path: Path, kind: str, version: str, run: Run) -> None:
    """One bad reply among good ones aborts the run, with no submission; what passes is submitted."""
    second, in_030, in_090 = REPLIES[kind]
    assert fate(run, tmp_path, version, replying(second)) == {"0.3.0": in_030, "0.9.0": in_090}[version]


@either_way
@either_version
def test_the_message_of_what_is_raised_is_kept(tmp_path: Path, version: str, run: Run) -> None:
    """It is all that a submitter learns about the error."""
    assert fate(run, tmp_path, version, replying(REPLIES["raise"][0])) == (3, "SERVER_RAISED_EXCEPTION")
    assert "no model for 229ee8" in json.loads((tmp_path / "result.json").read_text())["ErrorDetails"]


@pytest.fixture
def wedge() -> Iterator[threading.Event]:
    """An event to wait for in `predict`, set at the end of the test so that no thread outlives it."""
    event = threading.Event()
    yield event
    event.set()


@either_way
@pytest.mark.parametrize(
    ("version", "error", "details"),
    [
        ("0.3.0", (2, "SERVER_CONNECTION_FAILED"), "StatusCode.DEADLINE_EXCEEDED"),
        ("0.9.0", (7, "GRPC_DEADLINE_EXCEEDED"), ""),
    ],
)
def test_a_second_call_over_its_deadline_aborts(
    tmp_path: Path, wedge: threading.Event, version: str, error: Fate, details: str, run: Run
) -> None:
    """A call that never returns is left behind, and the versions call it differently."""
    stuck = replying(lambda _: wedge.wait())
    assert fate(run, tmp_path, version, stuck, 0.01) == error
    assert json.loads((tmp_path / "result.json").read_text())["ErrorDetails"] == details


@either_way
@any_version
def test_the_first_call_has_no_deadline(tmp_path: Path, wedge: threading.Event, version: str, run: Run) -> None:
    """The model may be loaded in it."""

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        # Nothing sets it: the deadline passes meanwhile, and the relay's thread is free to see that.
        wedge.wait(0.02)
        return polars_reply(str(id_.item(0)))

    run(ProblemSet(TWO.rows[:1]), tmp_path, version, predict, 0.001)
    assert parquet.read_table(tmp_path / "submission.parquet")["answer"].to_pylist() == [3]
