"""Problems files: what is read is what was written, and what can't be read says why."""

import contextlib
import csv
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from numina_infer.core.errors import ConfigError, ProblemsFileError
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet, example_problems_path, read_problems

Record = Mapping[str, str]
Write = Callable[[Path, Sequence[Record]], None]


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """As spreadsheets do."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, fieldnames=list(records[0]))
        rows.writeheader()
        rows.writerows(records)


def write_jsonl(path: Path, records: Sequence[Record]) -> None:
    """One object a line."""
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text(text, encoding="utf-8", newline="")


def write_parquet(path: Path, records: Sequence[Record]) -> None:
    """All columns text."""
    parquet.write_table(pa.Table.from_pylist([dict(record) for record in records]), path)


WRITERS: Mapping[str, Write] = {".csv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet}

any_format = pytest.mark.parametrize("suffix", list(WRITERS))

any_text = st.text(st.characters(exclude_categories=["Cs"]))
statements = any_text.filter(str.strip)
problem_rows = st.builds(
    ProblemRow,
    st.builds(Problem, any_text.filter(bool), statements),
    st.none() | statements,
)
problem_sets = st.builds(
    ProblemSet,
    st.lists(problem_rows, min_size=1, max_size=4, unique_by=lambda row: row.problem.id).map(tuple),
)


def as_records(problem_set: ProblemSet) -> list[Record]:
    """The rows that a file of the set holds."""
    return [
        {"id": row.problem.id, "problem": row.problem.statement, "answer": row.reference or ""}
        for row in problem_set.rows
    ]


def written(folder: Path, suffix: str, *records: Record) -> Path:
    """A file of these rows."""
    path = folder / f"problems{suffix}"
    WRITERS[suffix](path, records)
    return path


@any_format
@given(problem_set=problem_sets)
def test_every_text_survives_the_file(suffix: str, problem_set: ProblemSet) -> None:
    """Commas, quotes, line ends of all kinds and any script: ids, statements and references come back exactly."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), suffix, *as_records(problem_set))
        assert read_problems(path) == problem_set


@any_format
@given(
    start=st.sampled_from([b"", b"id,problem\n", b'{"id": "a", "problem": "']),
    content=st.binary() | any_text.map(str.encode),
)
def test_any_bytes_are_problems_or_a_problems_file_error(suffix: str, start: bytes, content: bytes) -> None:
    """Whatever a file holds, reading it ends in problems or in the one error that is promised."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ProblemsFileError):
        path = Path(folder) / f"problems{suffix}"
        path.write_bytes(start + content)
        assert read_problems(path).rows


@any_format
@pytest.mark.parametrize("identifier", ["007", "1e5", "229ee8", "NA", "null", "True", " 7", "0x10", "1_000"])
def test_ids_stay_text(tmp_path: Path, suffix: str, identifier: str) -> None:
    """An id that looks like a number, a null or a truth value is still the text that was written."""
    path = written(tmp_path, suffix, {"id": identifier, "problem": "What is 1+1?"})
    assert read_problems(path).problems == (Problem(identifier, "What is 1+1?"),)


@any_format
@pytest.mark.parametrize("reference", ["142.0", "080 or 081 (both were accepted)", "052", "NA"])
def test_references_stay_text(tmp_path: Path, suffix: str, reference: str) -> None:
    """References are kept as written; whether they are integers is for `answer.read_integer` to say."""
    path = written(tmp_path, suffix, {"id": "a", "problem": "?", "answer": reference})
    assert read_problems(path).references == {"a": reference}


def test_json_numbers_keep_their_spelling(tmp_path: Path) -> None:
    """A JSON number is taken as its digits, not as the float that they make."""
    path = tmp_path / "problems.jsonl"
    path.write_text('{"id": 1e5, "problem": "?", "answer": 142.0}\n')
    assert read_problems(path) == ProblemSet((ProblemRow(Problem("1e5", "?"), "142.0"),))


def test_parquet_integers_are_read_as_text(tmp_path: Path) -> None:
    """Kaggle's own Parquet files may hold integers as ids and answers."""
    path = tmp_path / "problems.parquet"
    parquet.write_table(pa.table({"id": [7, 8], "problem": ["?", "!"], "answer": [52, None]}), path)
    assert read_problems(path).references == {"7": "52"}


