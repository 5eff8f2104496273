"""Compares answers that aren't integers with their references, by math-verify in processes that can be killed.

math-verify (HuggingFace, Apache-2.0; extra `[eval]`) says whether two mathematical expressions are the same.
A model's answer may be a tower of powers that no machine computes. So a comparison has a time limit, after which its
process is killed and replaced, and the grade is `UNDECIDED`.
The processes reply with lines of JSON, from which a boolean and a short reason are read. A pool such as pebble's would
unpickle their results, and so let a process that read a hostile answer run code here.
The reference goes first: math-verify's comparison isn't symmetric.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from queue import LifoQueue
from typing import IO, Any, Self, cast

from numina_infer.core.config import require_positive, require_whole
from numina_infer.core.errors import ConfigError, GradingError

_START_S = 120.0
"""For the imports, which take five seconds on an idle machine."""
_MAX_REPLY_BYTES = 4096


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


@dataclass(frozen=True, slots=True)
class GradingConfig:
    """How many processes compare, and what each may take."""

    num_workers: int = 0
    """0 takes the machine's cores, four at most."""
    timeout_s: int = 9
    """For one comparison, wall time; a third of it is math-verify's own alarm."""
    memory_bytes: int = 2 * 1024**3
    """Address space of one process."""

    def __post_init__(self) -> None:
        require_whole("num_workers", self.num_workers, 0, "the machine's cores")
        require_whole("timeout_s", self.timeout_s, 1)
        require_positive("memory_bytes", self.memory_bytes)

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self.num_workers or min(4, os.cpu_count() or 1)


class Grader:
    """Compares pairs of answers, several at once; a context manager that ends its processes."""

    def __init__(self, config: GradingConfig | None = None) -> None:
        """Start nothing yet."""
        self._config = config or GradingConfig()
        self._is_stopped = False
        self._workers: LifoQueue[_Worker] = LifoQueue()
        for _ in range(self._config.workers):
            self._workers.put(_Worker(self._config))

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
        worker = self._workers.get()
        try:
            return worker.compare(reference, answer)
        finally:
            self._workers.put(worker)

    def each(self, tasks: Iterable[Callable[[], Any]]) -> Iterator[Any]:
        """Run `tasks`, which may call `grade`, as many at once as there are processes; yield results as they end."""
        with ThreadPoolExecutor(self._config.workers) as threads:
            running = [threads.submit(task) for task in tasks]
            try:
                for done in as_completed(running):
                    yield done.result()
            except BaseException:
                self._is_stopped = True  # running tasks would ask for hundreds of grades more
                raise
            finally:
                for one in running:
                    one.cancel()

    def close(self) -> None:
        """End the processes."""
        while not self._workers.empty():
            self._workers.get().kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _plain(text: str) -> str:
    return "".join(text.split()).strip("$.")


class _LostError(Exception):
    """A process gave no reply; the text says why."""


class _Worker:
    """One process, started when it is first needed and again after every kill."""

    def __init__(self, config: GradingConfig) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, gold: str, answer: str) -> Grade:
        """The verdict of the process; `UNDECIDED` where it can't say, or had to be killed."""
        process = self._process or self._start()
        try:
            _send(process, {"gold": gold, "answer": answer})
            reply = _receive(process, self._config.timeout_s)
        except _LostError as loss:
            self.kill()
            return Grade(GradeVerdict.UNDECIDED, str(loss))
        if not isinstance(reply.get("same"), bool):
            return Grade(GradeVerdict.UNDECIDED, str(reply.get("reason"))[:200])
        return Grade(GradeVerdict.RIGHT if reply["same"] else GradeVerdict.WRONG)

    def kill(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        if find_spec("math_verify") is None:
            raise ConfigError("general answers are compared by math-verify; pip install 'numina-infer[eval]'")
        limits = [str(self._config.timeout_s), str(self._config.memory_bytes)]
        command = [sys.executable, "-P", "-m", "numina_infer.lab.evaluate.grading_worker", *limits]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _receive(self._process, _START_S)
        except _LostError as loss:
            self.kill()
            raise GradingError(f"math-verify doesn't start ({loss}); {' '.join(command)} shows why") from loss
        return self._process


def _send(process: "subprocess.Popen[bytes]", request: Mapping[str, str]) -> None:
    pipe = cast("IO[bytes]", process.stdin)
    try:
        pipe.write(json.dumps(request).encode() + b"\n")
        pipe.flush()
    except BrokenPipeError as error:
        raise _LostError("its process died") from error


def _receive(process: "subprocess.Popen[bytes]", timeout_s: float) -> Mapping[str, Any]:
    pipe = cast("IO[bytes]", process.stdout)
    deadline, line = time.monotonic() + timeout_s, b""
    while not line.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([pipe], [], [], left_s)[0]:
            raise _LostError(f"not done after {timeout_s:g} s")
        piece = os.read(pipe.fileno(), _MAX_REPLY_BYTES)
        line += piece
        if not piece or len(line) > _MAX_REPLY_BYTES:
            raise _LostError("its process died" if not piece else "its reply has no end")
    return _parsed(line)


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _LostError("its reply is no JSON") from error
    if not isinstance(reply, dict):
        raise _LostError("its reply is no object")
    return reply
