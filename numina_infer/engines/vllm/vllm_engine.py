"""vLLM as an engine: starts and restarts servers, on which `OpenAIEngine` plays the turns."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Self

import anyio

from numina_infer.core.config import require
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, EngineStats
from numina_infer.core.restarts import Openable, RestartPolicy, Restarts
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.endpoint_pool import Repair
from numina_infer.engines.http.openai_api import OpenAIDecoder, OpenAIEngine
from numina_infer.engines.local.models import weights_hash
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_place import PlaceTakenError
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.engines.vocabulary import TokenizerVocabulary

_log = logging.getLogger(__name__)

_RESTARTS = RestartPolicy(max_starts=3, pause_s=0.5)
"""A restart after which the server gives no token has failed too."""


class ServerGroup:
    """Servers with the same model, started together and ended together: `async with ServerGroup(...) as servers`.

    Servers that run already are used and left running, and with `keep` those that are started here.

    Raises on entering:
        EngineError: a server doesn't come up; the text has the cause.
    """

    def __init__(
        self, launches: Sequence[Launch], *, keep: bool, attached: bool | None = None, report: Announce
    ) -> None:
        """`attached` ends kept servers with this process; see `VllmServer`."""
        require(bool(launches), "no server is to be started; name at least one GPU, or none at all for the CPU")
        self.servers = tuple(VllmServer(launch, keep=keep, attached=attached, report=report) for launch in launches)
        self.restarts = {server: Restarts(server.name, _RESTARTS) for server in self.servers}
        self._keep, self._report = keep, report

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as failing:
            failing.push_async_callback(self.end_ours)
            with ExitStack() as locks:
                for server in self.servers:
                    if self._keep:
                        locks.enter_context(server_place.kept(server.launch.key).alone())
                    if not server.find():
                        server.start()
                for server in self.servers:
                    await server.wait_until_healthy()
            failing.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers:
            server.is_ours &= not server.stays
        await self.end_ours()

    async def revive(self) -> None:
        """Restart each of our servers that ends, until cancelled; after three restarts in vain it is left dead."""
        while True:
            await anyio.sleep(_RESTARTS.pause_s)
            for server in self.servers:
                if server.is_ours and not server.is_alive and await self.restart(server) is Repair.DONE:
                    self.restarts[server].worked()

    async def restart(self, server: VllmServer) -> Repair:
        """Restart `server`, unless it failed too often in a row."""
        restarts = self.restarts[server]
        if restarts.gives_up():
            return Repair.GIVEN_UP
        why = server.why_gone
        with suppress(OSError):  # a console that can't be written to costs no server
            self._report(f"{server.name} {f'ended ({why}) and ' if why else ''}is restarted")
        try:
            await server.restart()
        except PlaceTakenError:
            return Repair.FAILED  # another process is starting it, so this one didn't fail
        except (EngineError, OSError) as error:
            restarts.failed("couldn't be restarted", error)
            return Repair.GIVEN_UP if restarts.gives_up() else Repair.FAILED
        return Repair.DONE

    async def end_ours(self) -> None:
        """End the servers that this object started."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for server in self.servers:
                    if server.is_ours:
                        group.start_soon(server.stop)


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

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[OpenAIDecoder]:
        """A place for one trajectory, on the server with most room.

        Raises:
            EngineGoneError: every server is left dead, after restarts in vain.
        """
        async with self._running.slot(ticket) as decoder:
            yield decoder

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

    async def repair(self, endpoint: Endpoint) -> Repair:
        """Restart the server behind `endpoint`, but not over and over without a token in between."""
        server, num_signs = self._server(endpoint), endpoint.num_signs
        if num_signs > self._num_signs.get(server, 0):
            self._group.restarts[server].worked()
        elif server in self._unproved:
            self._group.restarts[server].failed("gave no token after its restart")
        self._num_signs[server] = num_signs
        self._unproved.discard(server)
        repair = await self._group.restart(server)
        if repair is Repair.DONE:
            self._unproved.add(server)
        return repair

    def _server(self, endpoint: Endpoint) -> VllmServer:
        return self.servers[self._running.pool.endpoints.index(endpoint)]
