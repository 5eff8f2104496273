"""vLLM as an engine: servers of ours, watched and restarted, and the client that speaks to them.

An Engine around an Engine: `openai_api` plays the turns, this starts what it plays them on.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

import anyio

from numina_infer.core.config import require
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, EngineStats
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.endpoint_pool import Repair
from numina_infer.engines.http.openai_api import OpenAIDecoder, OpenAIEngine
from numina_infer.engines.local.models import weights_hash
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_log import cause, read_log
from numina_infer.engines.vllm.server_place import PlaceTakenError
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.engines.vocabulary import TokenizerVocabulary

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_MAX_RESTARTS = 3
"""Restarts of a server in a row without a token in between, before it is left dead."""


class ServerGroup:
    """Servers with the same model, started together and ended together: `async with ServerGroup(...) as servers`.

    Servers that run already are used and left running; so are those that `keep` asks to be left.

    Raises on entering:
        EngineError: a server doesn't come up; the text has the cause.
    """

    def __init__(
        self, launches: Sequence[Launch], *, keep: bool, attached: bool | None = None, report: Announce
    ) -> None:
        """`attached` ends kept servers with this process; see `VllmServer`."""
        require(bool(launches), "no server is to be started; name at least one GPU, or none at all for the CPU")
        self.servers = tuple(VllmServer(launch, keep=keep, attached=attached, report=report) for launch in launches)
        self._keep = keep

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
            if server.stays:
                server.leave()
        await self.end_ours()

    async def revive(self) -> None:
        """Restart whichever of our servers ends, until cancelled; after three restarts in vain it is left dead."""
        in_vain = dict.fromkeys(self.servers, 0)
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            for server in self.servers:
                if server.is_ours and not server.is_alive and in_vain[server] < _MAX_RESTARTS:
                    in_vain[server] = await _restart(server, in_vain[server])

    async def end_ours(self) -> None:
        """End the servers that this object started."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for server in self.servers:
                    if server.is_ours:
                        group.start_soon(server.stop)


async def _restart(server: VllmServer, num_in_vain: int) -> int:
    """Restart `server`; how many restarts in a row were in vain then, where `num_in_vain` had been."""
    _log.warning("%s ended (%s) and is restarted", server.name, cause(read_log(server.place.log)))
    try:
        await server.restart()
    except PlaceTakenError:
        return num_in_vain  # it is somebody else's try, not one of ours
    except (EngineError, OSError) as error:
        _log.error("%s couldn't be restarted: %s", server.name, error)
        return num_in_vain + 1
    return 0


class VllmEngine:
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
        self._stack = AsyncExitStack()
        self._engine: OpenAIEngine | None = None
        self._restarts = {server: _Restarts() for server in self.servers}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
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
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

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
        """Tokens received, turns in flight, and what went wrong with the servers."""
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
        """What the log of its server says, if that has ended."""
        server = self._server(endpoint)
        return "" if server.is_alive else cause(read_log(server.place.log)) or "its log names no cause"

    async def repair(self, endpoint: Endpoint) -> Repair:
        """Restart the server behind `endpoint`, but not over and over without a token in between."""
        server = self._server(endpoint)
        restarts = self._restarts[server]
        if not restarts.may_restart(endpoint.num_signs):
            return Repair.GIVEN_UP
        self._report(f"{server.name} is restarted")
        try:
            await server.restart()
        except PlaceTakenError:
            restarts.num_in_vain -= 1  # it is somebody else's try, not one of ours
            return Repair.FAILED
        except (EngineError, OSError) as error:
            _log.warning("%s couldn't be restarted: %s", server.name, error)
            return Repair.GIVEN_UP if restarts.num_in_vain == _MAX_RESTARTS else Repair.FAILED
        return Repair.DONE

    def _server(self, endpoint: Endpoint) -> VllmServer:
        return self.servers[self._running.pool.endpoints.index(endpoint)]


@dataclass(slots=True)
class _Restarts:
    """How often a server was restarted."""

    num_in_vain: int = 0
    """In a row, without a sign of life in between."""
    num_signs: int = 0

    def may_restart(self, num_signs: int) -> bool:
        """Count one more, if there may be one; `num_signs` is what came from the server so far."""
        if num_signs > self.num_signs:
            self.num_in_vain, self.num_signs = 0, num_signs
        self.num_in_vain += 1
        return self.num_in_vain <= _MAX_RESTARTS
