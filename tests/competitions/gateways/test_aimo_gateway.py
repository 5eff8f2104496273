"""Our side of the 2024 API, against frames that the mock doesn't send."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from numina_infer.competitions.gateways import AimoGateway
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem

Batch = tuple[pd.DataFrame, pd.DataFrame] | None


class ScriptedEnv:
    """Gives the batches it was made with, and keeps what was predicted."""

    def __init__(self, *batches: Batch) -> None:
        self._batches = batches
        self.predicted: list[pd.DataFrame] = []

    def iter_test(self) -> Iterator[Batch]:
        """The batches, in order."""
        return iter(self._batches)

    def predict(self, submission: pd.DataFrame) -> None:
        """Keep it."""
        self.predicted.append(submission)


def test_ids_of_any_type_go_back_as_they_came() -> None:
    """The answering side sees text, the competition its own integer id and its own columns."""
    asked: list[Problem] = []

    def answer(problem: Problem) -> int:
        asked.append(problem)
        return 52

    # An index that doesn't start at 0 is what `test["problem"][0]` fell over.
    test = pd.DataFrame({"id": np.array([7]), "problem": ["1+1?"]}, index=[3])
    sample = pd.DataFrame({"id": np.array([7]), "answer": [0]}, index=[3])
    env = ScriptedEnv((test, sample))
    AimoGateway(env).serve(answer)
    assert asked == [Problem("7", "1+1?")]
    assert env.predicted[0].to_dict() == {"id": {3: 7}, "answer": {3: 52}}
    assert env.predicted[0].dtypes.tolist() == [np.dtype("int64"), np.dtype("int64")]


def test_the_competitions_frame_is_not_written_to() -> None:
    """It may be a view of theirs, where writing warns or fails."""
    sample = pd.DataFrame({"id": ["a"], "answer": [0]})
    AimoGateway(ScriptedEnv((pd.DataFrame({"id": ["a"], "problem": ["?"]}), sample))).serve(lambda _: 52)
    assert sample["answer"].tolist() == [0]


def test_none_from_the_iterator_is_a_gateway_error() -> None:
    """That is how the API withholds a problem; going on would loop for ever."""
    with pytest.raises(GatewayError, match="has not taken the last answer"):
        AimoGateway(ScriptedEnv(None)).serve(lambda _: 52)


@pytest.mark.parametrize(
    "test",
    [
        pd.DataFrame({"id": ["a"], "question": ["?"]}),
        pd.DataFrame({"id": ["a", "b"], "problem": ["?", "!"]}),
        pd.DataFrame({"id": [], "problem": []}),
    ],
    ids=["other column", "two rows", "no rows"],
)
def test_frames_of_another_shape_are_a_gateway_error(test: pd.DataFrame) -> None:
    """The error shows the columns and hints at the other API."""
    env = ScriptedEnv((test, pd.DataFrame({"id": ["a"], "answer": [0]})))
    with pytest.raises(GatewayError, match="kaggle_evaluation"):
        AimoGateway(env).serve(lambda _: 52)
    assert env.predicted == []


def test_an_interrupt_passes_through() -> None:
    """Ctrl-C in the middle of a problem reaches the caller, and nothing is predicted for it."""

    def answer(problem: Problem) -> int:
        raise KeyboardInterrupt

    env = ScriptedEnv((pd.DataFrame({"id": ["a"], "problem": ["?"]}), pd.DataFrame({"id": ["a"], "answer": [0]})))
    with pytest.raises(KeyboardInterrupt):
        AimoGateway(env).serve(answer)
    assert env.predicted == []
