"""The mock of kaggle_evaluation against what the real package did, version by version."""

import functools
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.mock.kaggle_evaluation import KaggleEvaluation
from numina_infer.core.errors import ConfigError, GatewayError
from tests.competitions.replies import TWO, failing, pandas_reply, polars_reply, replying

any_version = pytest.mark.parametrize("version", list(API_VERSIONS))


def outcome(folder: Path, version: str, predict: Predict, deadline_s: float | None = None) -> str:
    """The run's outcome: an error's name, or the type of the submission's answers."""
    try:
        KaggleEvaluation(TWO, version=version, output_dir=folder, deadline_s=deadline_s).run(predict)
    except GatewayError:
        assert sorted(path.name for path in folder.iterdir()) == ["result.json"]
        result = json.loads((folder / "result.json").read_text())
        assert result["Succeeded"] is False
        return str(result["ErrorName"])
    assert json.loads((folder / "result.json").read_text()) == {"Succeeded": True}
    return str(parquet.read_schema(folder / "submission.parquet").field("answer").type)


# replies that the real package wasn't tried with; the mock refuses them rather than let them through
UNSEEN: Mapping[str, Callable[[str], object]] = {
    "list": lambda _: [3],
    "series": lambda _: pl.Series("answer", [3]),
    "no rows": lambda _: polars_reply(),
    "no columns": lambda _: pl.DataFrame(),
    "no answer column": lambda i: pl.DataFrame({"id": [i]}),
    "null": lambda i: polars_reply(i, answer=None),
    "truth value": lambda i: pandas_reply(i, answer=True),
}


@any_version
@pytest.mark.parametrize("kind", UNSEEN)
def test_what_could_not_be_scored_is_invalid(tmp_path: Path, kind: str, version: str) -> None:
    """If the real relay's behaviour isn't known, the mock refuses."""
    assert outcome(tmp_path, version, replying(UNSEEN[kind])) == "INVALID_SUBMISSION"


def test_a_wrong_id_is_overwritten_by_the_relays_own(tmp_path: Path) -> None:
    """AIMO-3's relay looks at the number of rows only."""
    outcome(tmp_path, "0.9.0", replying(lambda _: polars_reply("other")))
    assert parquet.read_table(tmp_path / "submission.parquet")["id"].to_pylist() == ["007", "229ee8"]


def test_the_submission_is_parquet_and_csv_of_ids_and_integers(tmp_path: Path) -> None:
    """Ids are text as written, answers 64-bit integers, in the order asked."""
    assert outcome(tmp_path, "0.9.0", replying(polars_reply)) == "int64"
    table = parquet.read_table(tmp_path / "submission.parquet")
    assert table.schema.types == [pa.string(), pa.int64()]
    assert (tmp_path / "submission.csv").read_text() == "id,answer\n007,2\n229ee8,3\n"


def test_a_raised_message_is_kept_and_bounded(tmp_path: Path) -> None:
    """`result.json` holds the number, the name and at most 8000 characters of what was raised."""

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        raise RuntimeError("no GPU " * 5000)

    assert outcome(tmp_path, "0.9.0", predict) == "SERVER_RAISED_EXCEPTION"
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ErrorType"] == 3
    assert result["ErrorDetails"].startswith("RuntimeError: no GPU")
    assert len(result["ErrorDetails"]) == 8000


def test_the_error_names_the_problem(tmp_path: Path) -> None:
    """A rehearsal says at which problem the run was lost, and why."""
    with pytest.raises(GatewayError, match=r"'229ee8'.*SERVER_RAISED_EXCEPTION: RuntimeError: no model for 229ee8"):
        KaggleEvaluation(TWO, output_dir=tmp_path).run(replying(failing))


@pytest.mark.parametrize(("version", "statement"), [("0.3.0", "question"), ("0.9.0", "problem")])
def test_predict_gets_series_of_length_one(tmp_path: Path, version: str, statement: str) -> None:
    """Unpacking a row of a polars frame gives its columns, named; AIMO-2 named the statement `question`."""
    seen: list[tuple[pl.Series, ...]] = []

    def predict(*columns: pl.Series) -> object:
        seen.append(columns)
        return polars_reply(str(columns[0].item(0)))

    KaggleEvaluation(TWO, version=version, output_dir=tmp_path).run(predict)
    assert [[(column.name, str(column.dtype), column.to_list()) for column in columns] for columns in seen] == [
        [("id", "String", ["007"]), (statement, "String", ["1+1?"])],
        [("id", "String", ["229ee8"]), (statement, "String", ["1+2?"])],
    ]


