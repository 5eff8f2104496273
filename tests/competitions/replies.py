"""Two problems, and replies to the second of every kind that the real package was tried with."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import polars as pl

from numina_infer.competitions.api_versions import Predict
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet

TWO = ProblemSet((ProblemRow(Problem("007", "1+1?"), "2"), ProblemRow(Problem("229ee8", "1+2?"), "3")))


def replying(second: Callable[[str], object]) -> Predict:
    """A `predict` that is right at the first problem and replies `second(id)` at the second."""

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        identifier = str(id_.item(0))
        return pl.DataFrame({"id": [identifier], "answer": [2]}) if identifier == "007" else second(identifier)

    return predict


def polars_reply(*ids: str, answer: object = 3) -> pl.DataFrame:
    """A reply with one row an id."""
    return pl.DataFrame({"id": list(ids), "answer": [answer] * len(ids)})


def pandas_reply(identifier: str, answer: object = 3) -> pd.DataFrame:
    """A reply of one row."""
    return pd.DataFrame({"id": [identifier], "answer": [answer]})


def failing(identifier: str) -> object:
    """A reply that never comes."""
    raise RuntimeError(f"no model for {identifier}")


INT, FLOAT, TEXT = "int64", "double", "string"
"""What passes, by the type of the submission's answers."""
RAISED = (3, "SERVER_RAISED_EXCEPTION")
BROKE = (5, "GATEWAY_RAISED_EXCEPTION")
INVALID = (6, "INVALID_SUBMISSION")

Fate = str | tuple[int, str]

# the reply, its fate in 0.3.0, its fate in 0.9.0, as seen with the real package
REPLIES: Mapping[str, tuple[Callable[[str], object], Fate, Fate]] = {
    "polars": (polars_reply, INT, INT),
    "pandas": (pandas_reply, INT, INT),
    "int": (lambda _: 3, BROKE, BROKE),
    "np.int64": (lambda _: np.int64(3), BROKE, BROKE),
    "wrong id": (lambda _: polars_reply("other"), INVALID, INT),
    "no id column": (lambda _: pl.DataFrame({"answer": [3]}), INVALID, INT),
    "None": (lambda _: None, INVALID, INVALID),
    "two rows": (lambda i: polars_reply(i, i), INVALID, INVALID),
    "float": (lambda i: polars_reply(i, answer=2.5), FLOAT, FLOAT),
    "str": (lambda i: polars_reply(i, answer="3"), TEXT, TEXT),
    "10**30": (lambda i: polars_reply(i, answer=10**30), RAISED, RAISED),
    "10**30 in pandas": (lambda i: pandas_reply(i, answer=10**30), RAISED, RAISED),
    "bare 10**30": (lambda _: 10**30, RAISED, RAISED),
    "raise": (failing, RAISED, RAISED),
}
