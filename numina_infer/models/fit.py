"""Computes whether a model fits on GPUs before it is loaded, in which layouts, and chooses the layout to take.

vLLM takes a share of each GPU's memory for the weights, the activations and itself; the rest holds keys and values
(arXiv 2309.06180). Which types a device computes is checked first, by vLLM's own limits (0.19.1 to 0.33).

The choice: a split model keeps one copy of the weights, so it always leaves the most tokens of KV. One replica a GPU
needs no all-reduce and no library that connects GPUs, and loses half of the work in a crash. An all-reduce over PCIe
takes a fifth to a third of a T4's decoding step (9 ms of 50; at bad bandwidth 23 of 63). So the least split layout is
taken that keeps three quarters of the tokens, where tokens beyond all samples at full length don't count. On two T4s
that gives DeepSeekMath-7B in 8 bits (59 %) tensor parallel, and in 4 bits (78 %) two replicas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from numina_infer.core.config import require, require_choice, require_whole
from numina_infer.models.gpus import Device
from numina_infer.models.weights import Dtype, Weights, gib

LEAST_CAPABILITY = (7, 0)
"""vLLM's own; PyTorch's present builds have no kernels for older GPUs."""
_BFLOAT16_CAPABILITY = (8, 0)
_FP8_KV_CAPABILITY = (8, 9)
_QUANTISATION_CAPABILITY: Mapping[str, tuple[int, int]] = {
    "gptq": (6, 0),
    "awq": (7, 5),
    "fp8": (7, 5),  # weights only
    "bitsandbytes": (7, 0),
    "compressed-tensors": (7, 5),  # weights only
}
_KERNEL_BITS: Mapping[str, tuple[int, ...]] = {"gptq": (2, 3, 4, 8), "awq": (4, 8)}
"""The widths that a method has kernels for; any, where it isn't named."""
_NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""Model types that give nonsense in float16, by vLLM's list."""
_LEAST_SHARE_OF_TOKENS = 0.75
"""The share of the most tokens of any layout that a less split layout must keep."""


class KvCacheDtype(StrEnum):
    """The type of keys and values in the cache, that of the computation or eight bits; vLLM's names."""

    AUTO = "auto"
    FP8 = "fp8"


@dataclass(frozen=True, slots=True)
class FitConfig:
    """The engine's settings that decide what fits; vLLM's names."""

    max_model_len: int
    """Tokens of a full-length sample: prompt, completions and outputs."""
    max_num_seqs: int = 48
    """Samples at once."""
    dtype: Dtype | None = None
    """None takes what suits the device: the weights' own, float16 where a GPU has no bfloat16, float32 on a CPU."""
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.AUTO
    gpu_memory_utilization: float = 0.92
    """The share of a GPU's memory, or of the machine's, that the engine may take."""

    def __post_init__(self) -> None:
        require_whole("max_model_len", self.max_model_len, 1)
        require_whole("max_num_seqs", self.max_num_seqs, 1)
        if self.dtype is not None:
            object.__setattr__(self, "dtype", require_choice("dtype", self.dtype, Dtype))
        object.__setattr__(self, "kv_cache_dtype", require_choice("kv_cache_dtype", self.kv_cache_dtype, KvCacheDtype))


