"""How Kaggle's relay takes what `predict` returns: which replies pass, and what the others are called.

The rules were found by running the package kaggle_evaluation in the versions of AIMO-2 (0.3.0) and AIMO-3 (0.9.0)
against replies of every kind; `API_VERSIONS` is what differs.
The package itself has no licence, so none of it is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from numina_infer.mock.submission import SubmittedAnswer


class ErrorType(IntEnum):
    """Why a run was aborted, with Kaggle's names and numbers."""

    UNSPECIFIED = 0
    SERVER_NEVER_STARTED = 1
    SERVER_CONNECTION_FAILED = 2
    SERVER_RAISED_EXCEPTION = 3
    SERVER_MISSING_ENDPOINT = 4
    GATEWAY_RAISED_EXCEPTION = 5
    INVALID_SUBMISSION = 6
    GRPC_DEADLINE_EXCEEDED = 7


@dataclass(frozen=True, slots=True)
class Failure:
    """What aborts the run: it ends up in `result.json`."""

    error_type: ErrorType
    details: str = ""


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """Where the versions of kaggle_evaluation differ, as far as `predict` can tell."""

    statement_column: str
    """The name of the series that holds the statement."""
    deadline_s: float
    """For one call of `predict`, the first excepted."""
    deadline_failure: Failure
    """What a call beyond the deadline is called."""
    checks_ids: bool
    """False: the reply's ids are overwritten by the relay's own, and may be missing."""
    takes_any_callable: bool
    """False: `predict` must be a plain function, no bound method and no partial."""


API_VERSIONS: Mapping[str, ApiVersion] = {
    # AIMO-2
    "0.3.0": ApiVersion(
        statement_column="question",
        deadline_s=30 * 60.0,
        deadline_failure=Failure(ErrorType.SERVER_CONNECTION_FAILED, "StatusCode.DEADLINE_EXCEEDED"),
        checks_ids=True,
        takes_any_callable=True,
    ),
    # AIMO-3
    "0.9.0": ApiVersion(
        statement_column="problem",
        deadline_s=9 * 3600.0,
        deadline_failure=Failure(ErrorType.GRPC_DEADLINE_EXCEEDED),
        checks_ids=False,
        takes_any_callable=False,
    ),
}


def read_reply(reply: object, problem_id: str, version: ApiVersion) -> SubmittedAnswer | Failure:
    """The answer in `reply`, a polars or pandas DataFrame of one row, or why it isn't taken.

    A float or a text passes, as it does on Kaggle, where it spoils the column for the scorer.
    A frame without `answer`, or with a null in it, fails at Kaggle's scorer; here it fails at once.
    """
    import numpy as np

    if reply is None:
        return Failure(ErrorType.INVALID_SUBMISSION, "predict returned None")
    if isinstance(reply, int | float | str | np.generic):
        is_sendable = not isinstance(reply, int) or _fits_64_bits(reply)
        kind = ErrorType.GATEWAY_RAISED_EXCEPTION if is_sendable else ErrorType.SERVER_RAISED_EXCEPTION
        return Failure(kind, f"predict returned a bare {type(reply).__name__} where a DataFrame of one row was due")
    columns = _columns(reply)
    if columns is None:
        return Failure(ErrorType.INVALID_SUBMISSION, f"predict returned a {type(reply).__name__}, no DataFrame")
    return _read_columns(columns, problem_id, version)


def _fits_64_bits(integer: int) -> bool:
    return -(2**63) <= integer < 2**63


def _columns(reply: object) -> Mapping[str, list[object]] | None:
    """The cells of a DataFrame by column; None for anything else."""
    import pandas as pd
    import polars as pl

    if isinstance(reply, pl.DataFrame):
        return reply.to_dict(as_series=False)
    if isinstance(reply, pd.DataFrame):
        return {str(name): reply.iloc[:, place].tolist() for place, name in enumerate(reply.columns)}
    return None


def _read_columns(
    columns: Mapping[str, list[object]], problem_id: str, version: ApiVersion
) -> SubmittedAnswer | Failure:
    # The frame is sent before it is looked at, so what can't be sent fails first.
    for name, cells in columns.items():
        if any(isinstance(cell, int) and not _fits_64_bits(cell) for cell in cells):
            return Failure(ErrorType.SERVER_RAISED_EXCEPTION, f"column {name} holds an integer beyond 64 bits")
    num_rows = max((len(cells) for cells in columns.values()), default=0)
    if num_rows != 1:
        return Failure(ErrorType.INVALID_SUBMISSION, f"predict returned {num_rows} rows where 1 was due")
    if version.checks_ids and columns.get("id") != [problem_id]:
        return Failure(ErrorType.INVALID_SUBMISSION, f"the reply's id is {columns.get('id')}, not {[problem_id]}")
    answer = columns.get("answer", [None])[0]
    if isinstance(answer, bool) or not isinstance(answer, int | float | str):
        return Failure(ErrorType.INVALID_SUBMISSION, f"the reply's answer is {answer!r}")
    return answer
