"""A real vLLM server with a small model, for tests that speak to one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from numina_infer.engine_config import ClientConfig, ServerConfig
from numina_infer.engines.launch import Launch
from numina_infer.engines.openai_api import OpenAIEngine
from numina_infer.engines.vllm_python import find_vllm_python
from numina_infer.engines.vllm_server import VllmServer
from numina_infer.engines.vocabulary import TokenizerVocabulary


def vllm_python() -> Path:
    """The interpreter under test; the test is skipped where there is none and nobody asked for one."""
    return find_vllm_python(os.environ.get("NUMINA_VLLM_PYTHON", ""))


def tiny_launch(model: Path, *extra: str, **config: Any) -> Launch:
    """A server for the tiny model."""
    settings = ServerConfig(**{"max_model_len": 1024, "cpu_kv_cache_gib": 1, "start_timeout_s": 400.0, **config})
    return Launch(vllm_python(), model, settings, extra=extra)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that was started for several tests."""

    server: VllmServer

    def engine(self, **limits: Any) -> OpenAIEngine:
        """A client with limits of its own, not entered yet."""
        vocabulary = TokenizerVocabulary.from_folder(self.server.launch.model)
        return OpenAIEngine([self.server.address], vocabulary, ClientConfig(**limits))


@contextmanager
def started(launch: Launch) -> Iterator[RunningServer]:
    """The server while it runs."""
    server = VllmServer(launch, keep=False, report=print)
    server.start()
    try:
        anyio.run(server.wait_until_healthy)
        yield RunningServer(server)
    finally:
        anyio.run(server.stop)
