"""The process that is drilled: the real command, with a gateway that notes every call and every reply.

    python -m drills.subject NOTES rehearse --problems FILE …

NOTES gets a JSON line when a problem is asked, and another when its reply is there. Each is written at once, so that
it is there however the process ends. The client soon loses patience with a silent server, as the contest is short.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from numina_infer.app.choices import Choices
from numina_infer.app.composition import Backends, make_engine
from numina_infer.cli import main as run_command_line
from numina_infer.core.ports import Announce, Engine, Gateway
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem

_STALL_S = 2.0


@dataclass(frozen=True, slots=True)
class NotingGateway:
    """A gateway around another that notes its calls in a file."""

    gateway: Gateway
    notes: int
    """The file's descriptor."""

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Have every problem answered by `answer`, with a note before and a note behind."""

        def noted(problem: Problem) -> int:
            self._note(problem, None)
            number = answer(problem)
            self._note(problem, number)
            return number

        self.gateway.serve(noted)

    def _note(self, problem: Problem, answer: int | None) -> None:
        row = {"id": problem.id, "at": time.monotonic(), "answer": answer}
        os.write(self.notes, json.dumps(row).encode() + b"\n")


def _impatient_engine(
    choices: Choices, preset: Preset, report: Announce, at_once: int
) -> AbstractAsyncContextManager[Engine]:
    client = replace(preset.client, stall_s=_STALL_S)
    return make_engine(choices, replace(preset, client=client), report, at_once)


def main() -> int:
    """Be the command that the arguments behind the notes' file name."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    notes = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    backends = Backends(engine=_impatient_engine, gateway=lambda gateway: NotingGateway(gateway, notes))
    return run_command_line(sys.argv[2:], backends=backends)


if __name__ == "__main__":
    sys.exit(main())
