"""What a server that isn't ours may say when it is asked what it can do: an `EngineError` or something to work with.

The watch over all endpoints looks at it for ever, so nothing else may come out of a look.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.core.errors import EngineError
from numina_infer.engines.http.endpoint import counter, kv_tokens
from tests.fuzz.damage import DEEP, altered, json_values
from tests.fuzz.endpoints import METRICS, MODELS, TRIAL, greet, told

pytestmark = pytest.mark.anyio
lines = st.lists(
    st.sampled_from(
        [
            *(
                "vllm:generation_tokens_total",
                "vllm:cache_config_info",
                "{",
                "}",
                '"',
                "=",
                ",",
                " ",
                "\n",
                "NaN",
                "Inf",
            ),
            *("block_size", "num_gpu_blocks", "16", "1e400", "-1", "x", "٣", "\r", METRICS),
        ]
    ),
    max_size=20,
).map("".join)


@given(lines | st.text())
def test_any_metrics_are_counted_as_far_as_they_are_numbers(metrics: str) -> None:
    """Prometheus' text format, or whatever stands in its place."""
    assert isinstance(counter(metrics, "vllm:generation_tokens_total"), float)
    tokens = kv_tokens(metrics)
    assert tokens is None or tokens > 0


def test_good_metrics_are_counted() -> None:
    """Over all labels."""
    assert counter(METRICS, "vllm:generation_tokens_total") == 12.0
    assert kv_tokens(METRICS) == 1600


async def test_a_good_endpoint_is_known() -> None:
    """As it says itself."""
    assert await greet(told()) is not None


REPLIES: list[Callable[..., Any]] = [
    lambda content: told(models=content),
    lambda content: told(trial=content),
    lambda content: told(version=content),
]


@given(st.sampled_from(REPLIES), altered(MODELS) | altered(TRIAL) | json_values | st.binary(max_size=20))
@example(REPLIES[0], {"data": [{"id": ["no text"]}]})
def test_any_reply_makes_an_endpoint_known_or_refused(
    tell: Callable[[object], dict[str, bytes]], content: object
) -> None:
    """Fields of any type, missing ones, and no JSON."""
    import anyio

    abilities = anyio.run(greet, tell(content))
    if abilities is not None:
        assert isinstance(abilities.model, str)
        assert abilities.max_model_len is None or type(abilities.max_model_len) is int
        assert isinstance(abilities.version, str)


@pytest.mark.parametrize("tell", REPLIES, ids=["models", "trial", "version"])
async def test_a_nest_that_is_too_deep_is_no_reply(tell: Callable[[object], dict[str, bytes]]) -> None:
    """Python's reader gives up on it in its own way."""
    with suppress(EngineError):
        await greet(tell(b"[" * DEEP))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["", "half \ud83d", 5, None])
async def test_a_model_whose_name_no_request_can_bear_is_no_model(name: object) -> None:
    """The endpoint is refused at its greeting, and not by an exception in the middle of a contest."""
    assert await greet(told(models={"data": [{"id": name}]})) is None
