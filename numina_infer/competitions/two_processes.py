"""Rehearses a rerun in two processes: our inference server in this one, Kaggle's relay in another, gRPC between them.

The relay writes what it would write on Kaggle into the run folder, and ends with this process however that ends.
"""

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

from numina_infer.competitions.api_versions import Predict, get_version
from numina_infer.competitions.inference_server import InferenceServer
from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.core.errors import ConfigError, GatewayError

_PATIENCE_S = 30.0
"""How long a relay that is to end may take to write the submission so far."""


class SeparateCompetition:
    """The competition in a process of its own, run once."""

    def __init__(self, problems: Path, folder: Path, config: RelayConfig) -> None:
        """Make it; the server listens on the first free one of `config.ports`, or of the version's if it is empty."""
        self._problems, self._folder, self._config = problems, folder, config

    def run(self, predict: Predict) -> None:
        """Serve `predict` to the relay until that ends.

        On a Ctrl-C the relay writes the submission so far.

        Raises:
            ConfigError: a package is missing, or the relay can't use a value.
            GatewayError: no port is free, or the relay aborted the run; `result.json` holds the same.
        """
        config = self._config
        with (
            InferenceServer(predict, get_version(config.version), ports=config.ports) as server,
            RelayProcess(self._problems, self._folder, replace(config, ports=(server.port,))) as relay,
        ):
            threading.Thread(target=_stop_after, args=(server, relay), daemon=True).start()
            server.serve()
        relay.require_success()

    def write_submission(self) -> None:
        """Do nothing: the relay wrote the submission so far when it was interrupted."""


class RelayProcess:
    """A relay in a process of its own; leaving `with` early ends it as a Ctrl-C does, with the submission so far."""

    def __init__(self, problems: Path, out: Path, config: RelayConfig) -> None:
        """Start a relay that poses `problems` and writes into `out`."""
        module = "numina_infer.competitions.mock.relay"
        chosen = [f"--problems={problems}", f"--out={out}", f"--config={json.dumps(asdict(config))}"]
        self._said, self._stderr = b"", tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end of `with`)
        # A session of its own: Ctrl-C is for this process, which then ends the relay in order.
        self._process = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            [sys.executable, "-m", module, *chosen], stdin=subprocess.PIPE, stderr=self._stderr, start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=_PATIENCE_S)  # closes its stdin
        finally:
            self._process.kill()
            with self._stderr as file:
                file.seek(0)
                self._said = file.read()

    def wait(self) -> None:
        """Return when the relay has ended."""
        self._process.wait()

    def require_success(self) -> None:
        """Return if the whole run succeeded; call it after the `with` block.

        Raises:
            ConfigError: the relay can't use a value.
            GatewayError: it aborted the run, or broke.
        """
        code = self._process.returncode
        if code == 0:
            return
        said = self._said.decode(errors="replace").strip().splitlines()
        lines = said or [f"the relay ended with exit code {code} and said nothing"]
        kind = ConfigError if code == 2 else GatewayError
        raise kind(lines[-1].removeprefix("error: "))


def _stop_after(server: InferenceServer, relay: RelayProcess) -> None:
    relay.wait()
    server.stop()
