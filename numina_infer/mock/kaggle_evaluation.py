"""Kaggle's side of AIMO-2 and 3: the relay that calls our `predict`, one problem a call.

    KaggleEvaluation(read_problems("test.csv")).run(predict)

stands for `kaggle_evaluation`'s `InferenceServer(predict).run_local_gateway(("test.csv",))`, without gRPC:
`predict` runs in a worker thread, gets one series of length 1 a column, and has a deadline from its second call on.
Whatever goes wrong in one call aborts the whole run: `result.json` says why, and there is no submission.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, NoReturn

from numina_infer.api_versions import API_VERSIONS, ApiVersion, ErrorType
from numina_infer.config import require, require_positive
from numina_infer.errors import ConfigError, GatewayError
from numina_infer.mock.reply import Failure, read_reply
from numina_infer.mock.sitting import Sitting, SittingStatus
from numina_infer.mock.submission import Submission, SubmittedAnswer, replace_file, writable_folder
from numina_infer.problems import ProblemRow, ProblemSet

if TYPE_CHECKING:
    import polars as pl

Predict = Callable[..., object]
"""`predict(id, problem)`, called with polars series of length 1."""

_MAX_DETAILS = 8000
"""Characters of `ErrorDetails` in `result.json`."""


class KaggleEvaluation:
    """The competition, run once."""

    def __init__(
        self,
        problem_set: ProblemSet,
        *,
        version: str = "0.9.0",
        output_dir: str | Path = ".",
        shuffle_seed: int | None = None,
        deadline_s: float | None = None,
        pass_answers: bool = False,
    ) -> None:
        """Make the competition.

        Args:
            problem_set: what is asked, in its order unless shuffled.
            version: a key of `API_VERSIONS`.
            output_dir: where the submission and `result.json` go.
            shuffle_seed: asks in a random order, as Kaggle does.
            deadline_s: seconds for a call of `predict`, the first excepted; None takes the version's own.
            pass_answers: hands the references to `predict` as a third series, as Kaggle's relay does in a local run
                over a file that has them.

        Raises:
            ConfigError: polars isn't installed, or a value can't be used.
        """
        require(version in API_VERSIONS, f"no version is called {version!r}; choose one of {', '.join(API_VERSIONS)}")
        _require_polars()
        self._version = API_VERSIONS[version]
        self._deadline_s = self._version.deadline_s if deadline_s is None else deadline_s
        require_positive("deadline_s", self._deadline_s)
        self._sitting = Sitting(problem_set if shuffle_seed is None else problem_set.shuffled(shuffle_seed))
        self._output_dir = writable_folder(output_dir)
        self._pass_answers = pass_answers

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

    def run(self, predict: Predict) -> None:
        """Call `predict` for every problem, then write the submission.

        A call that is over its deadline, or interrupted, is left behind: its thread ends when `predict` returns.

        Raises:
            ConfigError: `predict` is nothing that Kaggle's server would register.
            GatewayError: a call went wrong; `result.json` holds the same.
        """
        _require_listener(predict, self._version)
        relay = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kaggle-relay")
        try:
            while (sitting := self._sitting.advance()).status is not SittingStatus.FINISHED:
                self._sitting = sitting
                answer = self._ask(predict, relay)
                if isinstance(answer, Failure):
                    self._abort(answer)
                self._sitting = sitting.accept(answer)
        finally:
            relay.shutdown(wait=False, cancel_futures=True)
        self._sitting = sitting
        self.write_submission()
        self._write_result({"Succeeded": True})

    def _ask(self, predict: Predict, relay: ThreadPoolExecutor) -> SubmittedAnswer | Failure:
        if getattr(predict, "__name__", "") != "predict":
            return Failure(ErrorType.SERVER_MISSING_ENDPOINT, "the server has no endpoint called predict")
        row = self._sitting.pending
        call = relay.submit(predict, *self._arguments(row))
        try:
            error = call.exception(timeout=self._deadline_s if self._sitting.answers else None)
        except TimeoutError:
            return Failure(self._version.deadline_error, self._version.deadline_details)
        if error is None:
            return read_reply(call.result(), row.problem.id, self._version)
        if not isinstance(error, Exception):
            raise error
        return Failure(ErrorType.SERVER_RAISED_EXCEPTION, f"{type(error).__name__}: {error}")

    def _arguments(self, row: ProblemRow) -> "list[pl.Series]":
        import polars as pl

        columns = {"id": row.problem.id, self._version.statement_column: row.problem.statement}
        if self._pass_answers:
            columns["answer"] = row.reference or ""
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

    def _write_result(self, result: dict[str, bool | int | str]) -> None:
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


def _require_listener(predict: Predict, version: ApiVersion) -> None:
    """Refuse what the server refuses to register: it knows its listeners by their name."""
    name = getattr(predict, "__name__", "")
    require(
        bool(name) and name != "<lambda>", f"{predict!r} has no name to be called by; give a function named predict"
    )
    require(
        version.takes_any_callable
        or isinstance(predict, FunctionType)
        or (version.takes_methods and isinstance(predict, MethodType)),
        f"{predict!r} is no plain function; wrap it in a `def predict`",
    )