def test_references_are_handed_over_only_when_asked_for(tmp_path: Path) -> None:
    """Kaggle's relay passes a third series in a local run over a file with answers; the mock drops it by default."""
    seen: list[list[str]] = []

    def predict(*columns: pl.Series) -> object:
        seen.append([column.item(0) for column in columns])
        return polars_reply(str(columns[0].item(0)))

    KaggleEvaluation(TWO, output_dir=tmp_path, extra_columns=("answer",)).run(predict)
    assert seen == [["007", "1+1?", "2"], ["229ee8", "1+2?", "3"]]


def test_calls_come_from_one_other_thread(tmp_path: Path) -> None:
    """So `signal.alarm` fails in `predict` here as it does on Kaggle."""
    threads: list[threading.Thread] = []

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        threads.append(threading.current_thread())
        return polars_reply(str(id_.item(0)))

    KaggleEvaluation(TWO, output_dir=tmp_path).run(predict)
    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


class Model:
    """Something with a method called `predict`."""

    def predict(self, id_: pl.Series, problem: pl.Series) -> object:
        """A right reply."""
        return polars_reply(str(id_.item(0)))


@pytest.mark.parametrize(("version", "is_taken"), [("0.3.0", True), ("0.9.0", False)])
def test_a_bound_method_is_taken_by_the_old_version_only(tmp_path: Path, version: str, is_taken: bool) -> None:
    """From 0.9.0 on the server asks for a plain function."""
    competition = KaggleEvaluation(TWO, version=version, output_dir=tmp_path)
    if is_taken:
        competition.run(Model().predict)
        assert competition.submission.answers == (3, 3)
    else:
        with pytest.raises(ConfigError, match="wrap it in a `def predict`"):
            competition.run(Model().predict)


@any_version
@pytest.mark.parametrize("listener", [lambda id_, problem: None, functools.partial(Model.predict, Model())])
def test_a_listener_without_a_name_is_refused(tmp_path: Path, version: str, listener: Predict) -> None:
    """The server registers listeners by name, so a lambda and a partial are no listeners."""
    with pytest.raises(ConfigError, match="give a function named predict"):
        KaggleEvaluation(TWO, version=version, output_dir=tmp_path).run(listener)


@any_version
def test_a_function_of_another_name_is_a_missing_endpoint(tmp_path: Path, version: str) -> None:
    """The relay asks for `predict` and finds nothing."""

    def answer(id_: pl.Series, problem: pl.Series) -> object:
        return polars_reply(str(id_.item(0)))

    assert outcome(tmp_path, version, answer) == "SERVER_MISSING_ENDPOINT"


def test_an_interrupt_passes_through_and_leaves_the_answers_so_far(tmp_path: Path) -> None:
    """Ctrl-C isn't a failed call: nothing is written, and what was answered can be."""

    def interrupted(_: str) -> object:
        raise KeyboardInterrupt

    competition = KaggleEvaluation(TWO, output_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        competition.run(replying(interrupted))
    assert list(tmp_path.iterdir()) == []
    competition.write_submission()
    assert (tmp_path / "submission.csv").read_text() == "id,answer\n007,2\n"


def test_a_competition_runs_once(tmp_path: Path) -> None:
    """A second run would submit over the first."""
    competition = KaggleEvaluation(TWO, output_dir=tmp_path)
    competition.run(replying(polars_reply))
    with pytest.raises(GatewayError, match="make a new one"):
        competition.run(replying(polars_reply))


def test_bad_settings_are_named(tmp_path: Path) -> None:
    """An unknown version, a deadline of nothing and an output folder that is a file."""
    with pytest.raises(ConfigError, match=r"'2.0'.*0\.3\.0, 0\.9\.0"):
        KaggleEvaluation(TWO, version="2.0", output_dir=tmp_path)
    with pytest.raises(ConfigError, match="deadline_s is 0"):
        KaggleEvaluation(TWO, deadline_s=0, output_dir=tmp_path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="can't write to the output folder"):
        KaggleEvaluation(TWO, output_dir=tmp_path / "taken")


def test_missing_polars_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, so its absence is a setting to mend."""
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ConfigError, match=r'pip install "numina-infer\[kaggle\]"'):
        KaggleEvaluation(TWO, output_dir=tmp_path)
