"""One run through the problems, as kaggle_evaluation does it; subclasses call `predict` in process or over gRPC.

Each call of `predict` poses one problem. A call that goes wrong aborts the whole run: `result.json` says why, and no
submission is written. Otherwise both submission files are written at the end.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from numina_infer.competitions.api_versions import get_version
from numina_infer.competitions.mock.exam_state import ExamState, ExamStatus
from numina_infer.competitions.mock.reply_rules import Failure, read_reply
from numina_infer.competitions.mock.submission import Submission, replace_file, writable_folder
from numina_infer.core.config import require_positive
from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.runs.problems import ProblemRow, ProblemSet

if TYPE_CHECKING:
    import polars as pl

Call = Callable[["Sequence[pl.Series]", float | None], object]
"""Calls `predict` with these columns, each of length 1, with a deadline in seconds or None.

It returns the reply, or a `Failure`.
"""

_MAX_DETAILS = 8000
"""Characters of `ErrorDetails` in `result.json`."""


class Examination:
    """A competition that can be run once."""

    def __init__(
        self,
        problem_set: ProblemSet,
        *,
        version: str = "0.9.0",
        output_dir: str | Path = ".",
        shuffle_seed: int | None = None,
        deadline_s: float | None = None,
        extra_columns: Sequence[str] = (),
    ) -> None:
        """Make the competition.

        Args:
            problem_set: the problems, posed in this order unless shuffled.
            version: how the relay behaves, a key of `API_VERSIONS`.
            output_dir: the folder for the submission and `result.json`.
            shuffle_seed: poses the problems in a random order, as Kaggle does.
            deadline_s: seconds for each call but the first; None takes the version's own.
            extra_columns: sent after id and statement; `answer` holds the reference, others a meaningless text.

        Raises:
            ConfigError: polars isn't installed, or a value can't be used.
        """
        _require_polars()
        self.version = get_version(version)
        self._deadline_s = self.version.deadline_s if deadline_s is None else deadline_s
        require_positive("deadline_s", self._deadline_s)
        self._state = ExamState(problem_set if shuffle_seed is None else problem_set.shuffled(shuffle_seed))
        self._output_dir = writable_folder(output_dir)
        self._extra_columns = tuple(extra_columns)

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return self._state.submission

    def write_submission(self, folder: str | Path | None = None) -> None:
        """Write the answers so far into `folder`, by default the output folder.

        Raises:
            ConfigError: the folder can't be written to.
        """
        self.submission.write(self._output_dir if folder is None else folder)

    def _examine(self, call: Call) -> None:
        """Pose every problem by `call`, then write the submission.

        Raises:
            GatewayError: a call went wrong; `result.json` holds the same.
        """
        while (state := self._state.advance()).status is not ExamStatus.FINISHED:
            self._state = state
            row = state.pending
            # The model may be loaded in the first call, so that has no deadline.
            reply = call(self._columns(row), self._deadline_s if state.answers else None)
            answer = reply if isinstance(reply, Failure) else read_reply(reply, row.problem.id, self.version)
            if isinstance(answer, Failure):
                self._abort(answer)
            self._state = state.accept(answer)
        self._state = state
        self.write_submission()
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
            f"Kaggle would have aborted the run at problem {self._state.pending.problem.id!r}, "
            f"with no submission: {name}: {details}"
        )

    def _write_result(self, result: Mapping[str, bool | int | str]) -> None:
        text = json.dumps(result)
        replace_file(self._output_dir / "result.json", lambda path: path.write_text(text, encoding="utf-8"))


def _require_polars() -> None:
    try:
        import polars  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError(
            'kaggle_evaluation speaks polars, which is not installed; pip install "numina-infer[kaggle]"'
        ) from error
