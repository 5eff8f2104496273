"""The run log's writer: JSON lines, one for each event, in their order; and the observers that see events after it.

A run folder holds `run.json` (what was run, on what), `trajectories.jsonl` (problems opened, trajectories started
and ended) and `solutions.jsonl` (verdicts). The two JSONL files share one sequence number.
Each line is one unbuffered write: a killed run keeps every whole line, and a file cut at any byte reads as a prefix.
The log's own thread writes them, so that nobody waits for the disk; a write that hangs ends the log.
docs/run-log.md explains every field; `history.py` reads them back.
"""

import fcntl
import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from numina_infer.core.errors import RunLogError
from numina_infer.core.events import Event, Solved
from numina_infer.core.ports import Announce
from numina_infer.runs.background import Background
from numina_infer.runs.rows import read_rows

FORMAT_VERSION = 3
READABLE_VERSIONS = frozenset({1, 2, FORMAT_VERSION})
"""1 has no `stopped` events; 2 lacks them for problems that failed, and has no `rules`."""
RUN_FILE = "run.json"
TRAJECTORIES_FILE = "trajectories.jsonl"
SOLUTIONS_FILE = "solutions.jsonl"

_PATIENCE_S = 10.0
"""How long one write may take before the log is given up."""
_OBSERVER_PATIENCE_S = 10.0
"""How long an observer may take over one event before it is given up."""
_RECORDED_FIRST_S = 1.0
"""How long an observer waits for the log, so that what people see is on the disk unless that hangs."""

Observer = Callable[[Event], None]
"""Called with every event after it is recorded, on a thread of its own; no more once it hangs."""

_log = logging.getLogger(__name__)


class RunLog:
    """The writer of one run folder; a lock keeps a second one out."""

    def __init__(
        self, folder: Path, *, resume: bool = False, is_vital: bool = True, patience_s: float = _PATIENCE_S
    ) -> None:
        """Open `folder` for writing, made if missing.

        Unless it `is_vital`, the contest goes on without a `run.json` that can't be written.
        A write that takes longer than `patience_s` ends the log.

        Raises:
            RunLogError: it can't be written, or already holds a run and `resume` is False.
        """
        self.folder = folder
        self._next_seq = 0
        self._is_ended = self._is_closed = False
        self._is_broken = False
        """Whether a line was lost, so that none may follow."""
        self.trouble = ""
        """Why the log isn't whole, for the summary; empty if it is."""
        self._is_vital = is_vital
        self._lock = threading.Lock()
        self._disk, self._patience_s = Background("run-log", patience_s), patience_s
        self._voice = Background("run-log-voice", patience_s)
        self._trajectories: IO[bytes]
        self._solutions: IO[bytes]
        self._open(resume=resume)

    def _open(self, *, resume: bool) -> None:
        with ExitStack() as files:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._trajectories = files.enter_context((self.folder / TRAJECTORIES_FILE).open("ab", buffering=0))
                _lock(self._trajectories, self.folder)
                if resume:
                    self._next_seq = _cut_torn_lines(self.folder)
                elif any(read_rows(self.folder / TRAJECTORIES_FILE)):
                    text = f"{self.folder} already holds a run; name another folder, or go on with --resume"
                    raise RunLogError(text)
                self._solutions = files.enter_context((self.folder / SOLUTIONS_FILE).open("ab", buffering=0))
            except OSError as error:
                raise RunLogError(f"can't write the run log in {self.folder}: {error.strerror or error}") from error
            files.pop_all()

    def describe(self, info: Mapping[str, object], *, is_waited_for: bool = True) -> None:
        """Write `run.json`, whole or not at all, from any thread; returns at once unless it is vital.

        Raises:
            RunLogError: it can't be written, is vital, and is waited for.
        """
        text = json.dumps({"format_version": FORMAT_VERSION, **info}, indent=2)
        path, trouble = self.folder / RUN_FILE, list[str]()
        if not (self._is_vital and is_waited_for):
            goes_on = partial(self.say, _log.error, "can't write %s, the contest goes on: %s", path)
            self._disk.do(partial(_write_whole, path, text, goes_on))
            return
        self._disk.do(partial(_write_whole, path, text, trouble.append))
        if not self._disk.flush(self._patience_s):
            trouble.append(f"the disk didn't take it within {self._patience_s:g} s")
        if trouble:
            raise RunLogError(f"can't write {path}: {trouble[0]}")

    def say(self, log: Callable[..., None], text: str, *values: object) -> None:
        """Call `log`, a method of a logger, for this log or its contest.

        Until the log is closed nobody waits for it, since standard error may hang like any disk.
        """
        if self._is_closed and not self._voice.is_given_up:
            log(text, *values)
        else:
            self._voice.do(partial(log, text, *values))

    def let_speak(self, timeout_s: float | None = None) -> None:
        """Wait until everything is said, for `timeout_s` at most, by default the log's patience."""
        self._voice.flush(self._patience_s if timeout_s is None else timeout_s)

    def write(self, event: Event) -> None:
        """Append one event, from any thread; waits for nothing and never raises.

        A disk that fails or hangs, an event that is no JSON, or a removed log is reported once and never stops the
        contest. Except in a removed log, no event is written after that, so that a log is a prefix of all events.
        """
        with self._lock:
            if self._is_closed and not self._is_ended:
                self._end("it is closed")
            if self._is_ended:
                return
            row = {"seq": self._next_seq, "event": type(event).__name__.lower()}
            self._next_seq += 1
            try:
                line = json.dumps({**row, **_as_row(event)}, separators=(",", ":")).encode() + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                self._end(f"a {row['event']} event can't be written ({error})")
            else:
                self._disk.do(partial(self._append, line, is_verdict=isinstance(event, Solved)))
                self._look()

    def flush(self, timeout_s: float) -> None:
        """Wait until the events so far are on the disk, for `timeout_s` at most."""
        self._disk.flush(timeout_s)

    def _append(self, line: bytes, *, is_verdict: bool) -> None:
        """Write one line, on the log's own thread."""
        if self._is_broken:
            return
        file = self._solutions if is_verdict else self._trajectories
        try:
            problem = "the disk took half a line" if file.write(line) != len(line) else ""
            is_removed = not problem and os.fstat(file.fileno()).st_nlink == 0
        except (OSError, ValueError) as error:
            problem, is_removed = str(error), False
        if problem:
            self._is_broken = True
            self._end(problem)
        elif is_removed:
            self.tell(f"the run log in {self.folder} was removed while the run went on")

    def _look(self) -> None:
        """End the log if the disk hangs."""
        if self._disk.is_given_up:
            self._end(f"a write took longer than {self._patience_s:g} s, and the log is given up")

    def _end(self, problem: str) -> None:
        """Take no more events."""
        if not self._is_ended:
            self._is_ended = True
            self.tell(f"the run log in {self.folder} ends early: {problem}")

    def tell(self, trouble: str) -> None:
        """Have `trouble` logged, and listed by the summary, once."""
        if trouble not in self.trouble:
            self.trouble = "; ".join(filter(None, [self.trouble, trouble]))
            self.say(_log.error, "%s; the contest goes on", trouble)

    def close(self) -> None:
        """Write the rest and close the files; a closed log takes no more events.

        While a write hangs they stay open, since other files might get their descriptors.
        """
        self._disk.close(self._close_files)
        with self._lock:
            self._look()
            self._is_closed = True
        self._voice.close()

    def _close_files(self) -> None:
        self._trajectories.close()
        self._solutions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NoLog(RunLog):
    """Keeps nothing, so that a contest goes on if no folder can be written."""

    def __init__(self, why: str) -> None:
        super().__init__(Path(os.devnull), is_vital=False)
        self.tell(f"there is no run log: {why}")
        self._is_ended = True

    def _open(self, *, resume: bool) -> None:  # noqa: ARG002 (there is nothing to open)
        self._trajectories = self._solutions = io.BytesIO()

    def describe(self, info: Mapping[str, object], *, is_waited_for: bool = True) -> None:
        """Nothing."""


