"""Our side of AIMO-2 and 3: a function `predict` that Kaggle's relay calls with one problem at a time.

    KaggleEvaluationGateway(KaggleEvaluation(problem_set).run).serve(answer)                  the mock, in process
    KaggleEvaluationGateway(package_run(AIMO3InferenceServer, is_rerun=True)).serve(answer)   Kaggle's own package
    KaggleEvaluationGateway(server_run(version, is_rerun=True)).serve(answer)                 our own server

The relay calls `predict` in a worker thread, repeats a call whose reply was lost, and aborts the whole run at any
exception. `contest.Contest.answer` is made for that, so nothing is caught or cached here.
"""

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numina_infer.competitions.api_versions import ApiVersion, Predict
from numina_infer.competitions.gateways.inference_server import InferenceServer
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem

Run = Callable[[Predict], None]
"""Runs a competition that calls this `predict`."""


class KaggleEvaluationGateway:
    """Runs a competition with a `predict` that asks for answers."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Run the competition with a `predict` that asks `answer`.

        Raises:
            GatewayError: the competition's side broke off.
        """
        self._run(make_predict(answer))


def package_run(server_class: Callable[[Predict], Any], *, problems: Path | None = None, is_rerun: bool) -> Run:
    """Runs Kaggle's own package: `serve()` of its server in a rerun, elsewhere `run_local_gateway(data_paths)`.

    `problems` is a CSV file with the competition's own columns in their order; with None the package takes its own.
    The local gateway poses them from this process, and writes `submission.parquet` into the working folder.
    """

    def run(predict: Predict) -> None:
        server = server_class(predict)
        if is_rerun:
            server.serve()
            return
        try:
            server.run_local_gateway(None if problems is None else (str(problems),))
        except Exception as error:
            raise GatewayError(_package_says(error)) from error

    return run


def _package_says(error: Exception) -> str:
    """The message of an error; the package's own have a type and details instead of a text."""
    error_type, details = getattr(error, "error_type", None), getattr(error, "error_details", None)
    if error_type is None:
        return f"kaggle_evaluation broke off: {error!r}"
    return f"kaggle_evaluation aborted the run: {getattr(error_type, 'name', error_type)}: {details}"


def server_run(version: ApiVersion, *, is_rerun: bool) -> Run:
    """Runs our own inference server until it is interrupted, or the kernel ends."""

    def run(predict: Predict) -> None:
        with InferenceServer(predict, version, is_rerun=is_rerun) as server:
            server.serve()

    return run


def make_predict(answer: Callable[[Problem], int]) -> Predict:
    """A function named `predict` that replies with a DataFrame of one row: `id` as it came, and `answer` in int64.

    It takes columns of length 1 (Series or DataFrames of polars or pandas, arrays) or bare values. It ignores further
    arguments, since a relay that reads a file with references sends these too.
    """

    def predict(id_: object, problem: object, *_extra: object) -> object:
        identifier = _only_value("id", id_)
        statement = _only_value("problem", problem)
        # A single float would turn the submission's whole column into floats.
        return _reply(identifier, operator.index(answer(Problem(id=str(identifier), statement=str(statement)))))

    return predict


def _only_value(name: str, column: object) -> object:
    """The only value in `column`, or `column` itself if it is a bare value."""
    import numpy as np

    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column, dtype=object)
    if values.size != 1:
        raise GatewayError(f"predict() got {values.size} values of {name} where one problem a call was due")
    value: object = values.item()
    return value


def _reply(identifier: object, answer: int) -> object:
    """A DataFrame of polars, or of pandas if polars isn't installed."""
    try:
        import polars as pl
    except ImportError:
        import pandas as pd

        return pd.DataFrame({"id": [identifier], "answer": pd.Series([answer], dtype="int64")})
    return pl.DataFrame({"id": [identifier], "answer": pl.Series([answer], dtype=pl.Int64)})
