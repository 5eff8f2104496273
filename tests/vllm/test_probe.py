"""`numina-infer probe` on a real server."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from numina_infer.cli import main
from tests.vllm.servers import vllm_python

pytestmark = [pytest.mark.vllm]

HELD_OUT = 8


@pytest.fixture(scope="module")
def found(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the probe finds of the tiny model."""
    file = tmp_path_factory.mktemp("probe") / "probe.json"
    options = ("--model", str(tiny_model), "--vllm-python", str(vllm_python()), "--out", str(file))
    assert main(["probe", *options]) == 0
    content: Mapping[str, Any] = json.loads(file.read_text())
    return content


class Simulator:
    """How long steps take, by straight lines between the batch sizes that were measured."""

    def __init__(self, steps: Mapping[int, float]) -> None:
        self._steps = steps

    def step_s(self, batch: int) -> float:
        """Seconds of one step."""
        low, high = next(pair for pair in pairwise(sorted(self._steps)) if pair[0] <= batch <= pair[1])
        share = (batch - low) / (high - low)
        return (1 - share) * self._steps[low] + share * self._steps[high]


def test_a_simulator_fed_with_the_step_times_predicts_a_batch_that_it_was_not_shown(found: Mapping[str, Any]) -> None:
    """Within a quarter, at every context that was measured."""
    (layout,) = found["layouts"]
    contexts = {row["context"] for row in layout["decode"]}
    assert len(contexts) >= 2
    for context in contexts:
        steps = {row["batch"]: row["step_s"] for row in layout["decode"] if row["context"] == context}
        seen = steps.pop(HELD_OUT)
        assert Simulator(steps).step_s(HELD_OUT) == pytest.approx(seen, rel=0.25)


def test_the_probe_finds_what_a_preset_is_chosen_by(found: Mapping[str, Any]) -> None:
    """Capacity, prompts, seeds, sandbox slots; no peer access where there are no two GPUs."""
    (layout,) = found["layouts"]
    assert layout["kv_tokens"] > 100_000
    assert layout["max_model_len"] == 1024
    assert all(row["tokens_per_s"] > 0 for row in layout["prefill"])
    assert {row["batch"] for row in layout["decode"]} >= {1, 4, 16}
    assert layout["seeds"]["step_s"] > 0
    assert len(layout["sandbox"]["step_s"]) == found["machine"]["cores"] + 1
    assert found["peer_access"] is None
