"""An endpoint that says what a test wants it to say."""

import json
from typing import Any

import pytest

from numina_infer.core.errors import EngineError
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.wire import Abilities

MODELS = {"object": "list", "data": [{"id": "m", "max_model_len": 4096, "root": "/m"}]}
TRIAL = {"choices": [{"text": "", "token_ids": [0], "finish_reason": "length"}]}
METRICS = (
    'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n'
    'vllm:generation_tokens_total{model_name="m"} 5.0\n'
    "vllm:generation_tokens_total 7\n"
)


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


def as_bytes(content: object) -> bytes:
    """As JSON, unless it is bytes."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def told(models: object = MODELS, trial: object = TRIAL, version: object = None) -> dict[str, bytes]:
    """Replies of an endpoint, by path."""
    return {
        "/v1/models": as_bytes(models),
        "/v1/completions": as_bytes(trial),
        "/version": as_bytes(version),
        "/metrics": METRICS.encode(),
        "/health": b"",
    }
