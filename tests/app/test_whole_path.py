"""From a problems file to a submission with the real model: what `make demo` does, on two of its problems."""

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from numina_infer import read_run
from numina_infer.app.choices import Choices
from numina_infer.app.rehearsal import rehearse
from numina_infer.app.tasks import Rehearsal
from numina_infer.runs.problems import example_problems_path

pytestmark = [pytest.mark.model, pytest.mark.torch, pytest.mark.timeout(900)]


def test_a_real_model_writes_programs_that_run_and_its_answers_vote(tmp_path: Path) -> None:
    """Tokens are the model's, programs are run, no answer is a fallback."""
    problems = tmp_path / "two.jsonl"
    problems.write_text("".join(example_problems_path().read_text().splitlines(keepends=True)[:2]))
    folder = tmp_path / "run"
    unhurried = Choices(num_samples=2, problem_time_s=3600.0)
    summary = rehearse(Rehearsal(str(problems), unhurried), folder, Console(quiet=True))
    run = read_run(folder)
    assert "SmolLM2" in run.info["engine"]["model"]
    assert run.trajectories["num_tokens"].sum() > 100
    assert (run.turns["status"] == "ok").sum() >= 2
    assert summary.num_fallbacks == 0
    assert len(pd.read_parquet(folder / "submission.parquet")) == 2
