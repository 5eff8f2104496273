"""Forward passes over keys and values that every slot keeps for itself, whose rows get the same bits in any batch.

One pass takes the new tokens of all rows as one packed sequence; only attention looks at each row alone, over that
row's own cache (Orca's selective batching, OSDI 2022). Nothing is padded to the longest row, rows come and go between
passes, and a row's sums don't depend on its neighbours: attention over new tokens runs in segments that depend on
positions alone (`segments`), and caches are shared only along those segments (`KVCache.shareable`).

A matrix library picks its kernel by the number of rows, and kernels add in different orders: which counts agree, and
whether a row's place matters, differs between CPUs, thread counts and shapes. So a pass is padded to one of the few
row counts that `exact_row_counts` found to agree here when the model was loaded; one row a pass always agrees. This
is «batch invariance» (Thinking Machines, 2025) by the choice of kernels.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from numina_infer.core.errors import EngineError

ATTENTION_NAME = "numina_infer_slots"
"""Under this name transformers knows `attend`."""
COUNTS = (4, 8, 12, 16, 24, 32, 48, 64, 128)
"""Row counts that are tried. Still larger ones make a prompt little faster, and padding to them costs more."""
_ANCHORS = (24, 16, 12, 32, 48, 8, 4)
"""The counts to compare others with, best first. With torch 2.13 (MKL) 24 rows get the large kernel that prompts
need, and small counts agree with it: 16 rows with AVX-512, 4 and 12 with Intel's AVX2, all on an AMD with AVX2."""
_UNTRIED = tuple(range(4, 513, 4))
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
        self, layer: int, num_layers: int, start: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put `keys` and `values`, shape [heads, tokens, head_dim], at position `start`; all up to them come back."""
        heads, tokens, head_dim = keys.shape
        end = start + tokens
        data = self._reserve((num_layers, 2, heads, end, head_dim), like=keys)
        data[layer, 0, :, start:end] = keys
        data[layer, 1, :, start:end] = values
        return data[layer, 0, :, :end], data[layer, 1, :, :end]

    def _reserve(self, shape: tuple[int, int, int, int, int], *, like: torch.Tensor) -> torch.Tensor:
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
class Piece:
    """New tokens of one trajectory that attention takes together."""

    cache: KVCache
    position: int
    """Where the first of them stands in its row."""
    ids: Sequence[int]
    is_last: bool
    """Whether the next token is drawn behind its last one."""


def segments(first: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut the positions `first` to `end` at multiples of the segment length, the last position by itself.

    Where a segment has more than `longest` positions it is cut again.
    """
    while first < end - 1:
        stop = min(first - first % _SEGMENT + _SEGMENT, first + longest, end - 1)
        yield first, stop
        first = stop
    yield end - 1, end


def cut(cache: KVCache, new_ids: Sequence[int], longest: int) -> list[Piece]:
    """The tokens behind those of `cache`, in pieces of at most `longest` tokens; the last token is a piece."""
    past = len(cache)
    end = past + len(new_ids)
    return [
        Piece(cache, first, new_ids[first - past : stop - past], is_last=stop == end)
        for first, stop in segments(past, end, longest)
    ]


