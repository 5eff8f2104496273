"""Arguments and environment of a server."""

from dataclasses import replace
from pathlib import Path

import pytest

from numina_infer.competitions.api_versions import RELAY_PORTS
from numina_infer.core.engine_config import ServerConfig
from numina_infer.engines.http.address import KEY_VARIABLE
from numina_infer.engines.vllm.launch import Launch

CPU = Launch(Path("/v/python"), Path("/m"), ServerConfig())
GPU = replace(CPU, gpus=("0", "1"))


def value(launch: Launch, name: str) -> str:
    """What the argument `name` is given last, which is what counts."""
    arguments = launch.arguments
    last = max(index for index, argument in enumerate(arguments) if argument == name)
    return arguments[last + 1]


def test_two_t4s_get_what_was_found_for_them() -> None:
    """Turing has neither bfloat16 nor FlashAttention 2; docs/engines.md has the sources."""
    expected = {
        "--dtype": "half",
        "--tensor-parallel-size": "2",
        "--attention-backend": "TRITON_ATTN",
        "--gpu-memory-utilization": "0.92",
        "--max-num-seqs": "48",
        "--max-num-batched-tokens": "2048",
        "--scheduling-policy": "priority",
        "--max-model-len": "4096",
    }
    assert {name: value(GPU, name) for name in expected} == expected
    flags = {"--enable-prefix-caching", "--enable-chunked-prefill", "--disable-custom-all-reduce"}
    assert flags <= set(GPU.arguments)
    assert "--enforce-eager" not in GPU.arguments
    assert GPU.variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert GPU.variables["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert GPU.variables["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"


def test_a_cpu_gets_what_its_build_can_do() -> None:
    """Single precision, no compilation, small blocks."""
    assert value(CPU, "--dtype") == "float32"
    assert int(value(CPU, "--block-size")) % 32 == 0
    assert "--enforce-eager" in CPU.arguments
    assert CPU.variables["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert CPU.variables["TORCHDYNAMO_DISABLE"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in CPU.variables


def test_what_is_left_to_vllm_is_not_said() -> None:
    """The model's own window, a backend of its choice, all-reduce as it likes."""
    config = ServerConfig(max_model_len=0, attention_backend="", disable_custom_all_reduce=False)
    said = set(replace(GPU, config=config).arguments)
    assert not said & {"--max-model-len", "--attention-backend", "--disable-custom-all-reduce"}


def test_further_arguments_win() -> None:
    """They stand last, where vLLM's parser looks."""
    assert value(replace(GPU, extra=("--dtype", "float16")), "--dtype") == "float16"


def test_the_sampling_that_is_asked_for_is_the_one_that_is_used() -> None:
    """Not the one in the model's generation_config.json."""
    assert value(CPU, "--generation-config") == "vllm"


@pytest.mark.parametrize(
    "other",
    [
        replace(CPU, python=Path("/other/python")),
        replace(CPU, model=Path("/other")),
        replace(CPU, config=ServerConfig(max_num_seqs=4)),
        replace(CPU, config=ServerConfig(cpu_kv_cache_gib=4)),
        replace(CPU, gpus=("0",)),
        replace(CPU, gpus=("1",)),
        replace(CPU, extra=("--seed", "1")),
    ],
)
def test_the_key_tells_servers_apart(other: Launch) -> None:
    """Whoever asks for another server must not be given this one."""
    assert other.key != CPU.key


def test_the_key_is_the_same_for_the_same_server() -> None:
    """What doesn't reach vLLM changes nothing: how long we wait for it."""
    assert replace(CPU, config=ServerConfig(start_timeout_s=5.0)).key == CPU.key


def test_a_server_sees_neither_our_keys_nor_our_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """With vLLM's own key in the environment it would ask us for it."""
    hidden = (KEY_VARIABLE, "VLLM_API_KEY", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    for name in hidden:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib")
    environment = CPU.environment()
    assert not set(hidden) & set(environment)
    assert "secret" not in " ".join([*environment.values(), *CPU.command(Path("/s"))])
    assert environment["LD_LIBRARY_PATH"] == "/lib"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_titles_of_processes_leave_their_mark_readable() -> None:
    """Setproctitle writes over the environment otherwise, and what is left of a server is found by that."""
    assert CPU.variables["SPT_NOENV"] == GPU.variables["SPT_NOENV"] == "1"


def test_the_command_names_the_socket() -> None:
    """The module is started, not `vllm serve`."""
    command = CPU.command(Path("/run/s"))
    assert command[:5] == ["/v/python", "-m", "vllm.entrypoints.openai.api_server", "--uds", "/run/s"]
    assert tuple(command[5:]) == CPU.arguments


@pytest.mark.parametrize("gpus", [("0", "1"), ("1",), ("15",), ("GPU-1234",)])
def test_ports_of_kaggles_relay_are_left_alone(gpus: tuple[str, ...]) -> None:
    """A tensor-parallel server speaks through ports of its own, and two servers look in different places."""
    first = int(Launch(Path("python"), Path("model"), ServerConfig(), gpus).variables["VLLM_PORT"])
    assert not RELAY_PORTS & set(range(first, first + 1500))
    assert first != int(Launch(Path("python"), Path("model"), ServerConfig(), ("2",)).variables["VLLM_PORT"])
