"""Our side of both competition APIs, behind the one port `Gateway`.

    AimoGateway(aimo.make_env()).serve(answer)                                  AIMO-1
    KaggleEvaluationGateway(KaggleEvaluation(problem_set).run).serve(answer)    AIMO-2 and 3: the mock, in process

The older API is used as the Numina kernel does (project-numina/aimo-progress-prize, kaggle-solution.ipynb).
In the newer one Kaggle's relay calls a function `predict` in a worker thread, with one problem at a time; it repeats a
call whose reply was lost, and aborts the whole run at any exception. `contest.Contest.answer` is made for that, so
nothing is caught or cached here.
"""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numina_infer.competitions.api_versions import Predict
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem

if TYPE_CHECKING:
    import pandas as pd

RunCompetition = Callable[[Predict], None]
"""Runs a competition that calls this `predict`; `GatewayError` if the competition's side breaks off."""


class AimoGateway:
    """Iterates over the competition's problems, and answers each before it takes the next."""

    def __init__(self, env: Any) -> None:
        """Serve `env`, the result of `aimo.make_env()` or a `MockAimoEnv`, which has the same two methods.

        `iter_test()` yields frames of one row, `test` (id, problem) and `sample_submission` (id, answer); `predict`
        takes the latter with its answer set.
        """
        self._env = env

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Ask `answer` for every problem; the competition's frame goes back unchanged but for the answer.

        Raises:
            GatewayError: the competition gave no problem, or its frames aren't of this API's shape.
        """
        for batch in self._env.iter_test():
            if batch is None:
                raise GatewayError(
                    "the competition gave no problem, since it has not taken the last answer; "
                    "nothing else may iterate over this env: make a new one and serve it once"
                )
            test, sample_submission = batch
            self._env.predict(sample_submission.assign(answer=answer(_problem(test))))


def _problem(test: "pd.DataFrame") -> Problem:
    if len(test) != 1 or any(list(test.columns).count(name) != 1 for name in ("id", "problem")):
        raise GatewayError(
            f"the competition sent {len(test)} rows of {list(test.columns)} where one of id and problem was due; "
            "check which API it speaks: kaggle_evaluation is the other"
        )
    return Problem(id=str(test["id"].iloc[0]), statement=str(test["problem"].iloc[0]))


class KaggleEvaluationGateway:
    """Runs a competition with a `predict` that asks for answers."""

    def __init__(self, run: RunCompetition) -> None:
        self._run = run

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Run the competition with a `predict` that asks `answer`; raises what the competition does."""
        self._run(make_predict(answer))


def make_predict(answer: Callable[[Problem], int]) -> Predict:
    """A function named `predict` that replies with a DataFrame of one row: `id` as it came, and `answer` in int64.

    It takes columns of length 1 (Series or DataFrames of polars or pandas, arrays) or bare values. It ignores further
    arguments, since a relay that reads a file with references sends these too.
    """

    def predict(id_: object, problem: object, *_extra: object) -> object:
        import polars as pl

        identifier, statement = _only_value("id", id_), _only_value("problem", problem)
        # A single float would turn the submission's whole column into floats.
        reply = operator.index(answer(Problem(id=str(identifier), statement=str(statement))))
        return pl.DataFrame({"id": [identifier], "answer": pl.Series([reply], dtype=pl.Int64)})

    return predict


def _only_value(name: str, column: object) -> object:
    """The only value in `column`, or `column` itself if it is a bare value."""
    import numpy as np

    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column, dtype=object)
    if values.size != 1:
        raise GatewayError(f"predict() got {values.size} values of {name} where one problem a call was due")
    value: object = values.item()
    return value
