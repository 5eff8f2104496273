"""The processes of a drill: servers, and the command that is drilled, watched from outside.

The command is `numina-infer rehearse` itself, with the real sandbox and real sockets; its servers are stand-ins at a
T4's pace. It is watched through /proc, the notes of its calls, and its run folder.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from drills.contest_plan import ContestPlan, right_answer
from drills.leftovers import descendants
from numina_infer.core.config import BankConfig
from numina_infer.core.errors import EngineError

NUM_PROBLEMS = 6
SECONDS_A_PROBLEM = 8.0
_LOOK_EVERY_S = 0.02
_PATIENCE_S = 60.0
"""Seconds for one step of a drill, such as the command's end."""
_END_S = 10.0
"""Processes that the command started have so long to end after it."""


@dataclass(frozen=True, slots=True)
class Note:
    """A call, or the reply to it."""

    id: str
    """The problem's."""
    at: float
    """Loop time."""
    answer: int | None
    """None for a call."""


@dataclass(slots=True)
class DrilledProcesses:
    """One drill's processes; `close` ends those that are left."""

    folder: Path
    plan: ContestPlan
    speed: float = 1.0
    """The servers' speed, where 1 is two T4s."""
    servers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    command: "subprocess.Popen[bytes] | None" = None
    num_starts: int = 0
    seen: set[tuple[int, str]] = field(default_factory=set)
    """Every process that was seen below the command."""

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    @property
    def bank(self) -> BankConfig:
        """The command's time bank."""
        return BankConfig.of_limit(SECONDS_A_PROBLEM * self.plan.num_problems)

    @property
    def notes(self) -> list[Note]:
        """Calls and replies of the command as it was last started."""
        file = self._notes_file
        return [Note(**json.loads(line)) for line in file.read_text().splitlines()] if file.is_file() else []

    @property
    def _notes_file(self) -> Path:
        return self.folder / f"notes-{self.num_starts}.jsonl"

    @property
    def said(self) -> tuple[str, ...]:
        """The command's output, line by line."""
        return tuple((self.folder / "said.txt").read_text(errors="replace").splitlines())

    @property
    def summary(self) -> tuple[str, ...]:
        """The lines of its summary, without the heading."""
        said = self.said
        heading = next((at for at, line in enumerate(said) if line.strip() == "Summary"), len(said))
        return said[heading + 1 :]

    @property
    def submission(self) -> dict[str, int]:
        """The answers it submitted, by problem; none where there is no file."""
        file = self.run / "submission.csv"
        if not file.is_file():
            return {}
        with file.open(newline="", encoding="utf-8") as rows:
            return {row["id"]: int(row["answer"]) for row in csv.DictReader(rows)}

    def serve(self, number: int) -> None:
        """Start server `number`, or start it again, and return when it listens."""
        socket = self._socket(number)
        socket.unlink(missing_ok=True)
        server = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            [sys.executable, "-m", "drills.server", str(socket), f"--speed={self.speed}"],
            start_new_session=True,
        )
        self.servers[number:] = [server]
        self.wait_until(socket.exists)

    def _socket(self, number: int) -> Path:
        return self.folder / f"server-{number}"

    def begin(self, *arguments: str) -> None:
        """Start the command anew, with further arguments."""
        problems = self.folder / "problems.jsonl"
        with problems.open("w", encoding="utf-8") as file:
            for number, problem in enumerate(self.plan.problems, start=1):
                row = {"id": problem.id, "problem": problem.statement, "answer": str(right_answer(number))}
                file.write(json.dumps(row) + "\n")
        endpoints = [f"--endpoint={self._socket(number)}" for number in range(len(self.servers))]
        policy = ["--preset=numina", "--num-samples=8", "--width=4", f"--time-limit={self.bank.time_limit_s}"]
        given = [f"--problems={problems}", f"--out={self.run}", "--engine=vllm", *endpoints, *policy, *arguments]
        self._start("rehearse", *given)

    def resume(self) -> None:
        """Start it again with `--resume`."""
        self._start("rehearse", f"--resume={self.run}")

    def _start(self, *arguments: str) -> None:
        self.num_starts += 1
        subject = [sys.executable, "-m", "drills.subject", str(self._notes_file)]
        with (self.folder / "said.txt").open("w") as said:
            self.command = subprocess.Popen(  # noqa: S603 (as above)
                [*subject, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The command's."""
        return self._begun.pid

    @property
    def _begun(self) -> "subprocess.Popen[bytes]":
        if self.command is None:
            raise AssertionError("the command was not started")
        return self.command

    def below(self, name: str) -> int:
        """The first process below the command that calls itself `name`."""
        found = [pid for pid in sorted(descendants(self.pid)) if name in _command_line(pid)]
        if not found:
            raise EngineError(f"the command has no process {name!r} below it")
        return found[0]

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Look until `is_so()`.

        Raises:
            EngineError: that took over a minute.
        """
        until = time.monotonic() + _PATIENCE_S
        while not is_so():
            self._look()
            if time.monotonic() > until:
                raise EngineError(f"what the drill waits for doesn't come; {self._last_words}")
            time.sleep(_LOOK_EVERY_S)

    @property
    def _last_words(self) -> str:
        file = self.folder / "said.txt"
        return " / ".join(self.said[-3:]) if file.is_file() else "the command wasn't started"

    def wait_for_call(self, number: int) -> None:
        """Return when problem `number` is asked, or the command has ended."""
        name = f"p{number}"
        self.wait_until(lambda: self.has_ended or any(note.id == name for note in self.notes))

    @property
    def has_ended(self) -> bool:
        """Whether the command has."""
        return self._begun.poll() is not None

    def wait_for_end(self) -> str:
        """How the command ended: empty where well."""
        self.wait_until(lambda: self.has_ended)
        code = self._begun.returncode
        if code == 0:
            return ""
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def _look(self) -> None:
        if self.command is not None:
            for pid in descendants(self.command.pid):
                with suppress(OSError):
                    self.seen.add((pid, _born(pid)))

    def left(self) -> tuple[str, ...]:
        """Processes that the command started and that are still there some seconds after its end."""
        until = time.monotonic() + _END_S
        while (left := [pid for pid, born in self.seen if _is_same(pid, born)]) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        return tuple(f"{pid} {_command_line(pid)[:60]}" for pid in left)

    def close(self) -> None:
        """End everything."""
        for process in (*self.servers, *([self.command] if self.command is not None else [])):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.wait()


def _stat(pid: int) -> Sequence[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _born(pid: int) -> str:
    return _stat(pid)[19]


def _is_same(pid: int, born: str) -> bool:
    with suppress(OSError, IndexError):
        stat = _stat(pid)
        return stat[19] == born and stat[0] != "Z"
    return False


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
