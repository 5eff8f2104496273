"""vLLM as an engine: servers of ours, watched and restarted, and the client that speaks to them.

An Engine around an Engine: `openai_api` plays the turns, this starts what it plays them on.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Self

import anyio
from anyio.abc import TaskGroup

from numina_infer.config import require
from numina_infer.engine_config import ClientConfig
from numina_infer.engines import server_place
from numina_infer.engines.endpoint import Endpoint
from numina_infer.engines.launch import Launch
from numina_infer.engines.openai_api import OpenAIDecoder, OpenAIEngine
from numina_infer.engines.pool import Trouble
from numina_infer.engines.server_log import cause, read_log
from numina_infer.engines.server_place import Note, ServerPlace
from numina_infer.engines.smollm2 import Report
from numina_infer.engines.vllm_server import VllmServer, end_keeper
from numina_infer.engines.vocabulary import TokenizerVocabulary
from numina_infer.errors import EngineError
from numina_infer.ports import EngineStats

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
        self, launches: Sequence[Launch], *, keep: bool, attached: bool | None = None, report: Report
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
        if not self._keep:
            await self.end_ours()

    async def revive(self) -> None:
        """Restart whichever of our servers ends, until cancelled; after three restarts in vain it is left dead."""
        in_vain = dict.fromkeys(self.servers, 0)
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            for server in self.servers:
                if server.is_ours and not server.is_alive and in_vain[server] < _MAX_RESTARTS:
                    in_vain[server] = in_vain[server] + 1 if not await _restarted(server) else 0

    async def end_ours(self) -> None:
        """End the servers that this object started."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for server in self.servers:
                    if server.is_ours:
                        group.start_soon(server.stop)


async def _restarted(server: VllmServer) -> bool:
    """Restart `server`; False where it doesn't come up."""
    _log.warning("%s ended (%s) and is restarted", server.name, cause(read_log(server.place.log)))
    try:
        await server.restart()
    except EngineError as error:
        _log.error("%s couldn't be restarted: %s", server.name, error)
        return False
    return True


async def end_kept(place: ServerPlace, note: Note) -> None:
    """End a server that was left running."""
    await end_keeper(note)
    place.kill_leftovers()
    place.remove()


class VllmEngine:
    """An `Engine` over vLLM servers: `async with VllmEngine(launches, ...) as engine`.

    All `launches` have the same model. With `keep` the servers stay when the engine is left.

    Raises on entering:
        EngineError: a server doesn't come up, or the model's folder has no tokenizer.
    """

    def __init__(
        self, launches: Sequence[Launch], client: ClientConfig, *, keep: bool = False, report: Report = _log.info
    ) -> None:
        self._group = ServerGroup(launches, keep=keep, report=report)
        self._launches, self._client, self._report = tuple(launches), client, report
        self._stack = AsyncExitStack()
        self._engine: OpenAIEngine | None = None
        self._tasks: TaskGroup | None = None
        self._restarting: set[VllmServer] = set()
        self._given_up: set[VllmServer] = set()
        self._tokens_at_restart: dict[VllmServer, int] = {}
        self._restarts: dict[VllmServer, int] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            vocabulary = TokenizerVocabulary.from_folder(self._launches[0].model)
            servers = (await stack.enter_async_context(self._group)).servers
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._tasks.cancel_scope.cancel)
            engine = OpenAIEngine(
                [server.address for server in servers],
                vocabulary,
                self._client,
                report=self._report,
                repair=self._repair,
            )
            self._engine = await stack.enter_async_context(engine)
            self._tasks.start_soon(self._watch)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[OpenAIDecoder]:
        """A place for one trajectory, on the server with most room."""
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

    async def _watch(self) -> None:
        """See at once when a process ends, also while nothing is being generated."""
        pool = self._running.pool
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            for server, endpoint in zip(self.servers, pool.endpoints, strict=True):
                if not server.is_alive and server not in self._restarting | self._given_up:
                    why = cause(read_log(server.place.log)) or "its log names no cause"
                    await pool.lose(endpoint, f"ended ({why})")
                    await self._repair(endpoint, Trouble.LOST)

    async def _repair(self, endpoint: Endpoint, trouble: Trouble) -> None:
        """Set about restarting the server behind `endpoint` if it is ours and needs it."""
        index = self._running.pool.endpoints.index(endpoint)
        server = self.servers[index]
        if server.is_ours and server not in self._restarting | self._given_up and self._tasks is not None:
            self._restarting.add(server)
            self._tasks.start_soon(self._restart, server, endpoint, trouble)

    async def _restart(self, server: VllmServer, endpoint: Endpoint, trouble: Trouble) -> None:
        try:
            if trouble is Trouble.LOST and server.is_alive and await endpoint.is_healthy():
                return  # a turn was lost, not the server; the pool takes it again
            if not self._may_restart(server):
                self._given_up.add(server)
                _log.error("%s is left dead after %d restarts in a row", server.name, _MAX_RESTARTS)
                return
            self._report(f"{server.name} is restarted")
            await server.restart()
        except EngineError as error:
            _log.warning("%s couldn't be restarted: %s", server.name, error)
        finally:
            self._restarting.discard(server)

    def _may_restart(self, server: VllmServer) -> bool:
        """Not over and over without a token in between."""
        num_tokens = self.stats.num_tokens
        in_vain = self._tokens_at_restart.get(server) == num_tokens
        self._restarts[server] = self._restarts.get(server, 0) + 1 if in_vain else 1
        self._tokens_at_restart[server] = num_tokens
        return self._restarts[server] <= _MAX_RESTARTS
