"""Plans the vLLM servers for a model on this machine: whether it fits, in which layout, with which settings.

Everything is checked before anything is loaded: the weights' own config, the GPUs, the arithmetic of the KV cache.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.ports import Announce
from numina_infer.engines.local.models import find_folder
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.vllm_python import find_vllm_python
from numina_infer.models.fit import Fit, FitConfig, choose, survey
from numina_infer.models.gpus import Device, find_cpu, find_gpus
from numina_infer.models.profiles import Profile, find_profile
from numina_infer.models.weights import GIB, Dtype

_DTYPES = {"half": Dtype.FLOAT16, "auto": None}


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
    _tell(model, profile, fit, report)
    settings = _settings(config, fit)
    return tuple(Launch(interpreter, folder, settings, gpus) for gpus in _gpus(fit))


def lay_out(profile: Profile, config: ServerConfig, devices: Sequence[Device]) -> Fit:
    """How the model lies on `devices`: in the layout that was asked for, or the one that suits.

    Raises:
        ConfigError: it can't be used there; the text has the arithmetic.
    """
    return _take(survey(profile.weights, devices, _fit_config(profile, config, devices)), config.layout)


def wanted_dtype(config: ServerConfig) -> Dtype | None:
    """The precision that `config` asks for; None where it is left to the weights and the device."""
    return _DTYPES[config.dtype] if config.dtype in _DTYPES else Dtype(config.dtype)


def _fit_config(profile: Profile, config: ServerConfig, devices: Sequence[Device]) -> FitConfig:
    longest = profile.weights.architecture.max_position_embeddings
    return FitConfig(
        max_model_len=min(config.max_model_len or profile.max_model_len, longest),
        max_num_seqs=config.max_num_seqs,
        dtype=wanted_dtype(config) if devices[0].is_gpu else Dtype.FLOAT32,  # others are slow or wrong on a CPU
        gpu_memory_utilization=config.gpu_memory_utilization,
    )


def _take(fits: Sequence[Fit], wanted: LayoutName) -> Fit:
    """The layout that was asked for, or the one that suits."""
    if wanted is LayoutName.AUTO:
        return choose(fits)
    sizes = [fit.layout.tensor_parallel_size for fit in fits]
    fit = fits[sizes.index(max(sizes) if wanted is LayoutName.TENSOR_PARALLEL else min(sizes))]
    require(fit.is_possible, f"layout is {wanted}, and {fit.refusal}")
    return fit


def _tell(model: str, profile: Profile, fit: Fit, report: Announce) -> None:
    where = str(fit.layout) if fit.device.is_gpu else "on the CPU"
    report(f"{model}: {where}; {fit.arithmetic}")
    held = f"{fit.kv_tokens:,} tokens of KV, {fit.full_samples:.1f} samples of {fit.config.max_model_len} tokens"
    if fit.device.is_gpu:
        report(f"{model}: {held}")
    for warning in profile.warnings(fit.layout):
        report(f"warning: {warning}")


def _settings(config: ServerConfig, fit: Fit) -> ServerConfig:
    settings = replace(config, max_model_len=fit.config.max_model_len)
    if fit.device.is_gpu:
        return settings
    return replace(settings, cpu_kv_cache_gib=max(1, min(config.cpu_kv_cache_gib, int(fit.kv_bytes_per_gpu / GIB))))


def _gpus(fit: Fit) -> tuple[tuple[str, ...], ...]:
    """The GPUs of each server, as CUDA_VISIBLE_DEVICES names them; none for the CPU."""
    if not fit.device.is_gpu:
        return ((),)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(tuple(visible[number] if visible else str(number) for number in each) for each in fit.layout.devices)


def served_model(socket: str) -> Path | None:
    """The folder of the model that a server of ours on `socket` has; None for somebody else's server."""
    from numina_infer.engines.vllm.server_place import ServerPlace

    place = ServerPlace(Path(socket).parent)
    note = place.read_note()
    return Path(note.model) if note is not None and place.socket == Path(socket) else None
