"""A competition whose two sides talk over gRPC in one process: the relay on a thread, the server in `run`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from numina_infer.competitions.api_versions import Predict, get_version
from numina_infer.competitions.inference_server import InferenceServer
from numina_infer.competitions.mock.exam import Submission
from numina_infer.competitions.mock.relay import Relay, RelayConfig
from numina_infer.runs.problems import ProblemSet

ANY_PORT = (0,)


class GrpcCompetition:
    """As `mock.kaggle_evaluation.KaggleEvaluation`, over gRPC."""

    def __init__(self, problem_set: ProblemSet, folder: Path, config: RelayConfig | None = None) -> None:
        config = config or RelayConfig()
        self._given: list[Predict] = []

        def predict(*columns: object) -> object:
            return self._given[-1](*columns)

        self._server = InferenceServer(predict, get_version(config.version), ports=ANY_PORT).__enter__()
        self.relay = Relay(problem_set, folder, replace(config, ports=(self._server.port,)))

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return self.relay.submission

    def write_submission(self) -> None:
        """Write them."""
        self.relay.write_submission()

    def run(self, predict: Predict) -> None:
        """Serve `predict` until the relay has ended."""
        self._given.append(predict)
        with self.relay, ThreadPoolExecutor(1) as threads:
            asking = threads.submit(self.relay.run)
            asking.add_done_callback(lambda _: self._server.stop())
            try:
                self._server.serve()
            except BaseException:
                # A process would be interrupted; what happens to this one's thread then is nobody's result.
                self.relay._write_result = lambda result: None  # type: ignore[method-assign]
                self._server.stop()
                raise
            asking.result()
