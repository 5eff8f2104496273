"""Configs of engines: a model in this process, a vLLM server, the client of any server.

Names and meanings are vLLM's where it has them.
"""

from dataclasses import dataclass
from enum import StrEnum

from numina_infer.core.config import require, require_choice, require_number, require_positive, require_whole


@dataclass(frozen=True, slots=True)
class TransformersConfig:
    """The embedded engine: a model in this process, through transformers."""

    model: str = "smollm2"
    """A local folder, a hub id, or `smollm2`: SmolLM2-135M-Instruct out of a PyPI wheel, converted once."""
    max_num_seqs: int = 16
    """Trajectories that decode together (vLLM's name)."""
    max_model_len: int = 0
    """Context window in tokens; 0 takes the model's own."""
    dtype: str = "float32"
    device: str = "cpu"
    num_threads: int = 0
    """torch's threads; 0 takes half of the cores, since programs need the rest."""

    def __post_init__(self) -> None:
        require(bool(self.model.strip()), "model is empty; give a folder, a hub id, or smollm2")
        require_whole("max_num_seqs", self.max_num_seqs, 1)
        require_whole("max_model_len", self.max_model_len, 0, "the model's own")
        require(
            self.dtype in {"float32", "float16", "bfloat16"},
            f"dtype is {self.dtype!r}; it must be float32, float16 or bfloat16",
        )
        require_whole("num_threads", self.num_threads, 0, "half of the cores")


class LayoutName(StrEnum):
    """The wanted layout of a model on several GPUs; `fit.Layout` is the one that was found."""

    AUTO = "auto"
    """The one that leaves more memory for keys and values."""
    TENSOR_PARALLEL = "tensor-parallel"
    """One server over all GPUs."""
    REPLICAS = "replicas"
    """One server a GPU, each with the whole model."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How vLLM's servers are started; the defaults suit vLLM 0.19.1 on two T4s (docs/engines.md)."""

    dtype: str = "half"
    attention_backend: str = "TRITON_ATTN"
    """Neither FlashInfer nor FlashAttention 2 runs on a T4; empty leaves the choice to vLLM."""
    max_model_len: int = 4096
    """Context window in tokens; 0 takes the model's own."""
    max_num_seqs: int = 48
    max_num_batched_tokens: int = 2048
    """Tokens of one step, prompts in chunks included."""
    gpu_memory_utilization: float = 0.92
    disable_custom_all_reduce: bool = True
    """It asks for peer access between the GPUs, which virtual machines often lack."""
    layout: LayoutName = LayoutName.AUTO
    start_timeout_s: float = 900.0
    """From its start until a server is healthy, the model's loading included."""
    cpu_kv_cache_gib: int = 2
    """Memory for keys and values on a machine without a GPU."""

    def __post_init__(self) -> None:
        require(
            self.dtype in {"half", "float16", "bfloat16", "float32", "auto"},
            f"dtype is {self.dtype!r}; it must be half, float16, bfloat16, float32 or auto",
        )
        require_whole("max_model_len", self.max_model_len, 0, "the model's own")
        require_whole("max_num_seqs", self.max_num_seqs, 1)
        require_whole("max_num_batched_tokens", self.max_num_batched_tokens, 1)
        require_whole("cpu_kv_cache_gib", self.cpu_kv_cache_gib, 1)
        require_positive("start_timeout_s", self.start_timeout_s)
        require_number("gpu_memory_utilization", self.gpu_memory_utilization, most=1, above=True, below=True)
        object.__setattr__(self, "layout", require_choice("layout", self.layout, LayoutName))


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The client of OpenAI-compatible endpoints."""

    model: str = ""
    """The served model name; empty takes the first that each endpoint lists."""
    max_num_seqs: int = 48
    """Trajectories at once on one endpoint, at most."""
    max_model_len: int = 0
    """Context window in tokens; 0 takes the one that the endpoints report."""
    greet_s: float = 60.0
    """How long an endpoint's first answer may take."""
    stall_s: float = 90.0
    """How long an endpoint may produce no token while turns are in flight, before it is checked and given up."""
    patience_s: float = 900.0
    """How long a turn waits for an endpoint when none is left."""
    max_losses: int = 3
    """How often one turn may be lost with its endpoint before its trajectory ends with an error."""

    def __post_init__(self) -> None:
        require_whole("max_num_seqs", self.max_num_seqs, 1)
        require_whole("max_model_len", self.max_model_len, 0, "what the endpoints say")
        require_whole("max_losses", self.max_losses, 0)
        for name in ("greet_s", "stall_s", "patience_s"):
            require_positive(name, getattr(self, name))
