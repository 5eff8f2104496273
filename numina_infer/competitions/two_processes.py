"""Rehearses a rerun in two processes: our inference server in this one, Kaggle's relay in another, gRPC between them.

The relay writes what it would write on Kaggle into the run folder, and ends with this process however that ends.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

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
            tempfile.TemporaryFile() as stderr,
            InferenceServer(predict, get_version(config.version), ports=config.ports) as server,
        ):
            chosen = json.dumps(asdict(replace(config, ports=(server.port,))))
            module = "numina_infer.competitions.mock.relay"
            files = [f"--problems={self._problems}", f"--out={self._folder}"]
            # A session of its own: Ctrl-C is for this process, which then ends the relay in order.
            relay = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
                [sys.executable, "-m", module, *files, f"--config={chosen}"],
                stdin=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
            with _ended_in_order(relay):
                threading.Thread(target=_stop_after, args=(relay, server), daemon=True).start()
                server.serve()
            stderr.seek(0)
            _require_success(relay.returncode, stderr.read().decode(errors="replace"))

    def write_submission(self) -> None:
        """Do nothing: the relay wrote the submission so far when it was interrupted."""


@contextmanager
def _ended_in_order(relay: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Ends `relay` as a Ctrl-C does, so that it writes the submission so far."""
    try:
        yield
    finally:
        try:
            relay.communicate(timeout=_PATIENCE_S)  # closes its stdin
        finally:
            relay.kill()


def _stop_after(relay: "subprocess.Popen[bytes]", server: InferenceServer) -> None:
    relay.wait()
    server.stop()


def _require_success(code: int, said: str) -> None:
    if code == 0:
        return
    lines = said.strip().splitlines() or [f"the relay ended with exit code {code} and said nothing"]
    kind = ConfigError if code == 2 else GatewayError
    raise kind(lines[-1].removeprefix("error: "))