def pack(pieces: Sequence[Piece], room: int) -> Iterator[list[Piece]]:
    """The same pieces in the same order, in groups of at most `room` tokens."""
    group: list[Piece] = []
    taken = 0
    for piece in pieces:
        if taken + len(piece.ids) > room:
            yield group
            group, taken = [], 0
        group.append(piece)
        taken += len(piece.ids)
    yield group


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    pieces: Sequence[Piece] = (),
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it; query, key and value have shape [1, heads, packed tokens, head_dim].

    `pieces` lie one behind the other in the packed tokens; what follows is padding, and comes back as zeros.
    """
    if attention_mask is not None or kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None:
        raise EngineError("this model's attention is more than causal softmax; run it with vLLM")
    _, heads, tokens, head_dim = query.shape
    out = query.new_zeros((1, tokens, heads, head_dim))
    num_layers, start = module.config.num_hidden_layers, 0
    for piece in pieces:
        packed = slice(start, start + len(piece.ids))
        start = packed.stop
        keys, values = piece.cache.write(
            module.layer_idx, num_layers, piece.position, key[0, :, packed], value[0, :, packed]
        )
        out[0, packed] = _attend_piece(query[0, :, packed], keys, values, scaling).transpose(0, 1)
    return out, None


def _attend_piece(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """The last `tokens` positions over all keys, shape [heads, tokens, head_dim]."""
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


class Passes:
    """A model, called with one of `row_counts` rows at a time, fewest first."""

    def __init__(self, model: Any, row_counts: tuple[int, ...]) -> None:
        self._model, self._row_counts = model, row_counts
        self.longest = row_counts[-1]
        """Tokens that fit into one pass."""

    def logits(self, pieces: Sequence[Piece]) -> torch.Tensor:
        """Logits behind every last piece, in order, shape [last pieces, vocabulary].

        Keys and values are written behind those of each piece's cache; its `ids` stay for the caller to commit.
        """
        return torch.cat([self._run(group) for group in pack(pieces, self.longest)])

    def _run(self, group: Sequence[Piece]) -> torch.Tensor:
        ids: list[int] = []
        positions: list[int] = []
        last: list[int] = []
        for piece in group:
            ids += piece.ids
            positions += range(piece.position, piece.position + len(piece.ids))
            last += [len(ids) - 1] if piece.is_last else []
        device = self._model.device
        logits: torch.Tensor = self._model(
            input_ids=torch.tensor([self._padded(ids)], device=device),
            position_ids=torch.tensor([self._padded(positions)], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(self._padded(last), dtype=torch.long, device=device),
            pieces=group,
        ).logits
        return logits[0, : len(last)]

    def _padded(self, items: list[int]) -> list[int]:
        """`items` and zeros up to a row count; the head has rows too, but for a pass of none it does nothing."""
        count = next(count for count in self._row_counts if count >= len(items))
        return items + [0] * (count - len(items)) if items else items


def exact_row_counts(model: Any) -> tuple[int, ...]:
    """The counts of `COUNTS` that give every row the same bits in any place; (1,) if a row's place always matters.

    Costs a pass through two layers and the head for each count. Off the CPU and in other precisions than float32
    nothing is promised, so nothing is tried.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32:
        return _UNTRIED
    with torch.inference_mode(), _shortened(model):
        return agreeing(_equal_rows(model))


def agreeing(tried: Mapping[int, torch.Tensor]) -> tuple[int, ...]:
    """The counts at which every row came out as in the first anchor whose rows are all the same.

    `tried` has, for each of `COUNTS`, what as many equal rows became, shape [count, vocabulary].
    """
    for anchor in _ANCHORS:
        row = tried[anchor][0]
        counts = tuple(count for count in COUNTS if bool((tried[count] == row).all()))
        if anchor in counts:
            return counts
    return (1,)


def _equal_rows(model: Any) -> dict[int, torch.Tensor]:
    """For each count the logits of as many equal rows: one token each, behind another, so that attention has a choice.

    The order of additions doesn't depend on the numbers, so one token stands for all. The two are taken out of the
    vocabulary's middle, where ordinary ones are.
    """
    num_ids = model.get_input_embeddings().num_embeddings
    first, second = num_ids // 2, num_ids // 3
    cache = KVCache()
    Passes(model, (1,)).logits([Piece(cache, 0, [first], is_last=True)])
    cache.commit([first], is_prompt=True)
    row = Piece(cache, 1, [second], is_last=True)
    return {count: Passes(model, (count,)).logits([row] * count) for count in COUNTS}


@contextmanager
def _shortened(model: Any) -> Iterator[None]:
    """`model` with its first two layers only, as all layers have products of the same shapes; whole if it has none."""
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is None:
        yield
        return
    decoder.layers = layers[:2]
    try:
        yield
    finally:
        decoder.layers = layers
