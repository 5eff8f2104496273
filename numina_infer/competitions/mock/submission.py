"""The submission files that Kaggle's side writes: `submission.csv` and `submission.parquet`.

AIMO-1 was scored on the CSV, AIMO-2 and 3 on the Parquet; the mocks write both.
Each file is written under another name and then renamed, so that none is ever half written.
"""

import csv
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.errors import ConfigError

SubmittedAnswer = int | float | str
"""Kaggle's relay accepts floats and text too, though the scorer then fails."""


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

    def write(self, folder: str | Path) -> None:
        """Write both files into `folder`, each in one step.

        Raises:
            ConfigError: `folder` can't be written to.
        """
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


def writable_folder(folder: str | Path) -> Path:
    """Make `folder` if need be, and check now rather than after nine hours that it can be written to.

    Raises:
        ConfigError: it can't be made or written to.
    """
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
    """Let `write` make a file next to `path`, then rename it to `path`.

    Raises:
        ConfigError: the file can't be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error.strerror or error}; free the place or name another") from error
    finally:
        part.unlink(missing_ok=True)
