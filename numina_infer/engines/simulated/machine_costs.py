"""The costs of a decoding step, a prompt and a cache on some machine, for simulated engines.

A step reads the weights once, the keys and values of every live token once, and has some work a sequence: three
numbers, a straight line in each (the roofline of memory-bound decoding; Orca, OSDI 2022; vLLM, arXiv 2309.06180).
They come from the figures that `numina-infer probe` measured, or, where there are none, from the T4's data sheet.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numina_infer.core.config import require, require_number, require_positive, require_whole
from numina_infer.core.errors import ConfigError
from numina_infer.models.fit import FitConfig, choose, survey
from numina_infer.models.gpus import T4
from numina_infer.models.profiles import find_profile

_T4_BYTES_PER_S, _T4_FLOPS = 320e9, 65e12
_BANDWIDTH_SHARE, _COMPUTE_SHARE = 0.75, 0.5
"""The shares of the data sheet's figures that kernels reach: assumptions."""
_ALL_REDUCE_S = 0.009
"""For one step of a 7B model over two T4s on PCIe without peer access, by arithmetic."""


@dataclass(frozen=True, slots=True)
class MachineCosts:
    """Seconds and tokens of one machine."""

    base_s: float
    """A decoding step's fixed part."""
    sequence_s: float
    """A decoding step's part for each sequence."""
    token_s: float
    """A decoding step's part for each live token of its sequences."""
    prefill_s: float
    """For each token of a prompt."""
    kv_tokens: int
    """Tokens whose keys and values one replica holds."""
    num_replicas: int = 1
    source: str = "given"
    """Where the figures are from."""

    def __post_init__(self) -> None:
        for name in ("base_s", "sequence_s", "token_s", "prefill_s"):
            value = getattr(self, name)
            require_number(name, value)
        require_positive("base_s + sequence_s", self.base_s + self.sequence_s)
        require_whole("kv_tokens", self.kv_tokens, 1)
        require_whole("num_replicas", self.num_replicas, 1)


def t4_costs(model: str = "numina-7b-gptq", num_gpus: int = 2) -> MachineCosts:
    """The costs of `model` on T4s by arithmetic, in the layout that `fit` takes.

    Raises:
        ConfigError: the model isn't known, or doesn't fit.
    """
    profile = find_profile(model)
    fit = choose(survey(profile.weights, [T4] * num_gpus, FitConfig(profile.max_model_len)))
    bytes_per_s = _BANDWIDTH_SHARE * _T4_BYTES_PER_S
    flops_per_token = 2 * (profile.weights.architecture.num_linear + profile.weights.architecture.num_other)
    token_compute_s = flops_per_token / (_COMPUTE_SHARE * _T4_FLOPS * fit.layout.tensor_parallel_size)
    return MachineCosts(
        base_s=fit.weights_bytes_per_gpu / bytes_per_s + (_ALL_REDUCE_S if fit.layout.is_split else 0.0),
        sequence_s=token_compute_s,
        token_s=fit.kv_bytes_per_token / bytes_per_s,
        prefill_s=token_compute_s,
        kv_tokens=fit.kv_tokens_per_replica,
        num_replicas=fit.layout.num_replicas,
        source=f"{profile.alias} on {num_gpus} x T4, {fit.layout}, by arithmetic",
    )


def read_costs(file: Path) -> MachineCosts:
    """The costs that `numina-infer probe` measured, of the layout that decodes most tokens a second.

    Raises:
        ConfigError: the file isn't such a probe's, or the probe was stopped too early.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        layouts = [layout for layout in found["layouts"] if len(layout["decode"]) >= 3 and layout["prefill"]]
        require(bool(layouts), f"the probe in {file} was stopped before it had measured a layout; run it again")
        best = max(layouts, key=_best_rate)
        return costs_of_layout(best, f"{found['model']} on {_measured_on(found)}")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the probe {file}: {error}; make one with numina-infer probe") from error
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file} is no probe's file ({error!r}); make one with numina-infer probe") from error


def _best_rate(layout: Mapping[str, Any]) -> float:
    rate: float = max(step["tokens_per_s"] for step in layout["decode"])
    return rate * len(layout["servers"])


def _measured_on(found: Mapping[str, Any]) -> str:
    return f"{found['machine']['processor']}, measured {str(found['measured_at'])[:10]}"


def costs_of_layout(layout: Mapping[str, Any], source: str) -> MachineCosts:
    """The costs of one layout of a probe.

    Raises:
        KeyError: it lacks something.
    """
    base_s, sequence_s, token_s = _plane(layout["decode"])
    longest = max(layout["prefill"], key=lambda prompt: float(prompt["tokens"]))
    num_replicas = max(1, len(layout["servers"]))
    return MachineCosts(
        base_s=base_s,
        sequence_s=sequence_s,
        token_s=token_s,
        prefill_s=longest["seconds"] / longest["tokens"],
        kv_tokens=int(layout["kv_tokens"]) // num_replicas,
        num_replicas=num_replicas,
        source=source,
    )


def _plane(steps: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """The least-squares fit of step times, none of its numbers below zero; errors count relative to the step."""
    import numpy as np
    from scipy.optimize import nnls

    rows = np.array([[1.0, step["batch"], step["batch"] * step["context"]] for step in steps])
    times = np.array([step["step_s"] for step in steps])
    fitted, _ = nnls(rows / times[:, None], np.ones(len(times)))
    base_s, sequence_s, token_s = map(float, fitted)
    return base_s, sequence_s, token_s
