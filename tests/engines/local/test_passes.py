"""Row counts: which agree on this machine, how tokens are packed into them, and what is left where none agree."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.engine_config import TransformersConfig
from numina_infer.engines.local.models import LoadedModel, load
from numina_infer.engines.local.passes import COUNTS, KVCache, Passes, Piece, agreeing, cut, pack

PROMPTS = st.lists(st.integers(1, 200), min_size=1, max_size=8)
CONTEXT, TOKENS = tuple(range(100, 121)), (7, 8, 9)


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)], ids=["one thread", "two threads"])
def loaded(request: pytest.FixtureRequest, tiny_model: Path) -> LoadedModel:
    """The tiny model, and the row counts that were found for it."""
    return load(TransformersConfig(model=str(tiny_model), num_threads=request.param), lambda line: None)


def behind_context(loaded: LoadedModel, counts: tuple[int, ...]) -> Piece:
    """A token behind a short context, which was computed in passes of those counts."""
    cache = KVCache()
    passes = Passes(loaded.model, counts)
    passes.logits(cut(cache, CONTEXT, passes.longest))
    cache.commit(CONTEXT, is_prompt=True)
    return Piece(cache, len(CONTEXT), TOKENS[:1], is_last=True)


def test_a_row_gets_the_same_bits_in_every_place_of_every_count(loaded: LoadedModel) -> None:
    """Through the whole model, among other rows: caches grow alike and the logits are the same numbers."""
    seen: list[torch.Tensor] = []
    with torch.inference_mode():
        row = behind_context(loaded, loaded.row_counts)
        for count in loaded.row_counts:
            for place in {0, 1, count // 2, count - 2, count - 1} & set(range(count)):
                pieces = [Piece(KVCache(), 0, [place + other], is_last=True) for other in range(count)]
                pieces[place] = row
                seen.append(Passes(loaded.model, (count,)).logits(pieces)[place])
    assert len(seen) >= len(loaded.row_counts)
    assert all(torch.equal(logits, seen[0]) for logits in seen)


def test_several_counts_agree_here(loaded: LoadedModel) -> None:
    """On every x86 that was measured; one row a pass keeps the promise too, but at an eighth of the speed."""
    assert loaded.row_counts[-1] >= 24


def test_the_model_is_whole_after_its_rows_were_tried(loaded: LoadedModel) -> None:
    """It is tried with two layers of however many it has."""
    assert len(loaded.model.get_decoder().layers) == loaded.model.config.num_hidden_layers


def test_one_row_a_pass_gives_a_prompt_in_pieces_of_one(loaded: LoadedModel) -> None:
    """The last resort works; up to rounding its logits are those of the large passes."""
    with torch.inference_mode():
        alone = Passes(loaded.model, (1,))
        pieces = cut(KVCache(), CONTEXT, alone.longest)
        together = Passes(loaded.model, loaded.row_counts)
        expected = together.logits(cut(KVCache(), CONTEXT, together.longest))
        assert [len(piece.ids) for piece in pieces] == [1] * len(CONTEXT)
        torch.testing.assert_close(alone.logits(pieces), expected, rtol=1e-3, atol=1e-3)


def outcomes(rows_of: dict[int, list[float]]) -> dict[int, torch.Tensor]:
    """What equal rows became at every count; where nothing is said, each row is 1."""
    return {count: torch.tensor(rows_of.get(count, [1.0] * count))[:, None] for count in COUNTS}


def test_a_count_whose_rows_differ_is_not_used() -> None:
    """Be it from another count's or among themselves, as with Intel's AVX2 kernels and eight rows."""
    tried = outcomes({4: [2.0] * 4, 8: [1.0] * 6 + [2.0] * 2})
    assert agreeing(tried) == tuple(count for count in COUNTS if count not in {4, 8})


def test_where_the_first_anchor_is_uneven_the_next_one_counts() -> None:
    """The counts then are those that agree with it."""
    tried = outcomes({24: [1.0] * 23 + [2.0], 16: [3.0] * 16, 4: [3.0] * 4})
    assert agreeing(tried) == (4, 16)


def test_where_a_rows_place_always_matters_one_row_a_pass_is_left() -> None:
    """A pass of one row has only one place."""
    assert agreeing(outcomes({count: [*[1.0] * (count - 1), 2.0] for count in COUNTS})) == (1,)


@given(PROMPTS, st.integers(1, 130))
def test_packing_loses_no_token_and_overfills_no_pass(lengths: list[int], room: int) -> None:
    """All pieces in order, as many last ones as there are trajectories."""
    pieces = list(chain.from_iterable(cut(KVCache(), range(length), room) for length in lengths))
    groups = list(pack(pieces, room))
    assert list(chain.from_iterable(groups)) == pieces
    assert all(0 < sum(len(piece.ids) for piece in group) <= room for group in groups)
    assert [token for piece in pieces for token in piece.ids] == [token for n in lengths for token in range(n)]
    assert sum(piece.is_last for piece in pieces) == len(lengths)
