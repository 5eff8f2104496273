"""A search on the embedded model: stopped in the middle, gone on with, and nothing generated twice."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from numina_infer.app.choices import Choices
from numina_infer.app.composition import Backends, make_engine
from numina_infer.core.ports import Engine
from numina_infer.lab.tune.search import search
from numina_infer.lab.tune.search_space import SearchSpace
from numina_infer.lab.tune.tuning_folder import Tuning
from tests.summing import write_sums
from tests.witness import Witness

pytestmark = [pytest.mark.slow, pytest.mark.model]
NUM_PROBLEMS, NUM_SAMPLES = 3, 2


def watch(stop_at: int | None = None) -> tuple[Backends, list[Witness]]:
    """The real engine, watched."""
    witnesses: list[Witness] = []

    def make(*given: Any) -> AbstractAsyncContextManager[Engine]:
        witnesses.append(Witness(make_engine(*given), stop_at))
        return witnesses[-1]

    return Backends(engine=make), witnesses


def test_a_search_on_the_embedded_model_is_stopped_and_gone_on_with_and_generates_nothing_twice(
    tmp_path: Path,
) -> None:
    """Counted by the requests that the model wrote to their end, and by the files of the cache."""
    problems = write_sums(tmp_path / "sums.jsonl", NUM_PROBLEMS)
    space = SearchSpace({"temperature": "0.4,0.8", "max_turns": "1,2"})
    choices = Choices(preset="cpu", max_tokens=32)
    tuning = Tuning(str(problems), choices, space, num_samples=(1, NUM_SAMPLES), heats=(2, NUM_PROBLEMS))
    backends, first = watch(stop_at=9)
    with pytest.raises(KeyboardInterrupt):
        search(tuning, tmp_path / "tuning", Console(quiet=True), backends=backends)
    backends, second = watch()
    report = search(None, tmp_path / "tuning", Console(quiet=True), resume=True, backends=backends)
    written = first[0].written + second[0].written
    assert first[0].written.total() > 0
    assert second[0].written.total() > 0
    assert set(written.values()) == {1}
    assert written.total() == len(list((tmp_path / "tuning" / "cache").glob("*/*.json")))
    assert len(report.trials) == 4
    assert max(trial.num_problems for trial in report.trials) == NUM_PROBLEMS
    assert all(tally.num_samples == NUM_SAMPLES for trial in report.trials for tally in trial.tallies)
    assert report.verdict
