"""Compares answers that aren't integers with their references, by math-verify in processes that can be killed.

math-verify (HuggingFace, Apache-2.0; extra `[eval]`) says whether two mathematical expressions are the same.
A model's answer may be a tower of powers that no machine computes, and math-verify's own alarm doesn't ring while one
large power is computed. So a comparison has a time limit, after which its process is killed and replaced, and the
grade is `UNDECIDED`.
The processes are this module, run as `python -P -m numina_infer.lab.evaluate.grading TIMEOUT_S MEMORY_BYTES`, with
limits by the kernel: a request is a line of JSON, the reply a line that says `right`, `wrong`, or why neither. A pool
such as pebble's would unpickle results, and so let a process that read a hostile answer run code here.
The reference goes first: math-verify's comparison isn't symmetric.
"""

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.util import find_spec
from queue import LifoQueue
from typing import IO, Any, Self, TypeVar, cast

from numina_infer.core.errors import ConfigError, GradingError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST_WORKERS = 4
_START_S = 120.0
"""For the imports, which take five seconds on an idle machine."""
_READY = b"ready\n"
_MAX_REPLY_BYTES = 200
_MAX_CHARACTERS = 2000
"""Of one answer; longer ones aren't looked at, so that a request always fits into its pipe."""


class GradeVerdict(StrEnum):
    """The result of one comparison."""

    RIGHT = "right"
    WRONG = "wrong"
    UNDECIDED = "undecided"
    """The two couldn't be compared; counted as wrong, and named."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict, with the reason where it is undecided."""

    verdict: GradeVerdict
    reason: str = ""


class Grader:
    """Compares pairs of answers, several at once; a context manager that ends its processes."""

    def __init__(self, num_workers: int = 0, *, timeout_s: int = 9, memory_bytes: int = 2 * 1024**3) -> None:
        """Start nothing yet.

        Args:
            num_workers: how many processes compare; 0 takes the machine's cores, four at most.
            timeout_s: for one comparison, wall time; a third of it is math-verify's own alarm.
            memory_bytes: address space of one process.
        """
        self._num_workers = num_workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._is_stopped = False
        self._workers: LifoQueue[_Worker] = LifoQueue()
        for _ in range(self._num_workers):
            self._workers.put(_Worker(timeout_s, memory_bytes))

    def grade(self, reference: str, answer: str) -> Grade:
        """Whether `answer` is `reference`; equal texts are right at once. Any thread may call it.

        Raises:
            ConfigError: math-verify isn't installed.
            GradingError: a process doesn't start.
        """
        if _plain(reference) == _plain(answer):
            return Grade(GradeVerdict.RIGHT)
        if self._is_stopped:
            return Grade(GradeVerdict.UNDECIDED, "stopped")
        if max(len(reference), len(answer)) > _MAX_CHARACTERS:
            return Grade(GradeVerdict.UNDECIDED, f"longer than {_MAX_CHARACTERS} characters")
        worker = self._workers.get()
        try:
            return worker.compare(reference, answer)
        finally:
            self._workers.put(worker)

    def each(self, task: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """Results of `task`, which may call `grade`, in the order of `items`; as many run at once as processes."""
        with ThreadPoolExecutor(self._num_workers) as threads:
            try:
                yield from threads.map(task, items)
            except BaseException:
                self._is_stopped = True  # running tasks would ask for hundreds of grades more
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._workers.empty():
            self._workers.get().kill()


def _plain(text: str) -> str:
    return "".join(text.split()).strip("$.")


class _Worker:
    """One process, started when it is first needed and again after every kill."""

    def __init__(self, timeout_s: int, memory_bytes: int) -> None:
        self._timeout_s, self._memory_bytes = timeout_s, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, gold: str, answer: str) -> Grade:
        """The verdict of the process; `UNDECIDED` where it can't say, or had to be killed."""
        process = self._process or self._start()
        request = json.dumps({"gold": gold, "answer": answer}).encode() + b"\n"
        reply = _ask(process, request, self._timeout_s)
        if reply in {b"right\n", b"wrong\n"}:
            return Grade(GradeVerdict(reply.decode().strip()))
        if reply.count(b"\n") != 1 or not reply.endswith(b"\n"):  # what follows would be taken for the next reply
            self.kill()
        reason = reply.decode(errors="replace").strip() or f"no reply within {self._timeout_s} s, or its process died"
        return Grade(GradeVerdict.UNDECIDED, reason)

    def kill(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(BrokenPipeError), process:
                process.kill()

    def _start(self) -> "subprocess.Popen[bytes]":
        if find_spec("math_verify") is None:
            raise ConfigError("general answers are compared by math-verify; pip install 'numina-infer[eval]'")
        limits = [str(self._timeout_s), str(self._memory_bytes)]
        command = [sys.executable, "-P", "-m", "numina_infer.lab.evaluate.grading", *limits]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        if _ask(self._process, b"", _START_S) != _READY:
            self.kill()
            raise GradingError(f"math-verify doesn't start; {' '.join(command)} shows why")
        return self._process


def _ask(process: "subprocess.Popen[bytes]", request: bytes, timeout_s: float) -> bytes:
    """What a process replies: a line, or no end where it died, took longer or wrote more than that."""
    requests, replies = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    deadline, reply = time.monotonic() + timeout_s, b""
    with suppress(BrokenPipeError):
        requests.write(request)
        requests.flush()
        while not reply.endswith(b"\n") and len(reply) < _MAX_REPLY_BYTES:
            is_there, _, _ = select.select([replies], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(replies.fileno(), _MAX_REPLY_BYTES - len(reply)) if is_there else b""
            if not piece:
                break
            reply += piece
    return reply


def _reply_to_requests(timeout_s: int, memory_bytes: int) -> None:
    """What a process does, until there are no more requests."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's prints aren't replies
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    compare = _comparer(max(1, timeout_s // 3))
    replies.write(_READY)
    for line in sys.stdin:
        # The kernel ends a computation that goes on after the parent has gone.
        seconds = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 2 * timeout_s
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
        request = json.loads(line)
        replies.write(compare(request["gold"], request["answer"]).encode() + b"\n")


def _comparer(alarm_s: int) -> Callable[[str, str], str]:
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    @lru_cache(maxsize=512)
    def read(text: str) -> list[Any]:
        """math-verify reads LaTeX only where it is marked as such."""
        marked = text if "$" in text or r"\boxed" in text else f"${text}$"
        return list(parse(marked, parsing_timeout=alarm_s, raise_on_error=True))

    def compare(gold: str, answer: str) -> str:
        try:
            sides = {"reference": read(gold), "answer": read(answer)}
            if unread := [name for name, side in sides.items() if not side]:
                return f"the {unread[0]} can't be read"
            same = verify(*sides.values(), timeout_seconds=alarm_s, raise_on_error=True)
        except (Exception, TimeoutException) as error:  # noqa: BLE001 - after any error they weren't compared
            return type(error).__name__
        return "right" if same else "wrong"

    return compare


if __name__ == "__main__":
    _reply_to_requests(int(sys.argv[1]), int(sys.argv[2]))
