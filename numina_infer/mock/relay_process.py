"""The relay as a process that ends with the one that started it, whichever way that ends."""

import subprocess
import sys
from pathlib import Path
from typing import Self

from numina_infer.errors import ConfigError, GatewayError
from numina_infer.mock.relay import RelayConfig

_PATIENCE_S = 30.0
"""For a relay that was told to end, to write the submission so far."""


class RelayProcess:
    """A relay of one's own; leaving `with` early ends it as by Ctrl-C: it writes the submission so far."""

    def __init__(self, problems: Path, out: Path, config: RelayConfig) -> None:
        """Make one that asks for `problems` and writes into `out`; `with` starts it."""
        files = [f"--problems={problems}", f"--out={out}"]
        self._command = [sys.executable, "-m", "numina_infer.mock.relay", *files, *config.arguments, "--until-eof"]
        self._process: subprocess.Popen[str] | None = None
        self._said = ""

    def __enter__(self) -> Self:
        # A session of its own: Ctrl-C is for this process, which then ends the relay in order.
        self._process = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            self._command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
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

    def wait(self) -> None:
        """Return when it has ended; from one thread, once."""
        process = self._started()
        if process.stderr is not None:
            with process.stderr as stderr:
                self._said = stderr.read()
        process.wait()

    def require_success(self) -> None:
        """Return if the run that has ended is a whole one.

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

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None:
            raise AssertionError("the relay was not started")
        return self._process