@pytest.mark.parametrize("kind", [pa.timestamp("ms"), pa.timestamp("ns"), pa.date64()], ids=str)
def test_parquet_moments_are_no_text(tmp_path: Path, kind: pa.DataType) -> None:
    """Some are beyond Python's calendar, so none is read."""
    path = tmp_path / "problems.parquet"
    moments = pa.array([-(2**62)], pa.int64()).cast(kind, safe=False)
    parquet.write_table(pa.table({"id": moments, "problem": ["?"]}), path)
    with pytest.raises(ProblemsFileError, match="id is a column of"):
        read_problems(path)


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    """As in CSV."""
    path = tmp_path / "problems.parquet"
    texts = pa.array(["a"])
    parquet.write_table(pa.Table.from_arrays([texts, texts, texts], names=["id", "problem", "id"]), path)
    with pytest.raises(ProblemsFileError, match="names a column twice: id"):
        read_problems(path)


@any_format
def test_question_stands_for_problem(tmp_path: Path, suffix: str) -> None:
    """AIMO-2 calls the statement `question`; `problem` wins where a file has both."""
    path = written(tmp_path, suffix, {"id": "a", "question": "AIMO-2"})
    assert read_problems(path).problems == (Problem("a", "AIMO-2"),)
    path = written(tmp_path, suffix, {"id": "a", "question": "other", "problem": "mine"})
    assert read_problems(path).problems == (Problem("a", "mine"),)


@any_format
def test_other_columns_are_ignored(tmp_path: Path, suffix: str) -> None:
    """A column that isn't ours neither harms nor shows."""
    path = written(tmp_path, suffix, {"source": "AMC", "id": "a", "problem": "?", "": "row 0"})
    assert read_problems(path) == ProblemSet((ProblemRow(Problem("a", "?")),))


def test_suffixes_may_be_capital_letters(tmp_path: Path) -> None:
    """`TEST.CSV` is a CSV."""
    path = tmp_path / "TEST.CSV"
    path.write_text("id,problem\na,?\n")
    assert len(read_problems(path).rows) == 1


@pytest.mark.parametrize(
    ("suffix", "text"), [(".csv", "id,problem\na,?\n"), (".jsonl", '{"id": "a", "problem": "?"}')]
)
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, suffix: str, text: str) -> None:
    """Files that Windows tools wrote are read like others."""
    path = tmp_path / f"problems{suffix}"
    path.write_text(text, encoding="utf-8-sig")
    assert read_problems(path).problems == (Problem("a", "?"),)


def test_folders_above_a_parquet_file_are_no_columns(tmp_path: Path) -> None:
    """Read as a data set, `id=7` would be a partition."""
    folder = tmp_path / "id=7"
    folder.mkdir()
    path = written(folder, ".parquet", {"id": "a", "problem": "?"})
    assert read_problems(path).problems == (Problem("a", "?"),)


