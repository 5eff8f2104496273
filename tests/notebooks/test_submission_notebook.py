"""The submission notebook, executed from its first cell to the submission, with the real model and real programs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from numina_infer import read_run
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.place import RERUN_VARIABLE
from numina_infer.runs.problems import example_problems_path

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(900)]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LARGEST = {"aimo-1": 999, "aimo-2": 999, "aimo-3": 99_999}


def command(folder: Path, competition: str) -> list[str]:
    """What executes the notebook for `competition` in `folder`."""
    notebook = Notebook.read(NOTEBOOKS / "submission.ipynb").with_settings({"COMPETITION": competition})
    notebook.write(folder / "submission.ipynb")
    converting = ["-m", "jupyter", "nbconvert", "--to", "notebook", "--execute"]
    return [sys.executable, *converting, "--output", "executed.ipynb", "submission.ipynb"]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Nobody's notebook settings, and temporary files in `folder`."""
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    keep = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE")}
    return keep | {"TMPDIR": str(scratch), "PYDEVD_DISABLE_FILE_VALIDATION": "1"} | variables


def assert_solved(run_folder: Path, submission: Path, largest: int) -> None:
    """Tokens are the model's, programs ran, no answer is a fallback, and the submission is one that counts."""
    run = read_run(run_folder)
    assert "SmolLM2" in run.info["engine"]["model"]
    assert run.info["sandbox"]["rung"]
    assert run.trajectories["num_tokens"].sum() > 100
    assert (run.turns["status"] == "ok").sum() >= 2
    assert not run.solutions["is_fallback"].any()
    frame = pd.read_parquet(submission)
    assert (list(frame.columns), str(frame["answer"].dtype)) == (["id", "answer"], "int64")
    assert sorted(frame["id"]) == ["sum-1", "sum-2"]
    assert frame["answer"].between(0, largest).all()


@pytest.mark.parametrize("competition", ["aimo-1", "aimo-3"])
def test_the_notebook_executes_from_top_to_bottom(competition: str, tmp_path: Path) -> None:
    """In both API shapes, against the mock, on a machine without a GPU."""
    subprocess.run(command(tmp_path, competition), cwd=tmp_path, env=environment(tmp_path), check=True)
    (output,) = (tmp_path / "runs").iterdir()
    assert_solved(output / "run", output / "submission.parquet", LARGEST[competition])
    said = (output / "kernel.txt").read_text()
    assert all(part in said for part in ("sandbox: rung", "the gateway listens", "the engine is ready", "sum-2"))
    cells = json.loads((tmp_path / "executed.ipynb").read_text())["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")


def test_the_script_rehearses_on_a_laptop_without_an_edit(tmp_path: Path) -> None:
    """`python notebooks/submission.py`."""
    script = NOTEBOOKS / "submission.py"
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment(tmp_path), check=True)
    (output,) = (tmp_path / "runs").iterdir()
    assert_solved(output / "run", output / "submission.parquet", LARGEST["aimo-1"])


@contextmanager
def rerun(folder: Path, competition: str) -> Iterator[None]:
    """The notebook as Kaggle runs it again, until it is ended, as Kaggle ends it."""
    variables = environment(folder, **{RERUN_VARIABLE: "1"})
    process = subprocess.Popen(command(folder, competition), cwd=folder, env=variables, start_new_session=True)
    try:
        yield
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.relay
def test_a_rerun_is_answered_in_two_processes(tmp_path: Path) -> None:
    """Kaggle's relay is another process, and finds the notebook's server by itself."""
    problems, relayed = tmp_path / "two.jsonl", tmp_path / "relay"
    problems.write_text("".join(example_problems_path().read_text().splitlines(keepends=True)[:2]))
    relay = [
        sys.executable,
        "-m",
        "numina_infer.competitions.mock.relay",
        "--problems",
        str(problems),
        "--out",
        str(relayed),
    ]
    with rerun(tmp_path, "aimo-3"):
        subprocess.run([*relay, "--version", "0.9.0"], env=environment(tmp_path), check=True)
    (log,) = (tmp_path / "tmp").glob("numina-run-*")
    assert json.loads((relayed / "result.json").read_text()) == {"Succeeded": True}
    assert_solved(log, relayed / "submission.parquet", LARGEST["aimo-3"])
