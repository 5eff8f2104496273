"""From a model to the servers for it, on GPUs that are only named here."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import get_preset
from numina_infer.engines.vllm import launch as plan
from numina_infer.engines.vllm.launch import Launch, plan_servers
from numina_infer.engines.vllm.server_place import KeeperNote, ServerPlace, served_model
from numina_infer.models.gpus import T4, Device, get_gpu

DEEPSEEK_MATH_7B: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 30,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 102400,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
EIGHT_BITS = {"quant_method": "gptq", "bits": 8, "group_size": 128, "desc_act": True, "sym": True}
FOUR_BITS = {**EIGHT_BITS, "bits": 4, "desc_act": False}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Plans servers for a 7B model in so many bits on the GPUs that are named; returns them and what was reported."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def plan_on(
        gpus: tuple[Device, ...],
        packed: dict[str, Any] | None = None,
        config: ServerConfig | None = None,
        **changes: Any,
    ) -> tuple[tuple[Launch, ...], list[str]]:
        monkeypatch.setattr(plan, "find_gpus", lambda: gpus)
        quantised = {"quantization_config": packed} if packed else {}
        (tmp_path / "config.json").write_text(json.dumps({**DEEPSEEK_MATH_7B, **quantised, **changes}))
        lines: list[str] = []
        config = config or get_preset("t4x2").server
        return plan_servers(str(tmp_path), config, python=sys.executable, report=lines.append), lines

    return plan_on


def test_eight_bits_lie_on_both_t4s_with_the_arguments_that_they_want(on: Any) -> None:
    """One server, tensor parallel; the report has the arithmetic and warns of desc_act."""
    (launch,), lines = on((T4, T4), EIGHT_BITS)
    assert launch.gpus == ("0", "1")
    assert launch.variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    for pair in (
        "--dtype half",
        "--tensor-parallel-size 2",
        "--attention-backend TRITON_ATTN",
        "--enable-prefix-caching",
        "--enable-chunked-prefill",
        "--disable-custom-all-reduce",
        "--max-model-len 4096",
        "--max-num-seqs 48",
        "--scheduling-policy priority",
        "--gpu-memory-utilization 0.92",
    ):
        assert pair in " ".join(launch.arguments)
    assert any("GiB remain" in line for line in lines)
    assert any("tokens of KV" in line for line in lines)
    assert any(line.startswith("warning:") and "desc_act" in line for line in lines)


def test_four_bits_have_a_server_a_gpu(on: Any) -> None:
    """Each sees its own GPU alone."""
    launches, lines = on((T4, T4), FOUR_BITS)
    assert [launch.variables["CUDA_VISIBLE_DEVICES"] for launch in launches] == ["0", "1"]
    assert len({launch.key for launch in launches}) == 2
    assert not any("desc_act" in line for line in lines)


def test_a_layout_that_was_asked_for_is_taken(on: Any) -> None:
    """Where it is possible at all."""
    config = ServerConfig(layout=LayoutName.REPLICAS)
    launches, lines = on((T4, T4), EIGHT_BITS, config)
    assert len(launches) == 2
    assert not any("desc_act" in line for line in lines)
    with pytest.raises(ConfigError, match=r"layout is replicas, and the weights don't fit: .*GiB"):
        on((T4, T4), None, config)


def test_the_gpus_that_the_user_left_visible_are_the_ones_used(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that the user gave them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    launches, _ = on((T4, T4), FOUR_BITS)
    assert [launch.gpus for launch in launches] == [("3",), ("5",)]


def test_weights_that_fit_in_no_layout_are_refused_with_the_arithmetic(on: Any) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match=r"GiB"):
        on((T4,), None)
    with pytest.raises(ConfigError, match=r"GiB"):
        on((T4, T4), None, num_hidden_layers=80)


def test_a_model_that_breaks_in_half_precision_is_refused_on_a_t4(on: Any) -> None:
    """A newer GPU takes it."""
    with pytest.raises(ConfigError, match="float16"):
        on((T4, T4), FOUR_BITS, model_type="gemma2")
    config = ServerConfig(dtype="bfloat16")
    with pytest.raises(ConfigError, match="bfloat16"):
        on((T4, T4), FOUR_BITS, config)
    assert on((get_gpu("L4"),) * 2, None, config)[0]


def test_a_window_is_no_longer_than_the_model_reads(on: Any) -> None:
    """Whatever the preset says."""
    launches, _ = on((T4, T4), FOUR_BITS, ServerConfig(max_model_len=32768), max_position_embeddings=2048)
    assert "--max-model-len 2048" in " ".join(launches[0].arguments)


def test_without_a_gpu_there_is_one_server_on_the_cpu(on: Any) -> None:
    """In float32, with blocks that the prefix cache can use."""
    (launch,), _ = on((), None, num_hidden_layers=2, vocab_size=1000)
    assert launch.gpus == ()
    arguments = " ".join(launch.arguments)
    assert "--dtype float32" in arguments
    assert "--block-size 32" in arguments
    assert "CUDA_VISIBLE_DEVICES" not in launch.variables


def test_only_a_server_of_ours_tells_which_model_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note that lies about is believed for its own socket alone."""
    monkeypatch.chdir(tmp_path)
    place = ServerPlace(tmp_path)
    place.write_note(KeeperNote(1, 1, str(tmp_path / "model")))
    assert served_model("") is None
    assert served_model(str(tmp_path / "other")) is None
    assert served_model(str(place.socket)) == tmp_path / "model"
