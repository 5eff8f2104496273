"""The process that is drilled: the real command, with one thing put in between that notes every call and reply.

    python -m drills.subject NOTES rehearse --problems FILE …

NOTES gets a JSON line when a problem is asked, and another when its reply is there, each written at once, so that
they are there however the process ends. The client's patience with a silent server is as short as the contest.
"""

import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from numina_infer.app import rehearsal
from numina_infer.app.composition import open_contest
from numina_infer.core import presets
from numina_infer.core.records import Problem

_STALL_S = 2.0


class Noting:
    """A contest whose calls are noted."""

    def __init__(self, contest: Any, notes: int) -> None:
        self._contest, self._notes = contest, notes

    def answer(self, problem: Problem) -> int:
        """The contest's reply."""
        self._note(problem, None)
        answer: int = self._contest.answer(problem)
        self._note(problem, answer)
        return answer

    def _note(self, problem: Problem, answer: int | None) -> None:
        row = {"id": problem.id, "at": time.monotonic(), "answer": answer}
        os.write(self._notes, json.dumps(row).encode() + b"\n")


def _impatient(preset: presets.Preset) -> presets.Preset:
    return replace(preset, client=replace(preset.client, stall_s=_STALL_S))


def main() -> None:
    """Be the command that the arguments behind the notes' file name."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @contextmanager
    def noted(*given: Any, **named: Any) -> Iterator[Any]:
        with open_contest(*given, **named) as contest:
            yield Noting(contest, notes)

    presets.PRESETS = {**presets.PRESETS, "numina": _impatient(presets.PRESETS["numina"])}
    rehearsal.open_contest = noted  # type: ignore[attr-defined]  # a name that it imported
    runpy.run_module("numina_infer", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