BAD_FILES = {
    "no id": ("p.csv", b"key,problem\na,?\n", ["row 1", "'id'", "key"]),
    "no statement column": ("p.jsonl", b'{"id": "a", "text": "?"}\n', ["line 1", "'problem'", "text"]),
    "two columns of one name": ("p.csv", b"id,problem,id\na,?,b\n", ["id,problem,id"]),
    "repeated id": ("p.csv", b"id,problem\na,?\nb,?\na,!\n", ["problems 1 and 3", "'a'"]),
    "empty statement": ("p.csv", b'id,problem\na,?\nb,"  "\n', ["row 2", "'b'", "empty"]),
    "null statement": ("p.jsonl", b'{"id": "b", "problem": null}\n', ["'b'", "empty"]),
    "empty id": ("p.csv", b"id,problem\n,?\n", ["row 1", "the id is empty"]),
    "ragged row": ("p.csv", b"id,problem\na,if x, then y\n", ["row 1", "3 cells under 2 columns", "quotes"]),
    "open quote": ("p.csv", b'id,problem\na,"never closed\n', ["line 2", "end of data"]),
    "bad JSON": ("p.jsonl", b'{"id": "a", "problem": "?"}\n\n{"id": "b"\n', ["line 3", "JSON"]),
    "deep JSON": ("p.jsonl", b"[" * 100_000, ["line 1", "JSON"]),
    "no JSON object": ("p.jsonl", b'["a", "?"]\n', ["line 1", "object"]),
    "a list for a statement": ("p.jsonl", b'{"id": "a", "problem": ["?"]}\n', ["line 1", "problem is the list"]),
    "a truth value for an id": ("p.jsonl", b'{"id": true, "problem": "?"}\n', ["line 1", "id is the bool"]),
    "half a character": ("p.jsonl", b'{"id": "a", "problem": "\\ud835"}\n', ["line 1", "surrogate"]),
    "not UTF-8": ("p.csv", b"id,problem\na,\xe9t\xe9\n", ["UTF-8"]),
    "no Parquet": ("p.parquet", b"id,problem\na,?\n", ["Parquet"]),
    "empty file": ("p.csv", b"", ["holds no problem"]),
    "header alone": ("p.csv", b"id,problem\n", ["holds no problem"]),
    "unknown suffix": ("p.xlsx", b"", ["'.xlsx'", ".csv, .jsonl, .parquet"]),
    "no suffix": ("problems", b"", ["''", ".csv"]),
}


@pytest.mark.parametrize(("name", "content", "fragments"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, name: str, content: bytes, fragments: list[str]) -> None:
    """The error names the file, the place in it and the value: enough to mend it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ProblemsFileError, match=re.escape(str(path))) as caught:
        read_problems(path)
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == []


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """What isn't a file is a setting that can't be used, so exit code 2."""
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.csv"):
        read_problems(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match="is a folder"):
        read_problems(tmp_path)


@given(problem_set=problem_sets, seed=st.integers(0, 2**32))
def test_shuffling_is_an_order_that_the_seed_gives(problem_set: ProblemSet, seed: int) -> None:
    """No row is lost or doubled, and the same seed gives the same order."""
    shuffled = problem_set.shuffled(seed)
    assert sorted(shuffled.rows, key=repr) == sorted(problem_set.rows, key=repr)
    assert shuffled == problem_set.shuffled(seed)


def test_shuffling_changes_the_order() -> None:
    """Over ten seeds, ten problems come in more than one order."""
    examples = read_problems(example_problems_path())
    assert len({examples.shuffled(seed).rows for seed in range(10)}) > 1


def test_the_examples_are_ten_with_integer_answers() -> None:
    """The rehearsal's problems: five sums of ours, checked by doing them, and five from MATH."""
    examples = read_problems(example_problems_path())
    answers = [int(reference) for reference in examples.references.values()]
    assert answers[:5] == [815 - 368, 250 % 9, 46 * 19, sum(range(1, 41)), 12 * 35]
    assert len(answers) == 10
    assert all(0 <= answer <= 999 for answer in answers)


def test_the_examples_name_their_sources() -> None:
    """MATH may be shipped under its licence, so each row from it says so, and the licence lies beside it."""
    path = example_problems_path()
    sources = [json.loads(line)["source"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert all("written for this file" in source for source in sources[:5])
    assert all("Hendrycks et al. 2021, MIT" in source for source in sources[5:])
    assert "Copyright (c) 2021 Dan Hendrycks" in path.with_name("README.md").read_text(encoding="utf-8")


def test_the_examples_from_math_are_unchanged(shared_data: Path) -> None:
    """Statement and answer are those of the recorded test split."""
    recorded = read_problems(shared_data / "problems" / "math_test_5000.jsonl")
    shipped = read_problems(example_problems_path()).rows[5:]
    assert set(shipped) <= set(recorded.rows)


def test_recorded_files_are_read(shared_data: Path) -> None:
    """Every recorded problems file is read, references such as `142.0` included."""
    paths = sorted((shared_data / "problems").glob("*.jsonl"))
    assert all(read_problems(path).references for path in paths)