@dataclass(frozen=True, slots=True)
class Layout:
    """A number of replicas of a model, each split over a number of GPUs."""

    tensor_parallel_size: int = 1
    num_replicas: int = 1

    @classmethod
    def all_over(cls, num_gpus: int) -> tuple["Layout", ...]:
        """The layouts that use `num_gpus` GPUs, the one that is split least first."""
        return tuple(cls(size, num_gpus // size) for size in range(1, num_gpus + 1) if num_gpus % size == 0)

    @property
    def devices(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of each replica's GPUs, for CUDA_VISIBLE_DEVICES of its server."""
        size = self.tensor_parallel_size
        return tuple(tuple(range(index * size, (index + 1) * size)) for index in range(self.num_replicas))

    @property
    def is_split(self) -> bool:
        """True where the model is tensor parallel."""
        return self.tensor_parallel_size > 1

    def __str__(self) -> str:
        split = f"tensor parallel over {self.tensor_parallel_size}"
        if self.num_replicas == 1:
            return split if self.is_split else "one replica"
        return f"{self.num_replicas} replicas{f', each {split}' if self.is_split else ''}"


@dataclass(frozen=True, slots=True)
class Fit:
    """A model in a layout, in bytes and tokens."""

    layout: Layout
    device: Device
    """The smallest of the devices."""
    config: FitConfig
    dtype: Dtype
    weights_bytes: int
    """Of one replica."""
    kv_bytes_per_token: int
    """On each GPU of a replica."""
    obstacle: str = ""
    """Why the model can't be split like this; empty where it can."""

    @property
    def weights_bytes_per_gpu(self) -> float:
        """The share of the weights on each GPU."""
        return self.weights_bytes / self.layout.tensor_parallel_size

    @property
    def kv_bytes_per_gpu(self) -> float:
        """The memory of a GPU for KV; below zero where the weights alone are too large."""
        usable_bytes = self.device.memory_bytes * self.config.gpu_memory_utilization - self.device.overhead_bytes
        return usable_bytes - self.weights_bytes_per_gpu

    @property
    def kv_tokens_per_replica(self) -> int:
        """Tokens whose keys and values one replica holds."""
        return 0 if self.obstacle else max(0, int(self.kv_bytes_per_gpu // self.kv_bytes_per_token))

    @property
    def kv_tokens(self) -> int:
        """Tokens whose keys and values all replicas hold."""
        return self.kv_tokens_per_replica * self.layout.num_replicas

    @property
    def full_samples(self) -> float:
        """Samples of `max_model_len` tokens that all replicas hold at once."""
        return self.kv_tokens / self.config.max_model_len

    def mean_context(self, num_samples: int) -> float:
        """The tokens that `num_samples` samples at once may have on average, where the fullest replica has no more."""
        return self.kv_tokens_per_replica / -(-num_samples // self.layout.num_replicas)

    @property
    def useful_tokens(self) -> int:
        """Tokens of KV that all samples at full length can use."""
        return min(self.kv_tokens, self.config.max_num_seqs * self.config.max_model_len)

    @property
    def arithmetic(self) -> str:
        """The sum for one GPU, for messages."""
        share = f"{gib(self.device.memory_bytes)} × {self.config.gpu_memory_utilization:g}"
        usable = gib(self.kv_bytes_per_gpu + self.weights_bytes_per_gpu)
        return (
            f"{share} − {gib(self.device.overhead_bytes)} = {usable} a {self.device.name}, of which "
            f"weights take {gib(self.weights_bytes_per_gpu)}: {gib(self.kv_bytes_per_gpu)} remain"
        )

    @property
    def refusal(self) -> str:
        """Why this layout doesn't work, with the arithmetic; empty where it does."""
        if self.obstacle:
            return self.obstacle
        if self.kv_bytes_per_gpu <= 0:
            return f"the weights don't fit: {self.arithmetic}"
        if self.kv_tokens_per_replica < self.config.max_model_len:
            held = f"which holds {self.kv_tokens_per_replica} tokens of KV"
            return f"no sample of {self.config.max_model_len} tokens fits: {self.arithmetic}, {held}"
        return ""

    @property
    def is_possible(self) -> bool:
        """True where the weights and a full-length sample fit."""
        return not self.refusal


def survey(weights: Weights, devices: Sequence[Device], config: FitConfig) -> tuple[Fit, ...]:
    """The model in every layout over `devices`, the one that is split least first.

    Raises:
        ConfigError: no layout could help: dtype, quantisation, KV cache or context length are refused.
    """
    require(bool(devices), "no device is given; name a GPU, or take the CPU")
    # A split model is limited by the weakest device and by the smallest memory.
    weakest = min(devices, key=lambda device: device.compute_capability or (0, 0))
    device = replace(weakest, memory_bytes=min(device.memory_bytes for device in devices))
    shapes = weights.architecture
    require(
        config.max_model_len <= shapes.max_position_embeddings,
        f"max_model_len is {config.max_model_len}; the model reads at most {shapes.max_position_embeddings} tokens",
    )
    require_supported(weights, device)
    dtype = choose_dtype(weights, device, config.dtype)
    is_fp8 = config.kv_cache_dtype is KvCacheDtype.FP8
    require(device.is_gpu or not is_fp8, "kv_cache_dtype is fp8; on a CPU it must be auto")
    if is_fp8:
        _require_capability(device, _FP8_KV_CAPABILITY, "kv_cache_dtype is fp8, which takes", "take auto")
    kv_bytes = 1 if is_fp8 else dtype.num_bytes
    return tuple(
        Fit(
            layout,
            device,
            config,
            dtype,
            weights_bytes=weights.num_bytes(dtype),
            kv_bytes_per_token=shapes.kv_bytes_per_token(kv_bytes, layout.tensor_parallel_size),
            obstacle=_obstacle(weights, layout.tensor_parallel_size),
        )
        for layout in Layout.all_over(len(devices))
    )


def _obstacle(weights: Weights, size: int) -> str:
    """Why the model can't be split over `size` GPUs; empty where it can."""
    shapes, packed = weights.architecture, weights.quantisation
    heads, kv_heads = shapes.num_attention_heads, shapes.num_key_value_heads
    rows = {"intermediate_size": shapes.intermediate_size, "attention output": heads * shapes.head_dim}
    if heads % size:
        return f"{heads} attention heads can't be split over {size} GPUs"
    if kv_heads % size and size % kv_heads:
        return f"{kv_heads} key-value heads can't be split over {size} GPUs"
    for name, inputs in rows.items():
        if inputs % size:
            return f"{name} {inputs} can't be split over {size} GPUs"
        if size > 1 and packed and packed.group_size > 0 and inputs // size % packed.group_size:
            return f"{name} {inputs} over {size} GPUs cuts the quantisation's groups of {packed.group_size}"
    return ""


def choose(fits: Sequence[Fit]) -> Fit:
    """The layout to take, by the rule at the head of this module.

    Raises:
        ConfigError: the model fits in no layout; the text has the arithmetic of each.
    """
    possible = sorted((fit for fit in fits if fit.is_possible), key=lambda fit: fit.layout.tensor_parallel_size)
    reasons = "; ".join(f"{fit.layout}: {fit.refusal}" for fit in fits)
    require(
        bool(possible),
        f"the model doesn't fit ({reasons}). Take weights of fewer bits, more or larger GPUs, or a shorter "
        "max_model_len",
    )
    most = max(fit.useful_tokens for fit in possible)
    return next(fit for fit in possible if fit.useful_tokens >= _LEAST_SHARE_OF_TOKENS * most)


def choose_dtype(weights: Weights, device: Device, wanted: Dtype | None) -> Dtype:
    """The dtype that the model computes in: `wanted`, else the one that suits the device.

    Raises:
        ConfigError: the device can't compute it, or the model breaks in it.
    """
    model_type = weights.architecture.model_type
    has_bfloat16 = not device.is_gpu or _has(device, _BFLOAT16_CAPABILITY)
    if wanted is Dtype.BFLOAT16:
        _require_capability(device, _BFLOAT16_CAPABILITY, "dtype is bfloat16, which takes", "take float16")
    # Kernels for GPTQ and AWQ are made for float16 first.
    prefers_float16 = weights.dtype is Dtype.FLOAT16 or weights.quantisation is not None
    takes_bfloat16 = has_bfloat16 and (model_type in _NO_FLOAT16 or not prefers_float16)
    on_gpu = Dtype.BFLOAT16 if takes_bfloat16 else Dtype.FLOAT16
    dtype = wanted or (on_gpu if device.is_gpu else Dtype.FLOAT32)
    way_out = "take bfloat16"
    if not has_bfloat16:
        needed = f"{gib(weights.num_bytes(Dtype.FLOAT32))} of weights for a device of {gib(device.memory_bytes)}"
        way_out = (
            f"bfloat16, its own type, takes compute capability 8.0, and a {device.name} has {device.capability}. "
            f"Take another model, or float32: {needed}"
        )
    breaks = dtype is Dtype.FLOAT16 and model_type in _NO_FLOAT16
    require(not breaks, f"models of type {model_type} break in float16; {way_out}")
    return dtype


def require_supported(weights: Weights, device: Device) -> None:
    """Raise `ConfigError` unless the device can compute with weights that are packed like these."""
    packed = weights.quantisation
    if packed is not None:
        method, bits, known = packed.method, packed.bits, ", ".join(_QUANTISATION_CAPABILITY)
        require(method in _QUANTISATION_CAPABILITY, f"quantisation {method!r} isn't known here; known are {known}")
        allowed = _KERNEL_BITS.get(method, (bits,))
        listed = ", ".join(map(str, allowed))
        require(bits in allowed, f"{method} weights of {bits} bits have no kernel; those of {listed} do")
    if not device.is_gpu:
        return
    too_old = f"vLLM takes compute capability 7.0 or above; a {device.name} has {device.capability}"
    require(_has(device, LEAST_CAPABILITY), too_old)
    if packed is not None:
        least, advice = _QUANTISATION_CAPABILITY[packed.method], "take weights quantised by another method"
        _require_capability(device, least, f"quantisation {packed.method} takes", advice)


def _require_capability(device: Device, least: tuple[int, int], what: str, advice: str) -> None:
    written = ".".join(map(str, least))
    has = not device.is_gpu or _has(device, least)
    require(has, f"{what} compute capability {written}; a {device.name} has {device.capability}: {advice}")


def _has(device: Device, least: tuple[int, int]) -> bool:
    return (device.compute_capability or (0, 0)) >= least
