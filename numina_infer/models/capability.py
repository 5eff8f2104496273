"""Which floating-point types, quantised weights and types of the KV cache a device can compute with.

The limits are vLLM's own (0.19.1 to 0.33): the least compute capability of each quantisation method, and the families
whose activations overflow float16. They are checked before anything is loaded, because vLLM fails minutes later.
"""

from collections.abc import Mapping
from enum import StrEnum

from numina_infer.core.config import require
from numina_infer.models.gpus import Device
from numina_infer.models.weights import Dtype, Quantisation, Weights, gib

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
KERNEL_BITS: Mapping[str, tuple[int, ...]] = {"gptq": (2, 3, 4, 8), "awq": (4, 8)}
"""The widths that a method has kernels for; any, where it isn't named."""
NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""Model types that give nonsense in float16, by vLLM's list."""


class KvCacheDtype(StrEnum):
    """The type of keys and values in the cache; vLLM's names."""

    AUTO = "auto"
    """The dtype that the model computes in."""
    FP8 = "fp8"

    def num_bytes(self, dtype: Dtype) -> int:
        """Of one number, where the model computes in `dtype`."""
        return dtype.num_bytes if self is KvCacheDtype.AUTO else 1


def choose_dtype(weights: Weights, device: Device, wanted: Dtype | None) -> Dtype:
    """The dtype that the model computes in: `wanted`, else the one that suits the device.

    Raises:
        ConfigError: the device can't compute it, or the model breaks in it.
    """
    has_bfloat16 = not device.is_gpu or _has(device, BFLOAT16_CAPABILITY)
    if wanted is Dtype.BFLOAT16 and not has_bfloat16:
        _require_capability(device, BFLOAT16_CAPABILITY, "dtype is bfloat16, which takes", "take float16")
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
            f"bfloat16, its own type, takes compute capability 8.0, and a {device.name} has {device.capability}. "
            f"Take another model, or float32: {needed}"
        )
    require(model_type not in NO_FLOAT16, f"models of type {model_type} break in float16; {way_out}")


def require_supported(weights: Weights, device: Device, kv_cache_dtype: KvCacheDtype) -> None:
    """Raise `ConfigError` unless the device can compute with weights and KV of these types."""
    packed = weights.quantisation
    if packed is not None:
        _require_kernel(packed)
    if not device.is_gpu:
        require(kv_cache_dtype is KvCacheDtype.AUTO, f"kv_cache_dtype is {kv_cache_dtype}; on a CPU it must be auto")
        return
    too_old = f"vLLM takes compute capability 7.0 or above; a {device.name} has {device.capability}"
    require(_has(device, LEAST_CAPABILITY), too_old)
    if kv_cache_dtype is KvCacheDtype.FP8:
        _require_capability(device, FP8_KV_CAPABILITY, "kv_cache_dtype is fp8, which takes", "take auto")
    if packed is not None:
        least, advice = QUANTISATION_CAPABILITY[packed.method], "take weights quantised by another method"
        _require_capability(device, least, f"quantisation {packed.method} takes", advice)


def _require_kernel(packed: Quantisation) -> None:
    method, bits = packed.method, packed.bits
    known = ", ".join(QUANTISATION_CAPABILITY)
    require(method in QUANTISATION_CAPABILITY, f"quantisation {method!r} isn't known here; known are {known}")
    allowed = KERNEL_BITS.get(method, (bits,))
    listed = ", ".join(map(str, allowed))
    require(bits in allowed, f"{method} weights of {bits} bits have no kernel; those of {listed} do")


def _require_capability(device: Device, least: Capability, what: str, advice: str) -> None:
    written = ".".join(map(str, least))
    require(
        _has(device, least),
        f"{what} compute capability {written}; a {device.name} has {device.capability}: {advice}",
    )


def _has(device: Device, least: Capability) -> bool:
    return (device.compute_capability or (0, 0)) >= least
