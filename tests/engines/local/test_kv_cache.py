"""Segments and what caches may share."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from numina_infer.engines.local.passes import KVCache, common_prefix, segments

ids = st.lists(st.integers(0, 2), min_size=1, max_size=200)


@given(st.integers(0, 300), st.integers(1, 300))
def test_segments_cover_all_positions_once_and_end_on_a_single_one(first: int, count: int) -> None:
    """In order, without gaps; boundaries depend on positions alone."""
    cut = list(segments(first, first + count, 16))
    assert cut[0][0] == first
    assert cut[-1] == (first + count - 1, first + count)
    assert all(end == start for (_, end), (start, _) in pairwise(cut))
    assert all(end % 16 == 0 for _, end in cut[:-2])


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_work_on_a_prompt_is_the_same_where_a_shared_beginning_ends(
    length: int, longest: int, data: st.DataObject
) -> None:
    """Whatever whole segments were taken from elsewhere, the remaining ones are those of the whole prompt."""
    shared = data.draw(st.integers(0, (length - 1) // 16)) * 16
    whole, rest = list(segments(0, length, longest)), list(segments(shared, length, longest))
    assert whole[-len(rest) :] == rest


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 40))
def test_no_segment_is_longer_than_a_pass(first: int, count: int, longest: int) -> None:
    """Where few rows fit, segments are cut again."""
    assert all(end - start <= longest for start, end in segments(first, first + count, longest))


@given(ids, ids)
def test_what_is_shared_is_a_common_beginning_that_leaves_the_last_token(own: list[int], asked: list[int]) -> None:
    """In whole segments, or all but the last of an identical prompt."""
    cache = KVCache()
    cache.commit(own, is_prompt=True)
    shared = cache.shareable(asked)
    assert shared < len(asked)
    assert own[:shared] == asked[:shared]
    assert shared % 16 == 0 or own == asked or own[:-1] == asked[:-1]


def test_generated_tokens_are_not_shared() -> None:
    """They were computed one by one, and would be computed otherwise as part of a prompt."""
    cache = KVCache()
    cache.commit([1] * 65, is_prompt=True)
    cache.commit([1] * 100, is_prompt=False)
    assert cache.shareable([1] * 165) == 64


@given(ids, ids)
def test_resuming_keeps_the_common_history_and_leaves_a_token_to_compute(own: list[int], asked: list[int]) -> None:
    """A history that isn't an extension costs time, and is still right."""
    cache = KVCache()
    cache.commit(own, is_prompt=True)
    cache.resume(asked)
    assert cache.ids == asked[: len(cache)]
    assert len(cache) == common_prefix(own, asked[:-1])
