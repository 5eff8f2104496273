"""Attention over keys and values that every slot keeps for itself.

One forward pass takes the new tokens of all rows as one packed sequence; only attention looks at each row alone, over
that row's own cache (Orca's selective batching, OSDI 2022). Nothing is padded to the longest row, rows come and go
between passes, and a row's sums don't depend on its neighbours.

So that a row gets the same bits alone and in company, attention over new tokens runs in segments that depend on
positions alone (`segments`), and caches are shared only along those segments (`KVCache.shareable`); `passes` sees to
everything but attention.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numina_infer.core.errors import EngineError

if TYPE_CHECKING:
    import torch

ATTENTION_NAME = "numina_infer_slots"
"""Under this name transformers knows `attend`."""
_SEGMENT = 16
"""Short enough that segments fill a pass of any size well; longer ones make a prompt hardly faster."""
_SMALLEST_CAPACITY = 512


class KVCache:
    """Keys and values of one slot, for the tokens in `ids`; kept after the trajectory, as others may share them."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.data: torch.Tensor | None = None
        """Shape [layers, 2, heads, capacity, head_dim]; None before the first pass."""
        self._num_prompt = 0

    def __len__(self) -> int:
        return len(self.ids)

    def shareable(self, prompt_ids: Sequence[int]) -> int:
        """How many tokens of a new trajectory's prompt can be taken from here, to the bit as if computed anew.

        Only what was computed as a prompt counts, and only whole segments, or all of an identical prompt but its last
        token (which is computed for its logits).
        """
        own = self.ids[: self._num_prompt]
        common = common_prefix(own, prompt_ids[:-1])
        is_same_prompt = common == len(own) == len(prompt_ids) - 1
        return common if is_same_prompt else common - common % _SEGMENT

    def start(self, donor: "KVCache", length: int) -> None:
        """Begin a new trajectory here with `length` tokens of `donor`, which may be this cache itself."""
        if donor is not self and donor.data is not None and length:
            self.ids, self._num_prompt = [], 0
            layers, two, heads, _, head_dim = donor.data.shape
            data = self._reserve((layers, two, heads, length, head_dim), like=donor.data)
            data[..., :length, :] = donor.data[..., :length, :]
        self.ids = donor.ids[:length]
        self._num_prompt = length

    def resume(self, ids: Sequence[int]) -> None:
        """Continue the trajectory that is here; tokens that `ids` no longer begin with are dropped."""
        del self.ids[common_prefix(self.ids, ids[:-1]) :]
        self._num_prompt = min(self._num_prompt, len(self.ids))

    def commit(self, ids: Sequence[int], *, is_prompt: bool) -> None:
        """Note that `ids` have been computed, as a trajectory's first prompt or after it."""
        self.ids += ids
        if is_prompt:
            self._num_prompt = len(self.ids) - 1

    def write(
        self, layer: int, num_layers: int, start: int, keys: "torch.Tensor", values: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Put `keys` and `values`, shape [heads, tokens, head_dim], at position `start`; all up to them come back."""
        heads, tokens, head_dim = keys.shape
        end = start + tokens
        data = self._reserve((num_layers, 2, heads, end, head_dim), like=keys)
        data[layer, 0, :, start:end] = keys
        data[layer, 1, :, start:end] = values
        return data[layer, 0, :, :end], data[layer, 1, :, :end]

    def _reserve(self, shape: tuple[int, int, int, int, int], *, like: "torch.Tensor") -> "torch.Tensor":
        """The data, with room for the tokens of `shape`; capacity at least doubles."""
        layers, two, heads, length, head_dim = shape
        old, capacity = self.data, 0 if self.data is None else self.data.shape[-2]
        if old is not None and length <= capacity:
            return old
        new = like.new_empty((layers, two, heads, max(length, 2 * capacity, _SMALLEST_CAPACITY), head_dim))
        if old is not None:
            new[..., :capacity, :] = old
        self.data = new
        return new


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return index
    return min(len(one), len(other))


@dataclass(frozen=True, slots=True)
class Span:
    """Where new tokens of one row, which attention takes together, stand in the packed sequence."""

    cache: KVCache
    position: int
    """Where the first of them stands in its row."""
    start: int
    end: int


def segments(first: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut the positions `first` to `end` at multiples of the segment length, the last position by itself.

    Where a segment has more than `longest` positions it is cut again.
    """
    while first < end - 1:
        stop = min(first - first % _SEGMENT + _SEGMENT, first + longest, end - 1)
        yield first, stop
        first = stop
    yield end - 1, end


def attend(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    *,
    spans: Sequence[Span] = (),
    scaling: float | None = None,
    **kwargs: object,
) -> tuple["torch.Tensor", None]:
    """Attention as transformers calls it; query, key and value have shape [1, heads, packed tokens, head_dim].

    Positions outside all spans are padding, and come back as zeros.
    """
    if attention_mask is not None or kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None:
        raise EngineError("this model's attention is more than causal softmax; run it with vLLM")
    _, heads, tokens, head_dim = query.shape
    out = query.new_zeros((1, tokens, heads, head_dim))
    for span in spans:
        packed = slice(span.start, span.end)
        num_layers = module.config.num_hidden_layers
        keys, values = span.cache.write(
            module.layer_idx, num_layers, span.position, key[0, :, packed], value[0, :, packed]
        )
        out[0, packed] = _attend_segment(query[0, :, packed], keys, values, scaling).transpose(0, 1)
    return out, None


def _attend_segment(
    query: "torch.Tensor", keys: "torch.Tensor", values: "torch.Tensor", scaling: float | None
) -> "torch.Tensor":
    """The last `tokens` positions over all keys, shape [heads, tokens, head_dim]."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads, tokens, head_dim = query.shape
    kv_heads, length, _ = keys.shape
    if tokens == 1:
        # The heads that share one key head become its queries: no key is copied.
        grouped = query.reshape(1, kv_heads, heads // kv_heads, head_dim)
        out = scaled_dot_product_attention(grouped, keys[None], values[None], scale=scaling)
        return out.reshape(heads, 1, head_dim)
    mask = torch.ones((tokens, length), dtype=torch.bool, device=query.device).tril(length - tokens)
    return scaled_dot_product_attention(
        query[None], keys[None], values[None], attn_mask=mask, scale=scaling, enable_gqa=heads != kv_heads
    )[0]
