"""The next token."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.engines.local.decoding import draw, filtered, seeded

logits = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=30).map(torch.tensor)
params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([1e-300, 1e-3, 0.7, 1.0, 5.0]),
    top_p=st.sampled_from([1e-9, 0.3, 0.9, 1.0]),
    top_k=st.integers(0, 35),
    min_p=st.sampled_from([0.0, 0.1, 0.99]),
)


@given(logits, params, st.integers(0, 2**70))
def test_only_tokens_that_the_filters_keep_are_drawn(row: torch.Tensor, sampling: SamplingParams, seed: int) -> None:
    """And there always is one; its log probability is the unfiltered model's."""
    drawn = draw(row, sampling, seeded(seed))
    assert filtered(torch.log_softmax(row, -1), sampling)[drawn.token_id] > 0
    assert drawn.logprob == float(torch.log_softmax(row, -1)[drawn.token_id])


@given(logits, st.integers(0, 100))
def test_temperature_zero_takes_the_likeliest(row: torch.Tensor, seed: int) -> None:
    """Whatever the seed."""
    assert draw(row, SamplingParams(temperature=0), seeded(seed)).token_id == int(row.argmax())


@given(logits, st.floats(0.01, 0.99))
def test_the_nucleus_is_the_smallest_set_that_holds_top_p(row: torch.Tensor, top_p: float) -> None:
    """Without its unlikeliest member it holds less."""
    probs = torch.softmax(row.double(), -1)
    kept = filtered(torch.log_softmax(row, -1), SamplingParams(temperature=1, top_p=top_p)) > 0
    mass = float(probs[kept].sum())
    assert mass >= top_p - 1e-5
    assert mass - float(probs[kept].min()) < top_p + 1e-5


def test_top_k_and_min_p_keep_what_they_say() -> None:
    """Probabilities 0.5, 0.25, 0.125, 0.125."""
    row = torch.tensor([4.0, 2.0, 1.0, 1.0]).log()
    assert (filtered(row, SamplingParams(temperature=1, top_k=2)) > 0).tolist() == [True, True, False, False]
    assert (filtered(row, SamplingParams(temperature=1, min_p=0.4)) > 0).tolist() == [True, True, False, False]


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    """Within four standard deviations over 4,000 draws from one generator."""
    row, generator, num_draws = torch.tensor([3.0, 2.0, 1.0]).log(), seeded(0), 4000
    counts = [0, 0, 0]
    for _ in range(num_draws):
        counts[draw(row, SamplingParams(temperature=1), generator).token_id] += 1
    for count, weight in zip(counts, (3, 2, 1), strict=True):
        chance = weight / 6
        assert abs(count - num_draws * chance) < 4 * math.sqrt(num_draws * chance * (1 - chance))


def test_the_seed_alone_decides_what_is_drawn() -> None:
    """The same seed draws the same tokens, another seed others; the global generator has no say."""
    row = torch.zeros(1000)

    def tokens(seed: int) -> list[int]:
        generator = seeded(seed)
        return [draw(row, SamplingParams(temperature=1), generator).token_id for _ in range(5)]

    first = tokens(1)
    torch.rand(3)
    assert tokens(1) == first
    assert tokens(2) != first


def test_logits_that_are_not_numbers_are_an_error() -> None:
    """Not a silent token."""
    with pytest.raises(EngineError, match="try dtype float32"):
        draw(torch.tensor([0.0, math.nan]), SamplingParams(), seeded(0))
