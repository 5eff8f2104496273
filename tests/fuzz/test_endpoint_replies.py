"""What a server that isn't ours may say when it is asked what it can do: an `EngineError` or something to work with.

The watch over all endpoints looks at it for ever, so nothing else may come out of a look.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.core.errors import EngineError
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Abilities, Endpoint, counter, kv_tokens
from tests.fuzz.damage import DEEP, altered, json_values

pytestmark = pytest.mark.anyio
MODELS = {"object": "list", "data": [{"id": "m", "max_model_len": 4096, "root": "/m"}]}
TRIAL = {"choices": [{"text": "", "token_ids": [0], "finish_reason": "length"}]}
METRICS = (
    'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n'
    'vllm:generation_tokens_total{model_name="m"} 5.0\n'
    "vllm:generation_tokens_total 7\n"
)
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


class Said:
    """A client in the place of the real one, whose every reply is what it was told, so that no socket is needed."""

    def __init__(self, by_path: dict[str, bytes]) -> None:
        self._by_path = by_path

    async def get(self, path: str) -> Any:
        """What stands for `path`."""
        return self._response(path)

    async def post(self, path: str, json: object) -> Any:
        """The same."""
        return self._response(path)

    def _response(self, path: str) -> Any:
        import httpx2

        return httpx2.Response(200 if path in self._by_path else 404, content=self._by_path.get(path, b""))


async def greet(by_path: dict[str, bytes]) -> Abilities | None:
    """What an endpoint that says so can do; None where it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Address, "client", lambda self: Said(by_path))
        endpoint = Endpoint(Address.parse("http://127.0.0.1:9"))
    try:
        return await endpoint.greet()
    except EngineError:
        return None


def told(models: object = MODELS, trial: object = TRIAL, version: object = None) -> dict[str, bytes]:
    """Replies of an endpoint, by path."""
    return {
        "/v1/models": as_bytes(models),
        "/v1/completions": as_bytes(trial),
        "/version": as_bytes(version),
        "/metrics": METRICS.encode(),
        "/health": b"",
    }


def as_bytes(content: object) -> bytes:
    """As JSON, unless it is bytes."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


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
