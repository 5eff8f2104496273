"""`numina-infer replay`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from numina_infer import read_run
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.collection import collect
from numina_infer.app.tasks import Collection
from numina_infer.cli import main
from tests.summing import SUMMING

EXAMPLES = Collection(None, Choices(preset="collect", engine=EngineName.SCRIPTED, num_samples=8))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten examples, eight samples each, all to their end."""
    folder = tmp_path_factory.mktemp("replay") / "run"
    collect(EXAMPLES, folder, Console(quiet=True), backends=SUMMING)
    return folder


def test_a_run_replayed_as_it_was_is_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so, problem by problem."""
    assert main(["replay", str(run)]) == 0
    assert "10 of 10 verdicts with the votes and the stop that the run had" in capsys.readouterr().out


def test_a_sweep_has_a_row_for_each_combination(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scored by a problems file in which five of the ten have the run's answer."""
    solutions = read_run(run).solutions[["problem_id", "answer"]].rename(columns={"problem_id": "id"})
    solutions = solutions.sort_values("id", ignore_index=True)  # they are logged as they come
    solutions["answer"] += [0, 1] * 5
    statements = read_run(run).problems.set_index("problem_id")["statement"]
    solutions.assign(problem=solutions["id"].map(statements)).to_csv(tmp_path / "references.csv", index=False)
    given = ["--epsilon", "0,0.05", "--num-samples", "4, 8", "--answer-range", "mod-1000,0-999"]
    assert main(["replay", str(run), *given, "--json", "--references", str(tmp_path / "references.csv")]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 8
    rights = [row["num_right"] for row in rows]
    assert rights[::2] == [5] * 4
    assert max(rights[1::2]) < 5, "two of the sums are votes modulo 1000 alone"
    assert {(row["num_scored"], row["num_unrecorded"]) for row in rows} == {(10, 0)}
    assert rows[0]["num_ended"] < rows[-1]["num_ended"]


def test_a_log_that_was_changed_ends_with_1(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict that its events give isn't the one that it tells."""
    answer = read_run(run).solutions["answer"][0]
    for name in ("run.json", "trajectories.jsonl", "solutions.jsonl"):
        text = (run / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(f'"value":{answer}', f'"value":{answer + 1}'), encoding="utf-8")
    assert main(["replay", str(tmp_path)]) == 1
    assert "9 of 10 verdicts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--epsilon", "much"], "much"),
        (["--epsilon", "2"], "epsilon is 2"),
        (["--num-samples", "0"], "num_samples is 0"),
        (["--answer-range", "0-9"], "mod-1000"),
        (["--policy", "luck"], "luck"),
        (["--stop-rule", "soon"], "soon"),
        (["--vote-weight", "luck=0.5"], "luck"),
        (["--time-limit", "-1"], "time_limit_s"),
        (["--references", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    run: Path, given: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2, and nothing on stdout."""
    assert main(["replay", str(run), *given]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert not shown.out


def test_a_folder_without_a_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So is one of a run that never was."""
    assert main(["replay", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
