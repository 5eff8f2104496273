"""`numina-infer evaluate` as it is typed."""

import json
from pathlib import Path

import pytest

from numina_infer.cli import main
from tests.lab.recorded_runs import RecordedRun, Samples, write_references

SAMPLES: Samples = {f"p{n}": ["1", "1", "2", r"\frac12"] for n in range(6)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Six problems."""
    return RecordedRun().write(tmp_path / "run", SAMPLES)


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Five are right, and one isn't."""
    return write_references(tmp_path / "answers.jsonl", {**dict.fromkeys(SAMPLES, "1"), "p5": "2"})


def test_a_run_is_shown_in_tables(run: Path, references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Accuracy, curves, losses, costs."""
    assert main(["evaluate", str(run), "--references", str(references)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: 6 problems" in shown.splitlines()  # whole in a file, however long the path is
    assert "83.3% (43.6 to 97.0)" in shown
    for word in ("verdicts", "maj@k", "pass@k", "not_an_integer", "tokens", "programs", "winner"):
        assert word in shown


def test_json_is_all_that_is_on_stdout(run: Path, references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At the ks that were asked for."""
    assert main(["evaluate", str(run), "--references", str(references), "--json", "--k", "1", "--k", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["k"] for row in told["run"]["curves"]] == [1, 4, 1, 4]
    assert told["run"]["verdicts"]["value"] == pytest.approx(5 / 6)
    assert "comparisons" not in told


def test_two_runs_are_compared(
    run: Path, references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the problems of both; the rest is named, and the sentence stands at the end."""
    other = RecordedRun().write(tmp_path / "other", {**{f"p{n}": ["2"] * 4 for n in range(5)}, "q": ["1"]})
    command = ["evaluate", str(run), "--against", str(other), "--references", str(references)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "not compared: 1 problem (p5)" in shown
    assert "can't be told apart" in shown.strip().splitlines()[-1]
    assert main([*command, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert (told["first_score"], told["second_score"], told["num_problems"]) == (1.0, 0.0, 5)


def test_general_answers_are_graded(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fraction is what it is worth."""
    references = write_references(tmp_path / "halves.jsonl", dict.fromkeys(SAMPLES, "0.5"))
    assert main(["evaluate", str(run), "--references", str(references), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["run"]
    assert (told["grader"], told["verdicts"]) == ("general", None)
    assert {row["num_right"] for row in told["problems"]} == {1}


def test_two_runs_are_graded_in_one_way(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where one of them has a problem whose reference no vote can be, both are graded generally."""
    other = RecordedRun().write(tmp_path / "other", {**SAMPLES, "q": ["-1"]})
    references = write_references(tmp_path / "answers.jsonl", {**dict.fromkeys(SAMPLES, "1"), "q": "-1"})
    command = ["evaluate", str(run), "--against", str(other), "--references", str(references), "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"]["grader"], told["against"]["grader"]) == ("general", "general")
    assert told["comparisons"][0]["difference"]["value"] == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--k", "9"], "k is 9; the run has 1 to 4"),
        (["--grader", "guess"], "grader is 'guess'; choose one of"),
        (["--references", "missing.jsonl"], "no file missing.jsonl"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    run: Path, references: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    """With exit code 2."""
    given = more if "--references" in more else ["--references", str(references), *more]
    assert main(["evaluate", str(run), *given]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said


def test_a_folder_without_a_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere."""
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
