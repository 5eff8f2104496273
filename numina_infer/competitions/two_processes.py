"""A rerun's two sides on this machine: our inference server in this process, Kaggle's relay in another, gRPC between.

The relay writes what it would write on Kaggle into the run folder, and ends with this process.
"""

import threading
from dataclasses import replace
from pathlib import Path

from numina_infer.competitions.api_versions import Predict, get_version
from numina_infer.competitions.gateways.inference_server import InferenceServer
from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.competitions.mock.relay_process import RelayProcess


class SeparateCompetition:
    """The competition in a process of its own, run once."""

    def __init__(self, problems: Path, folder: Path, config: RelayConfig) -> None:
        """Make it; `config.ports` is where the server listens, and none takes the first free one of the version's."""
        self._problems, self._folder, self._config = problems, folder, config

    def run(self, predict: Predict) -> None:
        """Serve `predict` to the relay until that ends.

        On a Ctrl-C the relay writes the submission so far.

        Raises:
            ConfigError: a package is missing, or the relay can't use a value.
            GatewayError: no port is free, or the relay aborted the run; `result.json` holds the same.
        """
        config = self._config
        with InferenceServer(predict, get_version(config.version), ports=config.ports) as server:
            relay = RelayProcess(self._problems, self._folder, replace(config, ports=(server.port,)))
            with relay:
                threading.Thread(target=_stop_with, args=(server, relay), daemon=True).start()
                server.serve()
        relay.require_success()

    def write_submission(self) -> None:
        """Nothing: the relay wrote the submission so far when it was interrupted."""


def _stop_with(server: InferenceServer, relay: RelayProcess) -> None:
    relay.wait()
    server.stop()
