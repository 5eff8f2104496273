"""Rehearses a rerun in two processes: our inference server in this one, Kaggle's relay in another, gRPC between them.

The relay writes what it would write on Kaggle into the run folder, and ends with this process however that ends.
"""

import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Self

from numina_infer.competitions.api_versions import Predict, get_version
from numina_infer.competitions.gateways.inference_server import InferenceServer
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
        with InferenceServer(predict, get_version(config.version), ports=config.ports) as server:
            relay = RelayProcess(self._problems, self._folder, replace(config, ports=(server.port,)))
            with relay:
                threading.Thread(target=_stop_after, args=(server, relay), daemon=True).start()
                server.serve()
        relay.require_success()

    def write_submission(self) -> None:
        """Do nothing: the relay wrote the submission so far when it was interrupted."""


class RelayProcess:
    """A relay in a process of its own; leaving `with` early ends it as a Ctrl-C does, with the submission so far."""

    def __init__(self, problems: Path, out: Path, config: RelayConfig) -> None:
        """Make a relay that poses `problems` and writes into `out`; `with` starts it."""
        module = "numina_infer.competitions.mock.relay"
        files = [f"--problems={problems}", f"--out={out}"]
        self._command = [sys.executable, "-m", module, *files, *config.arguments, "--until-eof"]
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = b""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        # A session of its own: Ctrl-C is for this process, which then ends the relay in order.
        self._process = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            self._command, stdin=subprocess.PIPE, stderr=self._file, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._started()
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_PATIENCE_S)
        finally:
            process.kill()
            with self._file as file:
                file.seek(0)
                self._stderr = file.read()

    def wait(self) -> None:
        """Return when the relay has ended."""
        self._started().wait()

    def require_success(self) -> None:
        """Return if the whole run succeeded; call it after the `with` block.

        Raises:
            ConfigError: the relay can't use a value.
            GatewayError: it aborted the run, or broke.
        """
        code = self._started().returncode
        if code == 0:
            return
        said = self._stderr.decode(errors="replace").strip().splitlines()
        lines = said or [f"the relay ended with exit code {code} and said nothing"]
        kind = ConfigError if code == 2 else GatewayError
        raise kind(lines[-1].removeprefix("error: "))

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise AssertionError("the relay was not started")
        return self._process


def _stop_after(server: InferenceServer, relay: RelayProcess) -> None:
    relay.wait()
    server.stop()
