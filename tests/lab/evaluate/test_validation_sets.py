"""Validation sets: from files and from folders that are laid out like datasets on the hub, without a network."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from numina_infer.cli import main
from numina_infer.core.errors import ConfigError, ProblemsFileError
from numina_infer.lab.evaluate.validation_sets import VALIDATION_SETS, load_set, write_problems
from numina_infer.runs.problems import read_problems


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is fetched, and nothing cached outside the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def rows(count: int) -> list[dict[str, object]]:
    """As the hub has AMC's: a number for an id, the answer as a float's text, a url."""
    return [
        {"id": n, "problem": f"What is ${n}+1$?", "answer": f"{n + 1}.0", "url": "https://example.org"}
        for n in range(count)
    ]


def hub_folder(folder: Path, count: int, split: str = "train") -> Path:
    """A dataset as a clone of the hub's repository has it: one Parquet file a split."""
    (folder / "data").mkdir(parents=True)
    pd.DataFrame(rows(count)).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_dataset_becomes_a_problems_file(tmp_path: Path, split: str) -> None:
    """Ids as text, answers as written, in its order; every command reads the file."""
    loaded = load_set(str(hub_folder(tmp_path / "set", 5, split)))
    write_problems(loaded.problems, tmp_path / "set.jsonl")
    read = read_problems(tmp_path / "set.jsonl")
    assert read == loaded.problems
    assert read.references == {str(n): f"{n + 1}.0" for n in range(5)}
    assert loaded.warnings == ()


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_files_are_checked_against_the_set_that_they_are(tmp_path: Path, suffix: str) -> None:
    """83 problems are AMC; one fewer is said, with both numbers."""
    for count in (83, 82):
        frame = pd.DataFrame(rows(count))
        frame["id"] = frame["id"].astype(str)
        path = tmp_path / f"amc{count}.{suffix}"
        {
            "jsonl": lambda file, frame=frame: frame.to_json(file, orient="records", lines=True),
            "csv": lambda file, frame=frame: frame.to_csv(file, index=False),
            "parquet": lambda file, frame=frame: frame.to_parquet(file),
        }[suffix](path)
    assert load_set(str(tmp_path / f"amc83.{suffix}"), expect="amc").warnings == ()
    (warning,) = load_set(str(tmp_path / f"amc82.{suffix}"), expect="amc").warnings
    assert "82 problems" in warning
    assert "has 83" in warning


@pytest.mark.parametrize("name", VALIDATION_SETS)
def test_a_set_by_name_or_by_id_is_that_of_the_hub(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And its size is checked."""
    known, asked = VALIDATION_SETS[name], []

    def load_dataset(source: str) -> dict[str, list[dict[str, object]]]:
        asked.append(source)
        return {"train": rows(known.num_problems)}

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    for source in (name, known.hub_id):
        loaded = load_set(source)
        assert (len(loaded.problems.rows), loaded.warnings) == (known.num_problems, ())
    assert asked == [known.hub_id] * 2


def test_the_sizes_are_those_that_were_published() -> None:
    """NuminaMath's write-up of 2024."""
    sizes = {one.hub_id.removeprefix("AI-MO/aimo-validation-"): one.num_problems for one in VALIDATION_SETS.values()}
    assert sizes == {"amc": 83, "aime": 90, "math-level-4": 754, "math-level-5": 721}


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    """A wrong name, a wrong expectation, a missing file."""
    with pytest.raises(ConfigError, match=r"no-such-set can't be loaded.*amc, aime, math-4, math-5"):
        load_set("no-such-set")
    with pytest.raises(ConfigError, match="no set is called 'math5'"):
        load_set("x.jsonl", expect="math5")
    with pytest.raises(ProblemsFileError, match="no file"):
        load_set(str(tmp_path / "missing.csv"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": 0, "prompt": "What?"}, "column problem, beside id, prompt"),
        ({"id": 0, "problem": " "}, "column problem"),
    ],
)
def test_a_dataset_of_other_things_is_refused(tmp_path: Path, row: dict[str, object], words: str) -> None:
    """With its columns."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ProblemsFileError, match=words):
        load_set(str(tmp_path / "set"))


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    """A verdict couldn't be told from another."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(json.dumps(rows(1)[0]) + "\n" + json.dumps(rows(1)[0]) + "\n")
    with pytest.raises(ProblemsFileError, match="id of another"):
        load_set(str(tmp_path / "set"))


def test_problems_without_an_answer_are_counted(tmp_path: Path) -> None:
    """They can be solved, and not scored."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"question": "a?", "answer": "1"}\n{"question": "b?"}\n')
    loaded = load_set(str(tmp_path / "set"))
    assert [row.problem.id for row in loaded.problems.rows] == ["0", "1"]
    assert "1 of 2 problems" in loaded.warnings[0]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need none."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"numina-infer\[eval\]"):
        load_set("amc")


def test_the_command_writes_the_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second time it leaves it as it is; a set that isn't whole is written with a warning."""
    source, out = str(hub_folder(tmp_path / "set", 3)), str(tmp_path / "amc.jsonl")
    assert main(["problems", source, "--expect", "amc", "--out", out]) == 0
    said = capsys.readouterr()
    assert "3 problems are in" in said.out
    assert "has 83" in said.err
    assert main(["problems", source, "--out", out]) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["problems", source, "--out", str(tmp_path / "amc.csv")]) == 2
    assert "end in .jsonl" in capsys.readouterr().err
