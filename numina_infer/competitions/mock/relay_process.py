"""The relay as a process that ends with the one that started it, whichever way that ends."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.core.errors import ConfigError, GatewayError

_PATIENCE_S = 30.0
"""For a relay that was told to end, to write the submission so far."""


class RelayProcess:
    """A relay of one's own; leaving `with` early ends it as by Ctrl-C: it writes the submission so far."""

    def __init__(self, problems: Path, out: Path, config: RelayConfig) -> None:
        """Make one that asks for `problems` and writes into `out`; `with` starts it."""
        files = [f"--problems={problems}", f"--out={out}"]
        self._command = [
            sys.executable,
            "-m",
            "numina_infer.competitions.mock.relay",
            *files,
            *config.arguments,
            "--until-eof",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._said = ""

    def __enter__(self) -> Self:
        self._stderr = tempfile.TemporaryFile()
        # A session of its own: Ctrl-C is for this process, which then ends the relay in order.
        self._process = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            self._command, stdin=subprocess.PIPE, stderr=self._stderr, start_new_session=True
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
            with self._stderr as file:
                file.seek(0)
                self._said = file.read().decode(errors="replace")

    def wait(self) -> None:
        """Return when it has ended."""
        self._started().wait()

    def require_success(self) -> None:
        """Return if the run was a whole one; to be asked once `with` is left.

        Raises:
            ConfigError: the relay can't use a value.
            GatewayError: it aborted the run, or broke.
        """
        code = self._started().returncode
        if code == 0:
            return
        lines = self._said.strip().splitlines() or [f"the relay ended with exit code {code} and said nothing"]
        kind = ConfigError if code == 2 else GatewayError
        raise kind(lines[-1].removeprefix("error: "))

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise AssertionError("the relay was not started")
        return self._process
