"""`numina-infer fit`: shows whether a model fits, before it is fetched or loaded."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from numina_infer.core.config import require, require_whole
from numina_infer.core.errors import ConfigError
from numina_infer.models.fit import Fit, FitConfig, choose, survey
from numina_infer.models.gpus import Device, find_cpu, find_gpus, get_gpu
from numina_infer.models.profiles import Profile, find_profile
from numina_infer.models.weights import gib


def find_devices(gpus: str | None, num_gpus: int | None) -> tuple[Device, ...]:
    """So many GPUs of that name; without a name those found here, and where there are none, the CPU.

    Raises:
        ConfigError: the GPU isn't known, or fewer are here than asked for.
    """
    if num_gpus is not None:
        require_whole("num_gpus", num_gpus, 1)
    if gpus is not None:
        return (get_gpu(gpus),) * (num_gpus or 1)
    found = find_gpus()
    if num_gpus is not None and len(found) < num_gpus:
        raise ConfigError(f"num_gpus is {num_gpus}, and {len(found)} are here; name the kind you mean with --gpus")
    return found[:num_gpus] or (find_cpu(),)


def run(model: str, devices: Sequence[Device], console: Console, *, as_json: bool = False, **wanted: Any) -> int:
    """Show whether `model` fits on `devices`; `wanted` are fields of `FitConfig`, None where the model decides.

    Returns:
        0 where it fits.

    Raises:
        ConfigError: it doesn't, or a value can't be used; what was computed has been shown.
    """
    profile = find_profile(model)
    given = {name: value for name, value in wanted.items() if value is not None}
    fits = survey(profile.weights, devices, FitConfig(**{"max_model_len": profile.max_model_len} | given))
    chosen, refusal = None, ""
    try:
        chosen = choose(fits)
    except ConfigError as error:
        refusal = str(error)
    warnings = profile.warnings(chosen.layout) if chosen else ()
    if as_json:
        record = _as_dict(profile, fits) | {"chosen": chosen and str(chosen.layout), "refusal": refusal}
        console.out(json.dumps(record | {"warnings": list(warnings)}), highlight=False)
    else:
        _show(profile, fits, chosen, warnings, console)
    require(chosen is not None, refusal)
    return 0


def _show(
    profile: Profile, fits: Sequence[Fit], chosen: Fit | None, warnings: Sequence[str], console: Console
) -> None:
    console.print(_table(profile, fits, chosen))
    if profile.base:
        console.print(f"taken for a fine-tune of {profile.base}: format {profile.format}", soft_wrap=True)
    for warning in warnings:
        console.print(f"warning: {warning}", soft_wrap=True)


def _as_dict(profile: Profile, fits: Sequence[Fit]) -> dict[str, Any]:
    """For scripts; sizes in bytes, lengths in tokens."""
    return {
        "model": profile.model,
        "base": profile.base,
        "format": profile.format,
        "quantisation": profile.weights.kind,
        "dtype": fits[0].dtype,
        "device": fits[0].device.name,
        "max_model_len": fits[0].config.max_model_len,
        "layouts": [_layout(fit) for fit in fits],
    }


def _layout(fit: Fit) -> dict[str, Any]:
    return {
        "layout": str(fit.layout),
        "tensor_parallel_size": fit.layout.tensor_parallel_size,
        "num_replicas": fit.layout.num_replicas,
        "weights_bytes": fit.weights_bytes,
        "weights_bytes_per_gpu": int(fit.weights_bytes_per_gpu),
        "kv_bytes_per_gpu": int(fit.kv_bytes_per_gpu),
        "kv_tokens_per_replica": fit.kv_tokens_per_replica,
        "kv_tokens": fit.kv_tokens,
        "full_samples": round(fit.full_samples, 2),
        "mean_context": round(fit.mean_context(fit.config.max_num_seqs), 1),
        "refusal": fit.refusal,
    }


def _table(profile: Profile, fits: Sequence[Fit], chosen: Fit | None) -> Table:
    fit = fits[0]
    dtype = "" if profile.weights.quantisation else f" in {fit.dtype}"
    weights = f"{gib(fit.weights_bytes)} of weights, {profile.weights.kind}{dtype}"
    table = Table(title=f"{profile.alias}: {weights}; samples of {fit.config.max_model_len} tokens")
    a_device = f"a {fit.device.name}"
    table.add_column("layout")
    for heading in (f"weights {a_device}", f"KV {a_device}", "KV tokens", "full-length samples", "mean context"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for fit in fits:
        table.add_row(*_cells(fit), "taken" if fit is chosen else fit.refusal)
    table.caption = f"mean context: tokens that each of {fit.config.max_num_seqs} samples at once has on average"
    return table


def _cells(fit: Fit) -> tuple[str, ...]:
    sizes = (str(fit.layout), gib(fit.weights_bytes_per_gpu), gib(fit.kv_bytes_per_gpu))
    if not fit.is_possible:
        return (*sizes, "", "", "")
    context = min(fit.mean_context(fit.config.max_num_seqs), fit.config.max_model_len)
    return (*sizes, f"{fit.kv_tokens:,}", f"{fit.full_samples:.1f}", f"{context:.0f}")
