"""The next token out of one row's logits, drawn with that row's own generator.

One uniform number a token, looked up in the cumulative distribution in the order of the vocabulary: a draw depends on
its row alone, not on what else is in the batch.
Filters come in vLLM's order: temperature, min_p (arXiv 2407.01082), top_k, top_p (nucleus, arXiv 1904.09751).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Draw:
    """A sampled token."""

    token_id: int
    logprob: float
    """Natural log of its probability under the model itself: temperature 1, no filter, as vLLM reports it."""


def seeded(seed: int) -> "torch.Generator":
    """A row's own source of randomness."""
    import torch

    return torch.Generator().manual_seed(seed % 2**64)


def draw(logits: "torch.Tensor", params: SamplingParams, generator: "torch.Generator") -> Draw:
    """Draw from `logits`, shape [vocabulary].

    Raises:
        EngineError: the logits aren't numbers, as happens when float16 overflows.
    """
    import torch

    logits = logits.float().cpu()
    logprobs = torch.log_softmax(logits, dim=-1)
    if bool(logprobs.isnan().any()):
        raise EngineError("the model's logits are not numbers; try dtype float32")
    token_id = int(logits.argmax()) if params.temperature == 0 else _sample(logprobs, params, generator)
    return Draw(token_id, float(logprobs[token_id]))


def _sample(logprobs: "torch.Tensor", params: SamplingParams, generator: "torch.Generator") -> int:
    import torch

    cdf = filtered(logprobs, params).cumsum(dim=0)
    below_total = torch.nextafter(cdf[-1], torch.zeros_like(cdf[-1]))
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    return int(torch.searchsorted(cdf, torch.minimum(uniform * cdf[-1], below_total), right=True))


def filtered(logprobs: "torch.Tensor", params: SamplingParams) -> "torch.Tensor":
    """Unnormalised float64 probabilities of `logprobs`, shape [vocabulary], zero where a filter drops the token."""
    import torch

    probs = torch.softmax((logprobs.double() - logprobs.max()) / params.temperature, dim=-1)
    if params.min_p > 0:
        probs = probs.where(probs >= params.min_p * probs.max(), 0.0)
    if 0 < params.top_k < len(probs):
        probs = probs.where(probs >= probs.topk(params.top_k).values[-1], 0.0)
    if params.top_p < 1:
        probs = _nucleus(probs, params.top_p)
    return probs


def _nucleus(probs: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """The fewest likeliest tokens that hold `top_p` of the mass; of equals, the first of the vocabulary."""
    import torch

    ranked, order = probs.sort(descending=True, stable=True)
    mass_before = ranked.cumsum(dim=0) - ranked
    kept = order[mass_before < top_p * ranked.sum()]
    return torch.zeros_like(probs).index_copy(0, kept, probs[kept])
