"""The 2024 API's mock: its order of calls, and its ways of failing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numina_infer.competitions.mock.aimo import MockAimoEnv
from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet

TWO = ProblemSet((ProblemRow(Problem("007", "1+1?")), ProblemRow(Problem("229ee8", "1+2?"))))


@pytest.fixture
def env(tmp_path: Path) -> MockAimoEnv:
    """A competition of two problems that writes into the test's own folder."""
    return MockAimoEnv(TWO, output_dir=tmp_path)


def test_frames_are_one_row_of_kaggles_columns(env: MockAimoEnv) -> None:
    """The first problem as `test[id, problem]`, and `sample_submission[id, answer]` to fill in."""
    batch = next(env.iter_test())
    assert batch is not None
    test, sample_submission = batch
    assert test.to_dict(orient="list") == {"id": ["007"], "problem": ["1+1?"]}
    assert sample_submission.to_dict(orient="list") == {"id": ["007"], "answer": [0]}


def test_the_submission_is_written_when_the_iterator_is_exhausted(env: MockAimoEnv, tmp_path: Path) -> None:
    """Not at the last answer: who leaves the loop early has no submission, as on Kaggle."""
    batches = env.iter_test()
    for answer in (2, 3):
        batch = next(batches)
        assert batch is not None
        env.predict(batch[1].assign(answer=answer))
    assert list(tmp_path.iterdir()) == []
    assert next(batches, "over") == "over"
    assert (tmp_path / "submission.csv").read_text() == "id,answer\n007,2\n229ee8,3\n"
    assert pd.read_parquet(tmp_path / "submission.parquet")["answer"].tolist() == [2, 3]


def test_a_second_iteration_is_refused(env: MockAimoEnv) -> None:
    """The real API can be iterated once in a kernel's life."""
    next(env.iter_test())
    with pytest.raises(GatewayError, match="only once"):
        next(env.iter_test())


def test_going_on_without_an_answer_gives_none_and_a_warning(
    env: MockAimoEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    """It doesn't raise: it prints and yields None, each time, until `predict` is called."""
    batches = env.iter_test()
    batch = next(batches)
    assert batch is not None
    assert [next(batches), next(batches)] == [None, None]
    assert capsys.readouterr().out.count("call predict()") == 2
    env.predict(batch[1])
    following = next(batches)
    assert following is not None
    assert following[0]["id"].item() == "229ee8"


def test_an_answer_before_the_first_problem_is_refused(env: MockAimoEnv) -> None:
    """There is nothing to answer before `iter_test()` gave a problem."""
    with pytest.raises(GatewayError, match="take the next one first"):
        env.predict(pd.DataFrame({"id": ["007"], "answer": [1]}))


def test_an_answer_after_the_last_problem_is_refused(env: MockAimoEnv) -> None:
    """There is nothing to answer once all is."""
    for batch in env.iter_test():
        assert batch is not None
        env.predict(batch[1])
    with pytest.raises(GatewayError, match="answered already"):
        env.predict(pd.DataFrame({"id": ["007"], "answer": [1]}))


def test_a_second_answer_to_one_problem_is_refused(env: MockAimoEnv) -> None:
    """An answer that was taken stands."""
    batch = next(env.iter_test())
    assert batch is not None
    env.predict(batch[1])
    with pytest.raises(GatewayError, match="take the next one first"):
        env.predict(batch[1])


BAD_REPLIES = {
    "an integer": (52, "got a int"),
    "None": (None, "got a NoneType"),
    "two rows": (pd.DataFrame({"id": ["007", "007"], "answer": [1, 1]}), "got 2 rows"),
    "no rows": (pd.DataFrame({"id": [], "answer": []}), "got 0 rows"),
    "no answer": (pd.DataFrame({"id": ["007"]}), "one row of id and answer"),
    "another id": (pd.DataFrame({"id": ["229ee8"], "answer": [1]}), "'229ee8' for '007'"),
    "an id that became a number": (pd.DataFrame({"id": [7], "answer": [1]}), "for '007'"),
    "a float": (pd.DataFrame({"id": ["007"], "answer": [52.0]}), "no integer"),
    "a text": (pd.DataFrame({"id": ["007"], "answer": ["52"]}), "no integer"),
    "a truth value": (pd.DataFrame({"id": ["007"], "answer": [True]}), "no integer"),
    "a truth value among objects": (pd.DataFrame({"id": ["007"], "answer": [True]}, dtype=object), "no integer"),
    "nothing": (pd.DataFrame({"id": ["007"], "answer": [None]}), "no integer"),
    "a negative": (pd.DataFrame({"id": ["007"], "answer": [-1]}), "0 to 999"),
    "1000": (pd.DataFrame({"id": ["007"], "answer": [1000]}), "0 to 999"),
    "10**30": (pd.DataFrame({"id": ["007"], "answer": [10**30]}), "0 to 999"),
}


@pytest.mark.parametrize(("reply", "message"), BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_a_bad_reply_is_refused_and_the_problem_stays_out(env: MockAimoEnv, reply: pd.DataFrame, message: str) -> None:
    """The error names the value; a good reply is still taken after it."""
    batch = next(env.iter_test())
    assert batch is not None
    with pytest.raises(GatewayError, match=message):
        env.predict(reply)
    env.predict(batch[1].assign(answer=np.int64(52)))
    assert env.submission.answers == (52,)


def test_an_unwritable_output_folder_is_found_out_at_the_start(tmp_path: Path) -> None:
    """Not after nine hours."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="can't write to the output folder"):
        MockAimoEnv(TWO, output_dir=tmp_path / "taken")


def test_the_answers_so_far_can_be_written(env: MockAimoEnv, tmp_path: Path) -> None:
    """For an end by Ctrl-C: what was answered by then."""
    batch = next(env.iter_test())
    assert batch is not None
    env.predict(batch[1].assign(answer=2))
    env.write_submission()
    assert (tmp_path / "submission.csv").read_text() == "id,answer\n007,2\n"
    assert pd.read_parquet(tmp_path / "submission.parquet").to_dict(orient="list") == {
        "id": ["007"],
        "answer": [2],
    }
