"""Reads problems files (CSV, JSON lines or Parquet) into problems and their reference answers.

Columns are `id` and `problem`, and `answer` if the references are known; others are ignored. `question`, AIMO-2's name
for the statement, is read if there is no `problem`.
Ids, statements and answers are text exactly as written: `007` keeps its zeros and `1e5` is no number.
The shape is that of Kaggle's `test.csv` (AIMO-1, 2 and 3).
"""

import csv
import json
import random
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.core.errors import ProblemsFileError
from numina_infer.core.records import Problem

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("id", "problem", "question", "answer")

_MAX_CELL_CHARACTERS = 2**31 - 1
"""Python's default limit of 131,072 characters is too low for statements."""

_Row = tuple[str, Mapping[str, object]]
"""The place of a row, for error messages, and its cells by column."""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """One row of a problems file."""

    problem: Problem
    reference: str | None = None
    """The `answer` as written (`142.0`, `080 or 081`), if any; `answers/references.py` reads it."""


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """The rows of a problems file, in its order."""

    rows: tuple[ProblemRow, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems without their references."""
        return tuple(row.problem for row in self.rows)

    @property
    def references(self) -> Mapping[str, str]:
        """The known references by problem id."""
        return {row.problem.id: row.reference for row in self.rows if row.reference is not None}

    def shuffled(self, seed: int) -> "ProblemSet":
        """The same rows in a random order, set by `seed`."""
        order = random.Random(seed)  # noqa: S311 - an order, no secret
        return ProblemSet(tuple(order.sample(self.rows, k=len(self.rows))))


def read_problems(path: str | Path) -> ProblemSet:
    """The problems in the `.csv`, `.jsonl` or `.parquet` file at `path`.

    Raises:
        ProblemsFileError: there is no such file, it can't be read as what its suffix says, it lacks a column or
            holds no problem, or a row has no id, no statement, or an id that was there before.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        with closing(reader(path)) as read:  # a row that can't be used leaves no file open
            rows = tuple(_problem_row(place, cells) for place, cells in read)
    except OSError as error:
        raise ProblemsFileError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ProblemsFileError(f"{path} isn't UTF-8 at byte {error.start}; save it as UTF-8") from error
    if not rows:
        raise ProblemsFileError(f"{path} holds no problem; give it columns id and problem, and a row for each")
    _require_distinct(path, rows)
    return ProblemSet(rows)


def example_problems_path() -> Path:
    """The ten problems of the package; `data/README.md` names their sources."""
    return packaged_path("examples.jsonl")


def packaged_path(name: str) -> Path:
    """A file of the package's `data` folder."""
    return Path(str(files("numina_infer.runs") / "data" / name))


def _reader(path: Path) -> Callable[[Path], Generator[_Row, None, None]]:
    if path.is_dir():
        raise ProblemsFileError(f"{path} is a folder; give the problems file in it")
    if not path.exists():
        raise ProblemsFileError(f"there is no file {path}; check the path")
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise ProblemsFileError(f"{path} ends in {path.suffix!r}; give a file that ends in {', '.join(readers)}")
    return readers[path.suffix.lower()]


def _read_csv(path: Path) -> Generator[_Row, None, None]:
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, strict=True)
        try:
            header = next(records, [])
            if len(set(header)) != len(header):
                raise ProblemsFileError(f"{path} names a column twice: {','.join(header)}; rename one of them")
            for number, record in enumerate(filter(None, records), start=1):
                yield _csv_row(f"{path}, row {number}", header, record)
        except csv.Error as error:
            raise ProblemsFileError(f"{path}, line {records.line_num}: {error}; quote its text") from error


def _csv_row(place: str, header: list[str], record: list[str]) -> _Row:
    if len(record) != len(header):
        raise ProblemsFileError(
            f"{place}: {len(record)} cells under {len(header)} columns; put text that holds a comma in quotes"
        )
    return place, dict(zip(header, record, strict=True))


def _read_jsonl(path: Path) -> Generator[_Row, None, None]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _jsonl_row(f"{path}, line {number}", line)


def _jsonl_row(place: str, line: str) -> _Row:
    try:
        cells = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ProblemsFileError(f"{place}: no JSON ({error}); write one object a line") from error
    if not isinstance(cells, dict):
        raise ProblemsFileError(f"{place}: no JSON object; write {{'id': …, 'problem': …}}")
    return place, cells


def _read_parquet(path: Path) -> Generator[_Row, None, None]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        columns = [name for name in _COLUMNS if name in schema.names]
        for name in columns:
            _require_plain(path, name, [field.type for field in schema if field.name == name])
        records = parquet.read_table(path, columns=columns).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ProblemsFileError(f"{path} can't be read as Parquet: {error}; write it anew") from error
    for number, cells in enumerate(records, start=1):
        yield f"{path}, row {number}", cells


def _require_plain(path: Path, name: str, kinds: "list[pa.DataType]") -> None:
    """Raise `ProblemsFileError` unless there is one such column, of text or numbers."""
    from pyarrow import types

    if len(kinds) > 1:
        raise ProblemsFileError(f"{path} names a column twice: {name}; rename one of them")
    kind = kinds[0].value_type if types.is_dictionary(kinds[0]) else kinds[0]
    plain = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_null)
    if not any(is_plain(kind) for is_plain in plain):
        raise ProblemsFileError(f"{path}: {name} is a column of {kind}; write it as text")


def _problem_row(place: str, cells: Mapping[str, object]) -> ProblemRow:
    identifier = _text(place, cells, "id")
    if not identifier:
        raise ProblemsFileError(f"{place}: the id is empty; give every problem one of its own")
    statement = _text(place, cells, "problem" if "problem" in cells or "question" not in cells else "question")
    if not statement.strip():
        raise ProblemsFileError(f"{place}: the statement of problem {identifier!r} is empty; write it or drop the row")
    reference = _text(place, cells, "answer") if "answer" in cells else ""
    return ProblemRow(Problem(identifier, statement), reference if reference.strip() else None)


def _text(place: str, cells: Mapping[str, object], column: str) -> str:
    """The cell as text, empty if it holds nothing."""
    if column not in cells:
        raise ProblemsFileError(f"{place}: no column {column!r} beside {sorted(cells)}; name it so")
    value = cells[column]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ProblemsFileError(f"{place}: {column} is the {type(value).__name__} {value!r:.60}; write it as text")
    text = str(value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ProblemsFileError(f"{place}: {column} holds half of a surrogate pair; write the whole character")
    return text


def _require_distinct(path: Path, rows: tuple[ProblemRow, ...]) -> None:
    first: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        earlier = first.setdefault(row.problem.id, number)
        if earlier != number:
            raise ProblemsFileError(
                f"{path}: problems {earlier} and {number} share the id {row.problem.id!r}; give each its own"
            )
