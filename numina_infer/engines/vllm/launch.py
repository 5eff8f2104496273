"""Which vLLM servers are started for a model, and how: GPUs, settings, interpreter, arguments, environment.

Everything is checked before anything is loaded: the weights' own config, the GPUs, the arithmetic of the KV cache.
The arguments are the same for both pinned versions (0.19.1 and 0.32.0, whose `--help=all` were read); what differs
between a GPU and vLLM's CPU build stands in `_on_gpu` and `_on_cpu`. Sources: docs/engines.md.
"""

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce
from numina_infer.engines.http.address import KEY_VARIABLE
from numina_infer.engines.local.models import find_folder
from numina_infer.models.fit import Fit, FitConfig, choose, survey
from numina_infer.models.gpus import Device, find_cpu, find_gpus
from numina_infer.models.profiles import Profile, find_profile
from numina_infer.models.weights import GIB, Dtype

SERVED_NAME = "model"
STREAM_INTERVAL = 8
"""Tokens in each piece of a stream: smaller pieces cost the server time."""
_CPU_BLOCK_SIZE = 32
"""The prefix cache finds whole blocks only; the CPU build's default of 128 would miss most of a prompt."""
_FIRST_PORT, _PORTS_A_SERVER = 21_000, 500
"""Where a server's own processes look for free ports to speak through; by itself vLLM may take one of Kaggle's. Below
what Linux gives out by itself, and far from the relay's ports (`api_versions.RELAY_PORTS`)."""
_MODULE = "vllm.entrypoints.openai.api_server"
"""`vllm serve` doesn't start with the CPU build, which is a distribution of another name."""
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", KEY_VARIABLE, "VLLM_API_KEY")
"""Variables that vLLM must not see: our own interpreter's, and keys. With one of its own it would ask us for it."""
_DTYPES = {"half": Dtype.FLOAT16, "auto": None}
PYTHON_VARIABLE = "NUMINA_VLLM_PYTHON"
"""The environment variable that names the interpreter that has vLLM."""
_BUILT = Path(".venv-vllm") / "bin" / "python"
"""Where `make vllm` puts it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One server that may be started."""

    python: Path
    """The interpreter of vLLM's environment."""
    model: Path
    """The model's folder."""
    config: ServerConfig
    gpus: tuple[str, ...] = ()
    """The GPUs it may use; none stands for the CPU build."""
    extra: tuple[str, ...] = ()
    """Further arguments of vLLM's own, which win over ours."""

    @property
    def key(self) -> str:
        """Equal only for servers with the same interpreter, model, arguments and GPUs."""
        said = json.dumps([str(self.python), str(self.model), self.arguments, self.variables], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of vLLM's server, the socket excepted."""
        common = (
            *("--model", str(self.model), "--served-model-name", SERVED_NAME),
            *("--max-num-seqs", str(self.config.max_num_seqs)),
            *("--max-num-batched-tokens", str(self.config.max_num_batched_tokens)),
            *("--enable-prefix-caching", "--enable-chunked-prefill", "--enable-prompt-tokens-details"),
            *("--scheduling-policy", "priority", "--stream-interval", str(STREAM_INTERVAL)),
            # Or the model's generation_config.json would fill in sampling parameters that nobody chose.
            *("--generation-config", "vllm", "--disable-uvicorn-access-log"),
        )
        length = ("--max-model-len", str(self.config.max_model_len)) if self.config.max_model_len else ()
        return (*common, *length, *(self._on_gpu() if self.gpus else self._on_cpu()), *self.extra)

    def _on_gpu(self) -> Sequence[str]:
        backend = ("--attention-backend", self.config.attention_backend) if self.config.attention_backend else ()
        return (
            *("--dtype", self.config.dtype, "--tensor-parallel-size", str(len(self.gpus))),
            *("--gpu-memory-utilization", str(self.config.gpu_memory_utilization), *backend),
            *(("--disable-custom-all-reduce",) if self.config.disable_custom_all_reduce else ()),
        )

    def _on_cpu(self) -> Sequence[str]:
        """Half precision is slow or wrong there, and 0.19.1 can't compile there."""
        return ("--dtype", "float32", "--block-size", str(_CPU_BLOCK_SIZE), "--enforce-eager")

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that are set in the server's environment."""
        quiet = {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "SPT_NOENV": "1",  # or vLLM's titles for its processes overwrite the environment that we know them by
        }
        if self.gpus:
            place = next((int(gpu) for gpu in self.gpus if gpu.isdigit()), 0)
            return {
                **quiet,
                "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
                "VLLM_USE_FLASHINFER_SAMPLER": "0",  # it fails on T4
                "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
                "VLLM_PORT": str(_FIRST_PORT + _PORTS_A_SERVER * (place % 16)),
            }
        return {
            **quiet,
            "VLLM_CPU_KVCACHE_SPACE": str(self.config.cpu_kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2)),  # programs need the rest
            "TORCHDYNAMO_DISABLE": "1",
        }

    def environment(self) -> dict[str, str]:
        """The server's whole environment."""
        ours = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        return {**ours, **self.variables}

    def command(self, socket: Path) -> list[str]:
        """The command that listens on `socket`."""
        return [str(self.python), "-m", _MODULE, "--uds", str(socket), *self.arguments]


