"""The process that is drilled: the real command, with one thing put in between that notes every call and reply.

    python -m numina_infer.drill.subject NOTES rehearse --problems FILE …

NOTES gets a JSON line when a problem is asked, and another when its reply is there, each written at once, so that
they are there however the process ends.
"""

import json
import os
import runpy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numina_infer.rehearsal as rehearsal
from numina_infer.trajectory import Problem


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


def main() -> None:
    """Be the command that the arguments behind the notes' file name."""
    notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    opened = rehearsal.open_contest

    @contextmanager
    def noted(*given: Any, **named: Any) -> Iterator[Any]:
        with opened(*given, **named) as contest:
            yield Noting(contest, notes)

    rehearsal.open_contest = noted  # type: ignore[attr-defined]
    runpy.run_module("numina_infer", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
