"""Kaggle's side of AIMO-2 and 3 in this process: the relay that calls our `predict`, one problem a call.

    KaggleEvaluation(read_problems("test.csv")).run(predict)

stands for `kaggle_evaluation`'s `InferenceServer(predict).run_local_gateway(("test.csv",))`, without gRPC:
`predict` runs in a worker thread, gets one series of length 1 a column, and has a deadline from its second call on.
`relay` is the same over gRPC, as in a rerun.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.competitions.api_versions import ErrorType, Predict, get_version
from numina_infer.competitions.mock.examination import Examination
from numina_infer.competitions.mock.replied_integer import Failure
from numina_infer.competitions.mock.submission import Submission
from numina_infer.runs.problems import ProblemSet

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KaggleEvaluation", "Predict"]


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
        self._version = get_version(version)
        self._examination = Examination(
            problem_set,
            self._version,
            output_dir=output_dir,
            shuffle_seed=shuffle_seed,
            deadline_s=deadline_s,
            extra_columns=("answer",) if pass_answers else (),
        )

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return self._examination.submission

    def write_submission(self, folder: str | Path | None = None) -> None:
        """Write the answers so far into `folder`, by default the output folder.

        Raises:
            ConfigError: the folder can't be written to.
        """
        self._examination.write_submission(folder)

    def run(self, predict: Predict) -> None:
        """Call `predict` for every problem, then write the submission.

        A call that is over its deadline, or interrupted, is left behind: its thread ends when `predict` returns.

        Raises:
            ConfigError: `predict` is nothing that Kaggle's server would register.
            GatewayError: a call went wrong; `result.json` holds the same.
        """
        self._version.require_listener(predict)
        relay = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kaggle-relay")

        def call(columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
            return self._call(predict, relay, columns, deadline_s)

        try:
            self._examination.run(call)
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
            return Failure(self._version.deadline_error, self._version.deadline_details)
        if error is None:
            return call.result()
        if not isinstance(error, Exception):
            raise error
        return Failure(ErrorType.SERVER_RAISED_EXCEPTION, f"{type(error).__name__}: {error}")
