"""What a device can compute: floating-point types, packed weights, types of the KV cache.

The limits are vLLM's own (0.19.1 to 0.33): the least compute capability that each quantisation method asks for, and
the families whose activations run out of float16's range. They are checked before anything is loaded, since vLLM
says so minutes later.
"""

from collections.abc import Mapping
from enum import StrEnum

from numina_infer.core.config import require
from numina_infer.models.gpus import Device
from numina_infer.models.weights import Dtype, Weights, gib

Capability = tuple[int, int]

LEAST_CAPABILITY: Capability = (7, 0)
"""vLLM's own; PyTorch's present builds have no kernels for older GPUs."""
BFLOAT16_CAPABILITY: Capability = (8, 0)
FP8_KV_CAPABILITY: Capability = (8, 9)
QUANTISATION_CAPABILITY: Mapping[str, Capability] = {
    "gptq": (6, 0),
    "awq": (7, 5),
    "fp8": (7, 5),  # weights only
    "bitsandbytes": (7, 0),
    "compressed-tensors": (7, 5),  # weights only
}
GPTQ_BITS = (2, 3, 4, 8)
AWQ_BITS = (4, 8)
NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""Model types that give nonsense in float16, by vLLM's list."""


class KvCacheDtype(StrEnum):
    """What keys and values are kept in; vLLM's names."""

    AUTO = "auto"
    """The dtype that the model computes in."""
    FP8 = "fp8"

    def num_bytes(self, dtype: Dtype) -> int:
        """Of one number, where the model computes in `dtype`."""
        return dtype.num_bytes if self is KvCacheDtype.AUTO else 1


def choose_dtype(weights: Weights, device: Device, wanted: Dtype | None) -> Dtype:
    """What the model computes in: `wanted`, else what suits the device.

    Raises:
        ConfigError: the device can't compute it, or the model breaks in it.
    """
    has_bfloat16 = not device.is_gpu or _has(device, BFLOAT16_CAPABILITY)
    if wanted is Dtype.BFLOAT16:
        require(
            has_bfloat16,
            f"dtype is bfloat16, which takes compute capability 8.0; {_describe(device)}: take float16",
        )
    dtype = wanted or _natural_dtype(weights, device, has_bfloat16=has_bfloat16)
    if dtype is Dtype.FLOAT16:
        _require_float16(weights, device, has_bfloat16=has_bfloat16)
    return dtype


def _natural_dtype(weights: Weights, device: Device, *, has_bfloat16: bool) -> Dtype:
    if not device.is_gpu:
        return Dtype.FLOAT32
    # Kernels for GPTQ and AWQ are made for float16 first.
    prefers_float16 = weights.dtype is Dtype.FLOAT16 or weights.quantisation is not None
    breaks = weights.architecture.model_type in NO_FLOAT16
    return Dtype.BFLOAT16 if has_bfloat16 and (breaks or not prefers_float16) else Dtype.FLOAT16


def _require_float16(weights: Weights, device: Device, *, has_bfloat16: bool) -> None:
    model_type = weights.architecture.model_type
    way_out = "take bfloat16"
    if not has_bfloat16:
        needed = f"{gib(weights.num_bytes(Dtype.FLOAT32))} of weights for a device of {gib(device.memory_bytes)}"
        way_out = (
            f"bfloat16, its own type, takes compute capability 8.0, and {_describe(device)}. "
            f"Take another model, or float32: {needed}"
        )
    require(model_type not in NO_FLOAT16, f"models of type {model_type} break in float16; {way_out}")


def require_supported(weights: Weights, device: Device, kv_cache_dtype: KvCacheDtype) -> None:
    """Raise `ConfigError` unless the GPU can compute with weights and KV packed like this; a CPU isn't asked."""
    _require_known_bits(weights)
    if not device.is_gpu:
        require(kv_cache_dtype is KvCacheDtype.AUTO, f"kv_cache_dtype is {kv_cache_dtype}; on a CPU it must be auto")
        return
    require(_has(device, LEAST_CAPABILITY), f"vLLM takes compute capability 7.0 or above; {_describe(device)}")
    require(
        kv_cache_dtype is not KvCacheDtype.FP8 or _has(device, FP8_KV_CAPABILITY),
        f"kv_cache_dtype is fp8, which takes compute capability 8.9; {_describe(device)}: take auto",
    )
    if weights.quantisation is not None:
        least = QUANTISATION_CAPABILITY[weights.quantisation.method]
        require(
            _has(device, least),
            f"quantisation {weights.quantisation.method} takes compute capability {_write(least)}; "
            f"{_describe(device)}: take weights quantised by another method",
        )


def _require_known_bits(weights: Weights) -> None:
    packed = weights.quantisation
    if packed is None:
        return
    method = packed.method
    require(
        method in QUANTISATION_CAPABILITY,
        f"quantisation {method!r} isn't known here; known are {', '.join(QUANTISATION_CAPABILITY)}",
    )
    allowed = {"gptq": GPTQ_BITS, "awq": AWQ_BITS}.get(method, (packed.bits,))
    listed = ", ".join(str(bits) for bits in allowed)
    require(packed.bits in allowed, f"{method} weights of {packed.bits} bits have no kernel; those of {listed} do")


def _has(device: Device, least: Capability) -> bool:
    return (device.compute_capability or (0, 0)) >= least


def _describe(device: Device) -> str:
    return f"a {device.name} has {device.capability}"


def _write(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"
