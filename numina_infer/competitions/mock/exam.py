"""The part that the mocks of both APIs share: problems posed one at a time, one answer for each, two submission files.

The states are those of the time-series API that Kaggle's own public testing utility mirrors.
AIMO-1 was scored on `submission.csv`, AIMO-2 and 3 on `submission.parquet`; the mocks write both, each under another
name that is then changed, so that no file is ever half written.
"""

import csv
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.runs.problems import ProblemRow, ProblemSet

SubmittedAnswer = int | float | str
"""Kaggle's relay accepts floats and text too, though the scorer then fails."""


class ExamStatus(StrEnum):
    """Which move comes next."""

    INITIALIZED = "initialized"
    """No problem has been posed yet."""
    PREDICTION_NEEDED = "prediction_needed"
    """A problem is posed and has no answer yet."""
    PREDICTION_RECEIVED = "prediction_received"
    """The posed problem has its answer; the next one hasn't been asked for."""
    FINISHED = "finished"
    """Every problem has its answer, and a further one was asked for."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Rows `id, answer`, in the order in which problems were posed."""

    ids: tuple[str, ...]
    answers: tuple[SubmittedAnswer, ...]

    @property
    def column(self) -> tuple[SubmittedAnswer, ...]:
        """The answers in one type: a single text turns all into text, a single float all into floats."""
        if any(isinstance(answer, str) for answer in self.answers):
            return tuple(str(answer) for answer in self.answers)
        if any(isinstance(answer, float) for answer in self.answers):
            return tuple(float(answer) for answer in self.answers)
        return self.answers

    def write(self, folder: Path) -> None:
        """Write both files into `folder`; `ConfigError` if it can't be written to."""
        folder = writable_folder(folder)
        replace_file(folder / "submission.csv", self._write_csv)
        replace_file(folder / "submission.parquet", self._write_parquet)

    def _write_csv(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("id", "answer"))
            rows.writerows(zip(self.ids, self.column, strict=True))

    def _write_parquet(self, path: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kind = {int: pa.int64(), float: pa.float64(), str: pa.string()}[type(next(iter(self.column), 0))]
        columns = {"id": pa.array(self.ids, pa.string()), "answer": pa.array(self.column, kind)}
        parquet.write_table(pa.table(columns), path)


class Exam:
    """A mock competition that can be run once."""

    def __init__(self, problem_set: ProblemSet, output_dir: str | Path) -> None:
        """Pose the problems in their order, and write into `output_dir`; `ConfigError` if that can't be written to."""
        self._rows = problem_set.rows
        self._output_dir = writable_folder(output_dir)
        self._answers: list[tuple[str, SubmittedAnswer]] = []
        """Ids and answers, in pairs: a Ctrl-C comes before or after one."""
        self.status = ExamStatus.INITIALIZED

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return Submission(tuple(name for name, _ in self._answers), tuple(answer for _, answer in self._answers))

    def write_submission(self) -> None:
        """Write the answers so far into the output folder; `ConfigError` if it can't be written to."""
        self.submission.write(self._output_dir)

    def pose_all(self) -> Iterator[ProblemRow]:
        """Pose each problem after the answer to the one before, then write the submission; only once."""
        if self.status is not ExamStatus.INITIALIZED:
            raise GatewayError("a competition can be run only once; make a new one to run it again")
        for row in self._rows:
            self.status = ExamStatus.PREDICTION_NEEDED
            yield row
            if self.status is ExamStatus.PREDICTION_NEEDED:
                raise GatewayError(f"problem {row.problem.id!r} has no answer yet; answer it before the next")
        self.status = ExamStatus.FINISHED
        self.write_submission()

    @property
    def pending(self) -> ProblemRow:
        """The posed problem; `GatewayError` if none waits for an answer."""
        if self.status is ExamStatus.FINISHED:
            raise GatewayError("every problem is answered already; predict once a problem, and no more")
        if self.status is not ExamStatus.PREDICTION_NEEDED:
            raise GatewayError("no problem is waiting for an answer; take the next one first")
        return self._rows[len(self._answers)]

    def accept(self, answer: SubmittedAnswer) -> None:
        """Take `answer` for the posed problem; `GatewayError` if none waits for one."""
        self._answers.append((self.pending.problem.id, answer))
        self.status = ExamStatus.PREDICTION_RECEIVED


def writable_folder(folder: str | Path) -> Path:
    """Make `folder` if need be; `ConfigError` now, rather than after nine hours, if it can't be written to."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ConfigError(
            f"can't write to the output folder {folder}: {error.strerror or error}; name a folder of your own"
        ) from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file next to `path`, then rename it to `path`; `ConfigError` if it can't be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error.strerror or error}; free the place or name another") from error
    finally:
        part.unlink(missing_ok=True)