def plan_servers(model: str, config: ServerConfig, *, python: str = "", report: Announce) -> tuple[Launch, ...]:
    """The servers for `model` on this machine's GPUs, or one on its CPU; what was decided is reported.

    `python` is the interpreter of vLLM's environment; empty looks for one.

    Raises:
        ConfigError: the model can't be used here; the text has the arithmetic.
        EngineError: there is no vLLM, or the model can't be had.
    """
    interpreter = find_vllm_python(python)
    folder = find_folder(model, report)
    profile = find_profile(str(folder))
    devices = find_gpus() or (find_cpu(),)
    fit = lay_out(profile, config, devices)
    settings = replace(config, max_model_len=fit.config.max_model_len)
    if not fit.device.is_gpu:
        report(f"{model}: on the CPU; {fit.arithmetic}")
        gib = max(1, min(config.cpu_kv_cache_gib, int(fit.kv_bytes_per_gpu / GIB)))
        return (Launch(interpreter, folder, replace(settings, cpu_kv_cache_gib=gib)),)
    report(f"{model}: {fit.layout}; {fit.arithmetic}")
    samples = f"{fit.full_samples:.1f} samples of {fit.config.max_model_len} tokens"
    report(f"{model}: {fit.kv_tokens:,} tokens of KV, {samples}")
    for warning in profile.warnings(fit.layout):
        report(f"warning: {warning}")
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = visible or [str(number) for number in range(len(devices))]
    shares = [tuple(names[number] for number in each) for each in fit.layout.devices]
    return tuple(Launch(interpreter, folder, settings, gpus) for gpus in shares)


def lay_out(profile: Profile, config: ServerConfig, devices: Sequence[Device]) -> Fit:
    """How the model lies on `devices`: in the layout that was asked for, or the one that suits.

    Raises:
        ConfigError: it can't be used there; the text has the arithmetic.
    """
    longest = profile.weights.architecture.max_position_embeddings
    needed = FitConfig(
        max_model_len=min(config.max_model_len or profile.max_model_len, longest),
        max_num_seqs=config.max_num_seqs,
        dtype=wanted_dtype(config) if devices[0].is_gpu else Dtype.FLOAT32,  # others are slow or wrong on a CPU
        gpu_memory_utilization=config.gpu_memory_utilization,
    )
    fits = survey(profile.weights, devices, needed)
    if config.layout is LayoutName.AUTO:
        return choose(fits)
    most_or_least = max if config.layout is LayoutName.TENSOR_PARALLEL else min
    fit = most_or_least(fits, key=lambda each: each.layout.tensor_parallel_size)
    require(fit.is_possible, f"layout is {config.layout}, and {fit.refusal}")
    return fit


def wanted_dtype(config: ServerConfig) -> Dtype | None:
    """The precision that `config` asks for; None where it is left to the weights and the device."""
    return _DTYPES[config.dtype] if config.dtype in _DTYPES else Dtype(config.dtype)


def find_vllm_python(named: str = "") -> Path:
    """The interpreter that has vLLM: the one that was named, the one that `make vllm` built, or this one.

    Raises:
        ConfigError: the one that was named isn't there.
        EngineError: none was named, and none is found.
    """
    named = named or os.environ.get(PYTHON_VARIABLE, "")
    if named:
        path = Path(named).expanduser()
        require(
            path.is_file() and os.access(path, os.X_OK),
            f"vllm_python is {named!r}, which can't be run; name the python of the environment that has vLLM",
        )
        return path.absolute()
    for path in (_BUILT, Path(__file__).resolve().parents[3] / _BUILT):
        if path.is_file():
            return path.absolute()
    if importlib.util.find_spec("vllm") is not None:
        return Path(sys.executable)
    raise EngineError(
        "no vLLM was found: `make vllm` builds an environment for it, "
        f"or name one with --vllm-python or {PYTHON_VARIABLE} (the python of the environment that has vLLM)"
    )
