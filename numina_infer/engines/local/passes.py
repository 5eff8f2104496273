"""Forward passes whose rows get the same bits whatever else is in the batch.

A matrix library picks its kernel by the number of rows, and kernels add in different orders: which counts agree, and
whether a row's place matters, differs between CPUs, thread counts and shapes. So a pass has one of a few row counts,
and `exact_row_counts` finds those that agree here, with the model's own weights, when it is loaded. A count that
isn't among them is reached with padding. One row a pass agrees with itself on any CPU and is what is left if nothing
else does. The idea of choosing kernels that don't see the batch is «batch invariance» (Thinking Machines, 2025).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numina_infer.engines.local.kv_cache import KVCache, Span, segments

if TYPE_CHECKING:
    import torch

COUNTS = (4, 8, 12, 16, 24, 32, 48, 64, 128)
"""Row counts that are tried. Still larger ones make a prompt little faster, and padding to them costs more."""

_ANCHORS = (24, 16, 12, 32, 48, 8, 4)
"""The counts to compare others with, best first. With torch 2.13 (MKL) 24 rows get the large kernel that prompts
need, and small counts agree with it: 16 rows with AVX-512, 4 and 12 with Intel's AVX2, all on an AMD with AVX2."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows a pass may have, fewest first."""

    counts: tuple[int, ...]

    @property
    def largest(self) -> int:
        """Tokens that fit into one pass."""
        return self.counts[-1]

    def fit(self, num_rows: int) -> int:
        """The least count with room for `num_rows`, which is `largest` at most."""
        return next(count for count in self.counts if count >= num_rows)


_UNTRIED = RowCounts(tuple(range(4, 513, 4)))


@dataclass(frozen=True, slots=True)
class Piece:
    """New tokens of one trajectory that attention takes together."""

    cache: KVCache
    position: int
    ids: Sequence[int]
    is_last: bool
    """Whether the next token is drawn behind its last one."""


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


class Passes:
    """A model, called with one of `row_counts` rows at a time."""

    def __init__(self, model: Any, row_counts: RowCounts) -> None:
        self._model, self._row_counts = model, row_counts

    def logits(self, pieces: Sequence[Piece]) -> "torch.Tensor":
        """Logits behind every last piece, in order, shape [last pieces, vocabulary].

        Keys and values are written behind those of each piece's cache; its `ids` stay for the caller to commit.
        """
        import torch

        return torch.cat([self._run(group) for group in pack(pieces, self._row_counts.largest)])

    def cut(self, cache: KVCache, new_ids: Sequence[int]) -> list[Piece]:
        """As the function `cut`, in pieces that fit."""
        return cut(cache, new_ids, self._row_counts.largest)

    def _run(self, group: Sequence[Piece]) -> "torch.Tensor":
        import torch

        ids: list[int] = []
        positions: list[int] = []
        spans: list[Span] = []
        for piece in group:
            spans.append(Span(piece.cache, piece.position, len(ids), len(ids) + len(piece.ids)))
            positions += range(piece.position, piece.position + len(piece.ids))
            ids += piece.ids
        last = [span.end - 1 for span, piece in zip(spans, group, strict=True) if piece.is_last]
        device = self._model.device
        logits: torch.Tensor = self._model(
            input_ids=torch.tensor([self._padded(ids)], device=device),
            position_ids=torch.tensor([self._padded(positions)], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(self._padded(last), dtype=torch.long, device=device),
            spans=spans,
        ).logits
        return logits[0, : len(last)]

    def _padded(self, items: list[int]) -> list[int]:
        """`items` and zeros up to a row count; the head has rows too, but for a pass of none it does nothing."""
        return items + [0] * (self._row_counts.fit(len(items)) - len(items)) if items else items


def exact_row_counts(model: Any) -> RowCounts:
    """The counts of `COUNTS` that give every row the same bits in any place; (1,) if a row's place always matters.

    Costs a pass through two layers and the head for each count. Off the CPU and in other precisions than float32
    nothing is promised, so nothing is tried.
    """
    import torch

    if model.device.type != "cpu" or model.dtype != torch.float32:
        return _UNTRIED
    with torch.inference_mode(), _shortened(model):
        return agreeing(_equal_rows(model))


def agreeing(tried: "Mapping[int, torch.Tensor]") -> RowCounts:
    """The counts at which every row came out as in the first anchor whose rows are all the same.

    `tried` has, for each of `COUNTS`, what as many equal rows became, shape [count, vocabulary].
    """
    for anchor in _ANCHORS:
        row = tried[anchor][0]
        counts = tuple(count for count in COUNTS if bool((tried[count] == row).all()))
        if anchor in counts:
            return RowCounts(counts)
    return RowCounts((1,))


def _equal_rows(model: Any) -> "dict[int, torch.Tensor]":
    """For each count the logits of as many equal rows: one token each, behind another, so that attention has a choice.

    The order of additions doesn't depend on the numbers, so one token stands for all. The two are taken out of the
    vocabulary's middle, where ordinary ones are.
    """
    num_ids = model.get_input_embeddings().num_embeddings
    first, second = num_ids // 2, num_ids // 3
    cache = KVCache()
    Passes(model, RowCounts((1,))).logits([Piece(cache, 0, [first], is_last=True)])
    cache.commit([first], is_prompt=True)
    row = Piece(cache, 1, [second], is_last=True)
    return {count: Passes(model, RowCounts((count,))).logits([row] * count) for count in COUNTS}


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
