"""Kaggle's side of AIMO-2 and 3: it calls our `predict` with one problem per call.

    KaggleEvaluation(read_problems("test.csv")).run(predict)

stands for `kaggle_evaluation`'s `InferenceServer(predict).run_local_gateway(("test.csv",))`, without gRPC: `predict`
runs in a worker thread, gets each column as a series of length 1, and has a deadline but for its first call.
`relay` does the same over gRPC, as in a rerun.

A call that goes wrong aborts the whole run: `result.json` says why, and no submission is written.
Which replies are accepted, and how others are reported, was found by running the package in the versions of AIMO-2
(0.3.0) and AIMO-3 (0.9.0) against replies of every kind; `api_versions` has the differences.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from numina_infer.competitions.api_versions import ApiVersion, ErrorType, Predict, get_version
from numina_infer.competitions.messages import require_packages
from numina_infer.competitions.mock.exam import Exam, SubmittedAnswer, replace_file
from numina_infer.core.config import require_positive
from numina_infer.core.errors import GatewayError
from numina_infer.runs.problems import ProblemRow, ProblemSet

if TYPE_CHECKING:
    import polars as pl

Call = Callable[["Sequence[pl.Series]", float | None], object]
"""Calls `predict` with these columns of length 1, with a deadline in seconds or None: a reply, or a `Failure`."""

_MAX_DETAILS = 8000
"""Characters of `ErrorDetails` in `result.json`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the run is aborted, as `result.json` says it."""

    error_type: ErrorType
    details: str = ""


class Examination(Exam):
    """A competition that can be run once; subclasses call `predict` in process or over gRPC."""

    def __init__(
        self,
        problem_set: ProblemSet,
        *,
        version: str = "0.9.0",
        output_dir: str | Path = ".",
        deadline_s: float | None = None,
        extra_columns: Sequence[str] = (),
    ) -> None:
        """Make the competition; `ConfigError` if polars isn't installed, or a value can't be used.

        `version` is a key of `API_VERSIONS`; `deadline_s`, for each call but the first, is the version's own by
        default. `extra_columns` are sent after id and statement: `answer` holds the reference, others a meaningless
        text.
        """
        require_packages("polars")
        self.version = get_version(version)
        self._deadline_s = self.version.deadline_s if deadline_s is None else deadline_s
        require_positive("deadline_s", self._deadline_s)
        super().__init__(problem_set, output_dir)
        self._extra_columns = tuple(extra_columns)

    def _examine(self, call: Call) -> None:
        """Pose every problem by `call`, then write the submission; a call that goes wrong is a `GatewayError`."""
        for row in self.pose_all():
            # The model may be loaded in the first call, so that has no deadline.
            reply = call(self._columns(row), self._deadline_s if self._answers else None)
            answer = reply if isinstance(reply, Failure) else read_reply(reply, row.problem.id, self.version)
            if isinstance(answer, Failure):
                self._abort(answer)
            self.accept(answer)
        self._write_result({"Succeeded": True})

    def _columns(self, row: ProblemRow) -> "list[pl.Series]":
        import polars as pl

        columns = {"id": row.problem.id, self.version.statement_column: row.problem.statement}
        known = {"answer": row.reference or ""}
        columns |= {name: known.get(name, "of no worth") for name in self._extra_columns}
        return [pl.Series(name, [text], dtype=pl.String) for name, text in columns.items()]

    def _abort(self, failure: Failure) -> NoReturn:
        details, name = failure.details[:_MAX_DETAILS], failure.error_type.name
        self._write_result(
            {"Succeeded": False, "ErrorType": int(failure.error_type), "ErrorName": name, "ErrorDetails": details}
        )
        raise GatewayError(
            f"Kaggle would have aborted the run at problem {self.pending.problem.id!r}, "
            f"with no submission: {name}: {details}"
        )

    def _write_result(self, result: Mapping[str, bool | int | str]) -> None:
        text = json.dumps(result)
        replace_file(self._output_dir / "result.json", lambda path: path.write_text(text, encoding="utf-8"))


class KaggleEvaluation(Examination):
    """The competition in this process, run once."""

    def run(self, predict: Predict) -> None:
        """Call `predict` for every problem, then write the submission.

        A call that passes its deadline, or is interrupted, is left behind: its thread ends when `predict` returns.

        Raises:
            ConfigError: Kaggle's server would refuse to register `predict`.
            GatewayError: a call went wrong; `result.json` holds the same.
        """
        self.version.require_listener(predict)
        relay = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kaggle-relay")
        try:
            self._examine(partial(self._call, predict, relay))
        finally:
            relay.shutdown(wait=False, cancel_futures=True)

    def _call(
        self, predict: Predict, relay: ThreadPoolExecutor, columns: "Sequence[pl.Series]", deadline_s: float | None
    ) -> object:
        if getattr(predict, "__name__", "") != "predict":
            return Failure(ErrorType.SERVER_MISSING_ENDPOINT, "the server has no endpoint called predict")
        call = relay.submit(predict, *columns)
        try:
            error = call.exception(timeout=deadline_s)
        except TimeoutError:
            return Failure(self.version.deadline_error, self.version.deadline_details)
        if error is None:
            return call.result()
        if not isinstance(error, Exception):
            raise error
        return Failure(ErrorType.SERVER_RAISED_EXCEPTION, f"{type(error).__name__}: {error}")


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
    columns = _cells(reply)
    if columns is None:
        return Failure(ErrorType.INVALID_SUBMISSION, f"predict returned a {type(reply).__name__}, no DataFrame")
    return _read_columns(columns, problem_id, version)


def _fits_64_bits(integer: int) -> bool:
    return -(2**63) <= integer < 2**63


def _cells(reply: object) -> Mapping[str, list[object]] | None:
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
