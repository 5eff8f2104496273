"""Which replies of `predict` Kaggle's relay accepts, and how it reports the others.

The rules were found by running the package kaggle_evaluation in the versions of AIMO-2 (0.3.0) and AIMO-3 (0.9.0)
against replies of every kind; `api_versions` has the differences.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from numina_infer.competitions.api_versions import ApiVersion, ErrorType
from numina_infer.competitions.mock.submission import SubmittedAnswer


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the run is aborted, as `result.json` says it."""

    error_type: ErrorType
    details: str = ""


def read_reply(reply: object, problem_id: str, version: ApiVersion) -> SubmittedAnswer | Failure:
    """The answer in `reply`, a polars or pandas DataFrame of one row, or why it isn't accepted.

    A float or a text is accepted, as on Kaggle, where the scorer then fails on the column.
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
    """The cells of a DataFrame by column; None if `reply` is none."""
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
    # Kaggle's server sends the frame before it is checked, so a value that can't be sent fails first.
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
