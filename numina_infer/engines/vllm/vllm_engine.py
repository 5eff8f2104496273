"""vLLM as an engine: starts and restarts servers, on which `OpenAIEngine` plays the turns."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, EngineStats
from numina_infer.core.restarts import Openable
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.endpoint_pool import EndpointState
from numina_infer.engines.http.openai_api import OpenAIDecoder, OpenAIEngine
from numina_infer.engines.local.models import weights_hash
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_group import ServerGroup
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.engines.vocabulary import TokenizerVocabulary

_log = logging.getLogger(__name__)


class VllmEngine(Openable):
    """An `Engine` over vLLM servers: `async with VllmEngine(launches, ...) as engine`.

    All `launches` have the same model. With `keep` the servers stay when the engine is left.

    Raises on entering:
        EngineError: a server doesn't come up, or the model's folder has no tokenizer.
    """

    def __init__(
        self, launches: Sequence[Launch], client: ClientConfig, *, keep: bool = False, report: Announce = _log.info
    ) -> None:
        self._group = ServerGroup(launches, keep=keep, report=report)
        self._launches, self._client, self._report = tuple(launches), client, report
        self._engine: OpenAIEngine | None = None
        self._num_signs: dict[VllmServer, int] = {}
        """Pieces of replies that had come from each server at its last repair."""
        self._unproved: set[VllmServer] = set()
        """Servers that were restarted by their last repair."""

    async def _open(self, stack: AsyncExitStack) -> None:
        vocabulary = TokenizerVocabulary.from_folder(self._launches[0].model)
        servers = (await stack.enter_async_context(self._group)).servers
        engine = OpenAIEngine(
            [server.address for server in servers],
            vocabulary,
            # Its first token may take as long as its start: kernels are compiled for it.
            replace(self._client, greet_s=self._launches[0].config.start_timeout_s),
            report=self._report,
            owner=self,
        )
        self._engine = await stack.enter_async_context(engine)

    def slot(self, ticket: int) -> AbstractAsyncContextManager[OpenAIDecoder]:
        """A place for one trajectory, on the server with most room.

        Raises on entering:
            EngineGoneError: every server is left dead, after restarts in vain.
        """
        return self._running.slot(ticket)

    @property
    def stats(self) -> EngineStats:
        """Tokens received, turns in flight, and incidents of the servers."""
        return self._engine.stats if self._engine is not None else EngineStats()

    def describe(self) -> Mapping[str, str | int | float]:
        """Model, versions, arguments and capacity."""
        launch = self._launches[0]
        return {
            **self._running.describe(),
            "engine": "vllm",
            "model": str(launch.model),
            "weights": weights_hash(launch.model),
            "servers": len(self._launches),
            "gpus": ", ".join(gpu for each in self._launches for gpu in each.gpus),
            "arguments": " ".join(launch.arguments),
        }

    @property
    def servers(self) -> tuple[VllmServer, ...]:
        """The servers, one an endpoint."""
        return self._group.servers

    @property
    def _running(self) -> OpenAIEngine:
        if self._engine is None:
            raise EngineError("the engine isn't running; enter it with `async with` first")
        return self._engine

    # The `Owner` of the endpoints.

    def why_gone(self, endpoint: Endpoint) -> str:
        """Why its server has ended, by its log; empty while it runs."""
        return self._server(endpoint).why_gone

    async def repair(self, endpoint: Endpoint) -> EndpointState:
        """Restart the server behind `endpoint`, but not over and over without a token in between."""
        server, num_signs = self._server(endpoint), endpoint.num_signs
        if num_signs > self._num_signs.get(server, 0):
            self._group.restarts[server].worked()
        elif server in self._unproved:
            self._group.restarts[server].failed("gave no token after its restart")
        self._num_signs[server] = num_signs
        self._unproved.discard(server)
        repair = await self._group.restart(server)
        if repair is EndpointState.REPAIRED:
            self._unproved.add(server)
        return repair

    def _server(self, endpoint: Endpoint) -> VllmServer:
        return self.servers[self._running.pool.endpoints.index(endpoint)]