class Recorders:
    """The run log of a contest and its observers, such as a progress display; `catch_up` and `close` wait for them.

    Each observer has a thread of its own, since a terminal or a pipe may take as long as it likes.
    """

    def __init__(self, log: RunLog, observers: Sequence[Observer]) -> None:
        """Events go to `log` first, then to `observers` in their order."""
        self._run_log = log
        self._observers = [(observer, Background("contest-observer", _OBSERVER_PATIENCE_S)) for observer in observers]

    def note(self, event: Event) -> None:
        """Pass `event` on; never raises."""
        try:
            self._run_log.write(event)
        except Exception as error:  # noqa: BLE001 (a record is worth no vote)
            self._run_log.say(_log.error, "a %s event can't be recorded: %r", type(event).__name__.lower(), error)
        for observer, thread in self._observers:
            thread.do(partial(self._show, observer, event))

    def _show(self, observer: Observer, event: Event) -> None:
        self._run_log.flush(_RECORDED_FIRST_S)
        observer(event)

    def catch_up(self, timeout_s: float) -> None:
        """Wait until everything passed on is recorded, for `timeout_s` at most."""
        until = time.monotonic() + timeout_s
        flushes = (thread.flush for _, thread in self._observers)
        for flush in (self._run_log.flush, *flushes, self._run_log.let_speak):
            flush(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Call observers no more, once they have caught up; the run's summary lists those that hung."""
        for _, thread in self._observers:
            thread.close()
            if thread.is_given_up:
                text = f"an observer took longer than {_OBSERVER_PATIENCE_S:g} s over an event, and is told no more"
                self._run_log.tell(text)
        self._run_log.let_speak()


def _write_whole(path: Path, text: str, tell: Announce) -> None:
    """Write `text` whole or not at all, and `tell` the reason if it fails."""
    draft = path.with_suffix(".tmp")
    try:
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        tell(error.strerror or str(error))


def _as_row(record: Any) -> dict[str, Any]:
    """A record's fields; `dataclasses.asdict` would copy each token id."""
    return {name: _plain(getattr(record, name)) for name in type(record).__dataclass_fields__}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _as_row(value)
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return [_as_row(each) for each in value]
    return value


def _lock(file: IO[bytes], folder: Path) -> None:
    """Hold the folder for as long as `file` is open."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunLogError(f"another process is writing the run in {folder}; wait for it, or name another") from error


def _cut_torn_lines(folder: Path) -> int:
    """Cut off the torn last line that a kill may leave in each file; returns the next sequence number."""
    next_seq = 0
    for path in (folder / TRAJECTORIES_FILE, folder / SOLUTIONS_FILE):
        next_seq = max([next_seq, *(row["seq"] + 1 for row in read_rows(path))])
        if path.exists():
            with path.open("rb") as file:
                os.truncate(path, sum(len(line) for line in file if line.endswith(b"\n")))
    return next_seq
