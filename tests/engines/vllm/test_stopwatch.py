"""What the probe times, on a stand-in for a server."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, Self

import pytest

from drills.engines.pace import Pace
from drills.engines.stand_in import StandIn
from numina_infer.core.config import SandboxConfig
from numina_infer.core.engine_config import ServerConfig
from numina_infer.core.errors import SandboxError
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.scripted_engine import VOCABULARY
from numina_infer.engines.simulated_machine import MachineCosts
from numina_infer.engines.vllm import probe as module
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.probe import Stopwatch, probe
from numina_infer.runs.progress import RunConsole

COSTS = MachineCosts(base_s=0.002, sequence_s=0.0, token_s=0.0, prefill_s=1e-6, kv_tokens=1000)


def server_on(socket: Path) -> StandIn:
    """A server that writes on and on, a token every two milliseconds."""
    return StandIn(
        socket, lambda _text, _seed: "and so on " * 100, max_model_len=300, kv_tokens=1000, pace=Pace(COSTS)
    )


@pytest.mark.anyio
async def test_a_reply_that_ends_with_its_usage_is_timed(sockets: Path) -> None:
    """As all of vLLM's do: the last piece has figures and no choice."""
    async with server_on(sockets / "a") as server, Endpoint(Address.parse(server.address)) as endpoint:
        await endpoint.greet()
        watch = Stopwatch([endpoint], VOCABULARY)
        assert await watch.step_s(batch=2, context=8) == pytest.approx(COSTS.base_s, rel=0.9)
        assert await watch.prefill_s(100) > 0


class Group:
    """A stand-in in place of vLLM's servers."""

    def __init__(self, socket: Path) -> None:
        self.server = server_on(socket)
        self.servers = [SimpleNamespace(address=Address.parse(self.server.address))]

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.__aexit__()


@pytest.fixture
def group(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    """What a probe starts here, and measures quickly."""
    made = Group(sockets / "a")
    launch = Launch(Path("python"), Path("model"), ServerConfig())
    monkeypatch.setattr(module, "ServerGroup", lambda *_args, **_more: made)
    monkeypatch.setattr(module, "plan_servers", lambda *_args, **_more: (launch,))
    monkeypatch.setattr(module, "TokenizerVocabulary", SimpleNamespace(from_folder=lambda _: VOCABULARY))
    monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(module, "_MOST_PASSES", 2)
    return made


def test_the_probe_writes_all_that_a_preset_is_chosen_by(group: Group, tmp_path: Path) -> None:
    """Steps, prompts, capacity, what seeds cost, and how many sandbox slots leave the servers alone."""
    output = io.StringIO()
    config = ServerConfig(max_num_seqs=4)
    assert probe("m", config, tmp_path / "probe.json", RunConsole(output), is_short=True) == 0
    found = json.loads((tmp_path / "probe.json").read_text())
    (layout,) = found["layouts"]
    assert (layout["kv_tokens"], layout["max_model_len"]) == (1000, 300)
    assert [(row["batch"], row["context"]) for row in layout["decode"]] == [(1, 64), (4, 64)]
    assert [row["tokens"] for row in layout["prefill"]] == [256]
    assert layout["seeds"]["batch"] == layout["sandbox"]["batch"] == 4
    assert len(layout["sandbox"]["step_s"]) == found["machine"]["cores"] + 1
    assert 0 <= layout["sandbox"]["num_slots"] <= found["machine"]["cores"]
    assert found["peer_access"] is None
    assert [body["seed"] for body in group.server.requests].count(None) == 4
    assert output.getvalue().count("pass 2") == 2


@pytest.mark.usefixtures("group")
def test_a_slow_grid_is_measured_no_more_often_and_a_sandbox_that_does_not_start_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further passes are for quick models, and the other figures are written all the same."""

    def refuse(_config: SandboxConfig) -> NoReturn:
        raise SandboxError("no rung holds here")

    monkeypatch.setattr(module, "_QUICK_S", 0.0)
    monkeypatch.setattr(module, "Sandbox", refuse)
    output = io.StringIO()
    assert probe("m", ServerConfig(max_num_seqs=1), tmp_path / "probe.json", RunConsole(output), is_short=True) == 0
    assert "pass 1" in output.getvalue()
    assert "pass 2" not in output.getvalue()
    assert "sandbox slots aren't measured: no rung holds here" in output.getvalue()
