"""Whole competitions on a real vLLM server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from numina_infer import read_run
from numina_infer.cli import main
from numina_infer.runs.problems import example_problems_path
from tests.socket_paths import short_folder
from tests.vllm.servers import vllm_python

pytestmark = [pytest.mark.vllm]


@pytest.fixture(scope="module")
def kept_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `--keep-server` leaves running is ended behind the last test, and no server of the user's."""
    tmp_path_factory.getbasetemp()  # before the patch, or all tests' folders would go with this one
    with short_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        yield
        assert main(["serve", "--stop"]) == 0


def rehearse(folder: Path, *options: str) -> None:
    """`numina-infer rehearse --engine vllm` into `folder`."""
    python = str(vllm_python())
    assert main(["rehearse", "--engine", "vllm", "--vllm-python", python, "--out", str(folder), *options]) == 0


def five_examples(folder: Path) -> str:
    """A file with the first five example problems, since a real model on two cores takes its time for each."""
    file = folder / "five.jsonl"
    file.write_text("".join(example_problems_path().read_text().splitlines(keepends=True)[:5]))
    return str(file)


def test_the_demo_completes_with_the_tiny_model(tiny_model: Path, tmp_path: Path) -> None:
    """It writes noise, so nothing is right; every problem gets its reply, and every sample ends by itself."""
    folder = tmp_path / "run"
    rehearse(folder, "--model", str(tiny_model), "--problem-time", "300")
    run = read_run(folder)
    assert len(pd.read_csv(folder / "submission.csv")) == 10
    assert run.trajectories.num_tokens.sum() > 100
    assert not set(run.trajectories.outcome) & {"engine_error", "sandbox_error", "cutoff"}
    info = json.loads((folder / "run.json").read_text())
    assert info["engine"]["engine"] == "vllm"
    assert info["engine"]["dialect"] == "tokens"


@pytest.mark.model
def test_the_demo_completes_with_smollm2(kept_server: None, tmp_path: Path) -> None:
    """Programs run, votes are cast, history comes from the server's cache."""
    folder = tmp_path / "run"
    problems = ("--problems", five_examples(tmp_path), "--problem-time", "600")
    rehearse(folder, *problems, "--num-samples", "4", "--api", "kaggle-evaluation", "--keep-server")
    run = read_run(folder)
    assert len(pd.read_csv(folder / "submission.csv")) == 5
    assert not set(run.trajectories.outcome) & {"engine_error", "sandbox_error"}
    assert (run.turns.status == "ok").sum() >= 5
    assert (~run.solutions.is_fallback).sum() >= 4
    later = run.turns[(run.turns.turn > 0) & (run.turns.finish_reason != "abort")]
    assert (later.num_cached_tokens > 0).mean() > 0.9  # the server may have given up what few turns continue


@pytest.mark.model
def test_the_papers_way_runs_on_vllm(kept_server: None, tmp_path: Path) -> None:
    """Its rounds on the same server."""
    folder = tmp_path / "run"
    numbers = ("--num-samples", "2", "--max-turns", "2", "--problem-time", "600")
    rehearse(folder, "--paper", "--problems", five_examples(tmp_path), *numbers, "--keep-server")
    assert len(pd.read_csv(folder / "submission.csv")) == 5
    assert set(read_run(folder).solutions.stop_reason) == {"exhausted"}
