"""Kaggle's side of AIMO-2 and 3 in this process: a relay that calls our `predict` with one problem per call.

    KaggleEvaluation(read_problems("test.csv")).run(predict)

stands for `kaggle_evaluation`'s `InferenceServer(predict).run_local_gateway(("test.csv",))`, without gRPC:
`predict` runs in a worker thread, gets each column as a series of length 1, and has a deadline but for its first call.
`relay` does the same over gRPC, as in a rerun.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from numina_infer.competitions.api_versions import ErrorType, Predict
from numina_infer.competitions.mock.examination import Examination
from numina_infer.competitions.mock.reply_rules import Failure

if TYPE_CHECKING:
    import polars as pl


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
