"""Problems files of any content: a set that can be worked with, or a `ProblemsFileError` that names the file."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from numina_infer.core.errors import ProblemsFileError
from numina_infer.runs.problems import ProblemSet, read_problems
from tests.fuzz.damage import damaged, json_values

RECORDS = [
    {"id": "a", "problem": "What is 1+1?", "answer": "2"},
    {"id": "b", "problem": 'Two\nlines, "quoted"', "answer": None},
    {"id": "c", "problem": "Wie viel? \u00fc\U0001f600", "answer": "080 or 081"},
]
CSV = b'id,problem,answer\r\na,What is 1+1?,2\r\nb,"Two\nlines, ""quoted""",\r\nc,"Wie, viel?",080 or 081\r\n'
JSONL = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in RECORDS)


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    """The bytes of a Parquet file."""
    file = io.BytesIO()
    parquet.write_table(table, file, **options)
    return file.getvalue()


FILES = {".csv": CSV, ".jsonl": JSONL, ".parquet": as_parquet(pa.Table.from_pylist(RECORDS), compression="none")}
COLUMNS = ("id", "problem", "question", "answer", "other")


def read(suffix: str, content: bytes) -> ProblemSet | None:
    """What a file with this content holds; None where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"problems{suffix}"
        path.write_bytes(content)
        try:
            problem_set = read_problems(path)
        except ProblemsFileError as caught:
            error = caught
        else:
            assert_usable(problem_set)
            return problem_set
        assert str(path) in str(error)
        return None


def assert_usable(problem_set: ProblemSet) -> None:
    """Ids and statements, each id once, in characters that can be sent."""
    for row in problem_set.rows:
        assert row.problem.id
        assert row.problem.statement.strip()
        f"{row.problem.id}{row.problem.statement}{row.reference}".encode()
    ids = [row.problem.id for row in problem_set.rows]
    assert len({*ids}) == len(ids) > 0


@pytest.mark.parametrize("suffix", FILES)
def test_the_files_that_are_damaged_here_are_good(suffix: str) -> None:
    """Or else nothing would be shown by it."""
    found = read(suffix, FILES[suffix])
    assert found is not None
    assert len(found.rows) == 3


@pytest.mark.parametrize("suffix", FILES)
@given(st.data())
def test_a_damaged_file_is_a_set_or_an_error(suffix: str, data: st.DataObject) -> None:
    """Bytes changed, put in, taken out, doubled, cut off."""
    read(suffix, data.draw(damaged(FILES[suffix])))


cells = st.text(max_size=8) | json_values


@given(
    st.lists(st.dictionaries(st.sampled_from(COLUMNS) | st.text(max_size=5), cells, max_size=5) | cells, max_size=4)
)
def test_lines_of_any_json_are_a_set_or_an_error(rows: list[object]) -> None:
    """Objects with cells of any kind, and what is no object."""
    read(".jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))


@given(
    st.lists(
        st.sampled_from(["id", "problem", "answer", ",", '"', "\n", "\r", "a", "\0", " ", "\ufeff", "7"]), max_size=40
    )
)
def test_any_csv_is_a_set_or_an_error(pieces: list[str]) -> None:
    """Quotes that don't close, ragged rows, headers twice."""
    read(".csv", "".join(pieces).encode())
    read(".csv", b"id,problem\n" + "".join(pieces).encode())


_MOMENTS = st.integers(-(2**63), 2**63 - 1)
_TYPED = st.sampled_from(
    [
        pa.array([1, 2], pa.int64()),
        pa.array([1.5, float("nan")], pa.float64()),
        pa.array([True, None], pa.bool_()),
        pa.array([b"\xff", b""], pa.binary()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([["a"], []], pa.list_(pa.string())),
        pa.array([{"x": 1}, None], pa.struct([("x", pa.int64())])),
        pa.array([None, None], pa.null()),
        pa.array(["\0", "  "], pa.large_string()),
    ]
)
_KINDS = st.sampled_from(
    [
        *(pa.timestamp(unit, tz=zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Nowhere/None")),
        *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
        *(pa.time64("us"), pa.time64("ns"), pa.date64(), pa.int64()),
    ]
)


@st.composite
def columns(draw: st.DrawFn) -> pa.Array:
    """Two cells of one of the types that Parquet has."""
    if draw(st.booleans()):
        return draw(_TYPED)
    return pa.array([draw(_MOMENTS), None], pa.int64()).cast(draw(_KINDS), safe=False)


@given(st.lists(st.tuples(st.sampled_from(COLUMNS), columns()), min_size=1, max_size=4))
def test_parquet_with_columns_of_any_type_is_a_set_or_an_error(named: list[tuple[str, pa.Array]]) -> None:
    """Moments that no calendar has, columns of one name, lists and nothing."""
    table = pa.Table.from_arrays([array for _, array in named], names=[name for name, _ in named])
    try:
        content = as_parquet(table)
    except pa.ArrowException:  # no such type in Parquet
        return
    read(".parquet", content)
