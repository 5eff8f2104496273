"""How one vLLM server is started: interpreter, arguments, environment.

The arguments are the same for both pinned versions (0.19.1 and 0.32.0, whose `--help=all` were read); what differs
between a GPU and vLLM's CPU build stands in `_on_gpu` and `_on_cpu`. Sources: docs/engines.md.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.engine_config import ServerConfig
from numina_infer.engines.http.address import KEY_VARIABLE

SERVED_NAME = "model"
STREAM_INTERVAL = 8
"""Tokens in each piece of a stream: smaller pieces cost the server time."""
_CPU_BLOCK_SIZE = 32
"""The prefix cache finds whole blocks only; the CPU build's default of 128 would miss most of a prompt."""
_FIRST_PORT, _PORTS_A_SERVER = 21_000, 500
"""Below what Linux gives out by itself and far from the relay's ports (`api_versions.RELAY_PORTS`)."""
_MODULE = "vllm.entrypoints.openai.api_server"
"""`vllm serve` doesn't start with the CPU build, which is a distribution of another name."""
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", KEY_VARIABLE, "VLLM_API_KEY")
"""Variables that vLLM must not see: our own interpreter's, and keys. With one of its own it would ask us for it."""


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
        all_reduce = ("--disable-custom-all-reduce",) if self.config.disable_custom_all_reduce else ()
        return (
            *("--dtype", self.config.dtype, "--tensor-parallel-size", str(len(self.gpus))),
            *("--gpu-memory-utilization", str(self.config.gpu_memory_utilization)),
            *backend,
            *all_reduce,
        )

    def _on_cpu(self) -> Sequence[str]:
        """Half precision is slow or wrong there, and 0.19.1 can't compile there."""
        return ("--dtype", "float32", "--block-size", str(_CPU_BLOCK_SIZE), "--enforce-eager")

    @property
    def _first_port(self) -> int:
        """Where its own processes look for free ports to speak through; by itself vLLM may take one of Kaggle's."""
        place = next((int(gpu) for gpu in self.gpus if gpu.isdigit()), 0)
        return _FIRST_PORT + _PORTS_A_SERVER * (place % 16)

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
            return {
                **quiet,
                "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
                "VLLM_USE_FLASHINFER_SAMPLER": "0",  # it fails on T4
                "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
                "VLLM_PORT": str(self._first_port),
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
