"""Our side of AIMO-2 and 3: a function named `predict` that Kaggle's relay calls with one problem at a time.

Against the mock: `KaggleEvaluationGateway(KaggleEvaluation(problem_set).run).serve(answer)`.
Against the real package, with its module `aimo_3_inference_server` on the path:

    def run(predict):
        AIMO3InferenceServer(predict).serve()

The relay calls `predict` in a worker thread, may repeat a call whose reply was lost, and aborts the whole run at any
exception: `contest.Contest.answer` is made for that, so nothing is caught or cached here.
"""

import operator
from collections.abc import Callable

from numina_infer.errors import GatewayError
from numina_infer.trajectory import Problem

Predict = Callable[..., object]
"""`predict(id, problem)`: a plain function, as newer relays ask for one."""


class KaggleEvaluationGateway:
    """Gives `predict` to whoever runs the competition."""

    def __init__(self, run: Callable[[Predict], None]) -> None:
        self._run = run

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Run the competition with a `predict` that asks `answer`.

        Raises:
            GatewayError: the competition's side broke off.
        """
        self._run(make_predict(answer))


def make_predict(answer: Callable[[Problem], int]) -> Predict:
    """A function named `predict` that replies with a DataFrame of one row, `id` as it came and `answer` in int64.

    It takes columns of length 1 (Series or DataFrames of polars or pandas, arrays) or bare values, and ignores
    whatever comes behind the statement: a relay that reads a file with references hands these over too.
    """

    def predict(id_: object, problem: object, *_extra: object) -> object:
        identifier = _only_value("id", id_)
        statement = _only_value("problem", problem)
        # A float among integers would turn the whole column of the submission.
        return _reply(identifier, operator.index(answer(Problem(id=str(identifier), statement=str(statement)))))

    return predict


def _only_value(name: str, column: object) -> object:
    """The one value in `column`, or `column` itself where it is a bare value."""
    import numpy as np

    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column, dtype=object)
    if values.size != 1:
        raise GatewayError(f"predict() got {values.size} values of {name} where one problem a call was due")
    value: object = values.item()
    return value


def _reply(identifier: object, answer: int) -> object:
    """A DataFrame of polars, or of pandas where that isn't installed."""
    try:
        import polars as pl
    except ImportError:
        import pandas as pd

        return pd.DataFrame({"id": [identifier], "answer": pd.Series([answer], dtype="int64")})
    return pl.DataFrame({"id": [identifier], "answer": pl.Series([answer], dtype=pl.Int64)})
