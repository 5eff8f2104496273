"""The submission files: both whole, of the right types, and never half written."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from numina_infer.competitions.mock.exam import Submission, replace_file
from numina_infer.core.errors import ConfigError


def test_both_files_hold_the_same_rows(tmp_path: Path) -> None:
    """Ids stay text as written, answers are 64-bit integers."""
    Submission(("007", "a,b"), (52, 0)).write(tmp_path)
    assert (tmp_path / "submission.csv").read_text() == 'id,answer\n007,52\n"a,b",0\n'
    table = parquet.read_table(tmp_path / "submission.parquet")
    assert table.schema.types == [pa.string(), pa.int64()]
    assert table.to_pydict() == {"id": ["007", "a,b"], "answer": [52, 0]}


def test_a_submission_without_answers_has_its_columns(tmp_path: Path) -> None:
    """Breaking off before the first answer leaves two readable files with no rows."""
    Submission((), ()).write(tmp_path)
    assert list(pd.read_csv(tmp_path / "submission.csv").columns) == ["id", "answer"]
    table = parquet.read_table(tmp_path / "submission.parquet")
    assert (table.num_rows, table.schema.types) == (0, [pa.string(), pa.int64()])


def test_one_answer_of_another_type_turns_the_column(tmp_path: Path) -> None:
    """As with Kaggle's relay: one float makes all floats, one text makes all text."""
    assert Submission(("a", "b"), (1, 2.5)).column == (1.0, 2.5)
    assert Submission(("a", "b", "c"), (1, 2.5, "x")).column == ("1", "2.5", "x")


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    """The output folder need not exist."""
    Submission(("a",), (1,)).write(tmp_path / "runs" / "1")
    assert (tmp_path / "runs" / "1" / "submission.parquet").exists()


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the folder and what to do."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match=r"can't write to the output folder .*taken.*name a folder"):
        Submission(("a",), (1,)).write(tmp_path / "taken" / "out")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A full disk at the end costs the new submission, not the old one, and leaves no litter."""
    path = tmp_path / "submission.csv"
    path.write_text("old")

    def write_half(part: Path) -> None:
        part.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match="No space left on device"):
        replace_file(path, write_half)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]
