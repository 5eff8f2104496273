"""A real vLLM server with a small model, for tests that speak to one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig, ServerConfig
from numina_infer.core.ports import Cutoff, Engine
from numina_infer.core.records import Completion
from numina_infer.engines.http.openai_api import OpenAIEngine
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import Launch, find_vllm_python
from numina_infer.engines.vllm.server_place import ServerPlace
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.engines.vocabulary import TokenizerVocabulary


def vllm_python() -> Path:
    """The interpreter under test; the test is skipped where there is none and nobody asked for one."""
    return find_vllm_python(os.environ.get("NUMINA_VLLM_PYTHON", ""))


def processes(place: ServerPlace) -> list[int]:
    """The processes of the server in `place`, by the mark that all of them bear."""
    mark = f"{server_place.MARK}={place.folder}".encode()
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if mark in _environment(entry)]


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def named(place: ServerPlace, name: str) -> int:
    """The process of the server in `place` that calls itself `name`."""
    (pid,) = [pid for pid in processes(place) if name in Path(f"/proc/{pid}/cmdline").read_text()]
    return pid


async def write(engine: Engine, seed: int, max_tokens: int = 40) -> Completion:
    """One turn in a slot of its own."""
    async with engine.slot(0) as decoder:
        params = SamplingParams(max_tokens=max_tokens)
        return await decoder.generate(["What is 1 plus 2?"], params, seed=seed, cutoff=Cutoff(float("inf")))


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
