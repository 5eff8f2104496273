"""One run of kaggle_evaluation's side, whichever way `predict` is called: in process, or over gRPC.

Problems are posed one a call. Whatever goes wrong in one call aborts the whole run: `result.json` says why, and there
is no submission. Otherwise both submission files are written at the end.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from numina_infer.competitions.api_versions import ApiVersion
from numina_infer.competitions.mock.replied_integer import Failure, read_reply
from numina_infer.competitions.mock.sitting import Sitting, SittingStatus
from numina_infer.competitions.mock.submission import Submission, replace_file, writable_folder
from numina_infer.core.config import require_positive
from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.runs.problems import ProblemRow, ProblemSet

if TYPE_CHECKING:
    import polars as pl

Call = Callable[["Sequence[pl.Series]", float | None], object]
"""Calls `predict` with these columns, each of length 1, and waits so many seconds at most, None for ever.

It returns the reply, or the `Failure` that the call came to.
"""

_MAX_DETAILS = 8000
"""Characters of `ErrorDetails` in `result.json`."""


class Examination:
    """The competition, run once."""

    def __init__(
        self,
        problem_set: ProblemSet,
        version: ApiVersion,
        *,
        output_dir: str | Path = ".",
        shuffle_seed: int | None = None,
        deadline_s: float | None = None,
        extra_columns: Sequence[str] = (),
    ) -> None:
        """Make the competition.

        Args:
            problem_set: what is asked, in its order unless shuffled.
            version: how the relay behaves.
            output_dir: where the submission and `result.json` go.
            shuffle_seed: asks in a random order, as Kaggle does.
            deadline_s: seconds for a call, the first excepted; None takes the version's own.
            extra_columns: handed over behind id and statement; `answer` holds the reference, others nothing of worth.

        Raises:
            ConfigError: polars isn't installed, or a value can't be used.
        """
        _require_polars()
        self._version = version
        self._deadline_s = version.deadline_s if deadline_s is None else deadline_s
        require_positive("deadline_s", self._deadline_s)
        self._sitting = Sitting(problem_set if shuffle_seed is None else problem_set.shuffled(shuffle_seed))
        self._output_dir = writable_folder(output_dir)
        self._extra_columns = tuple(extra_columns)

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return self._sitting.submission

    def write_submission(self, folder: str | Path | None = None) -> None:
        """Write the answers so far into `folder`, by default the output folder.

        Raises:
            ConfigError: the folder can't be written to.
        """
        self.submission.write(self._output_dir if folder is None else folder)

    def run(self, call: Call) -> None:
        """Ask for every problem, then write the submission.

        Raises:
            GatewayError: a call went wrong; `result.json` holds the same.
        """
        while (sitting := self._sitting.advance()).status is not SittingStatus.FINISHED:
            self._sitting = sitting
            row = sitting.pending
            # The model may be loaded in the first call, so that has no deadline.
            reply = call(self._columns(row), self._deadline_s if sitting.answers else None)
            answer = reply if isinstance(reply, Failure) else read_reply(reply, row.problem.id, self._version)
            if isinstance(answer, Failure):
                self._abort(answer)
            self._sitting = sitting.accept(answer)
        self._sitting = sitting
        self.write_submission()
        self._write_result({"Succeeded": True})

    def _columns(self, row: ProblemRow) -> "list[pl.Series]":
        import polars as pl

        columns = {"id": row.problem.id, self._version.statement_column: row.problem.statement}
        known = {"answer": row.reference or ""}
        columns |= {name: known.get(name, "of no worth") for name in self._extra_columns}
        return [pl.Series(name, [text], dtype=pl.String) for name, text in columns.items()]

    def _abort(self, failure: Failure) -> NoReturn:
        details = failure.details[:_MAX_DETAILS]
        name = failure.error_type.name
        self._write_result(
            {"Succeeded": False, "ErrorType": int(failure.error_type), "ErrorName": name, "ErrorDetails": details}
        )
        raise GatewayError(
            f"Kaggle would have aborted the run at problem {self._sitting.pending.problem.id!r}, "
            f"with no submission: {name}: {details}"
        )

    def _write_result(self, result: Mapping[str, bool | int | str]) -> None:
        text = json.dumps(result)
        replace_file(self._output_dir / "result.json", lambda path: _write_text(path, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _require_polars() -> None:
    try:
        import polars  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError(
            'kaggle_evaluation speaks polars, which is not installed; pip install "numina-infer[kaggle]"'
        ) from error
