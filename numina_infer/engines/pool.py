"""All endpoints of an engine: greeted at first, then watched, given up when they stall, taken again once healthy.

An endpoint that gives no token for `stall_s` while it has turns in flight is looked at and given up: its turns are
lost, to be played again, and `repair` is told, which restarts a server that is ours.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Self

import anyio
from anyio.abc import TaskGroup

from numina_infer.config import require
from numina_infer.engine_config import ClientConfig
from numina_infer.engines.address import Address
from numina_infer.engines.admission import Admission, Room
from numina_infer.engines.endpoint import Abilities, Endpoint, EndpointBusyError, EndpointLostError
from numina_infer.engines.smollm2 import Report
from numina_infer.engines.wire import Dialect
from numina_infer.errors import EngineError

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
UNKNOWN_WINDOW = 1_000_000
"""Tokens of context where no endpoint says how many it has: they end a text that is too long themselves."""


class Trouble(StrEnum):
    """Why an endpoint was given up."""

    LOST = "lost"
    """A turn on it was lost, or its process ended."""
    STALLED = "stalled"
    """It gave no token for too long."""


Repair = Callable[[Endpoint, Trouble], Awaitable[None]]
"""Told of an endpoint that was given up, to set about putting it right; returns soon."""


async def leave_alone(_endpoint: Endpoint, _trouble: Trouble) -> None:
    """Somebody else's server: it comes back or it doesn't."""


class EndpointPool:
    """Endpoints and the seats on them: `async with EndpointPool(addresses, config, ...) as pool`."""

    def __init__(
        self,
        addresses: Sequence[Address],
        config: ClientConfig,
        *,
        with_tokens: bool,
        report: Report,
        repair: Repair = leave_alone,
    ) -> None:
        """`with_tokens` says that somebody here has the model's vocabulary."""
        require(bool(addresses), "no endpoint is named; give at least one")
        self.endpoints = tuple(Endpoint(address) for address in addresses)
        self.incidents: list[str] = []
        """What went wrong with endpoints so far, in order."""
        self._config, self._with_tokens = config, with_tokens
        self._report, self._repair = report, repair
        self._stack = AsyncExitStack()
        self._seats: Admission[Endpoint] | None = None
        self._looking: set[Endpoint] = set()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for endpoint in self.endpoints:
                await stack.enter_async_context(endpoint)
            await self._greet_all()
            self._seats = Admission([self._room(endpoint) for endpoint in self.endpoints], self.max_model_len)
            group = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(group.cancel_scope.cancel)
            group.start_soon(self._watch, group)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._stack.aclose()

    @property
    def known(self) -> tuple[Abilities, ...]:
        """What those endpoints can do that have answered."""
        return tuple(endpoint.abilities for endpoint in self.endpoints if endpoint.abilities is not None)

    @property
    def max_model_len(self) -> int:
        """The context window that all endpoints have, in tokens, or the smaller one that was asked for."""
        windows = [abilities.max_model_len for abilities in self.known if abilities.max_model_len]
        return min([*windows, self._config.max_model_len or UNKNOWN_WINDOW])

    @property
    def seats(self) -> Admission[Endpoint]:
        """Who may decode where."""
        if self._seats is None:
            raise EngineError("the engine isn't running; enter it with `async with` first")
        return self._seats

    @property
    def has_open_room(self) -> bool:
        """Whether any endpoint is there."""
        return any(room.is_open for room in self.seats.rooms)

    async def lose(self, endpoint: Endpoint, why: str, trouble: Trouble = Trouble.LOST) -> None:
        """Give `endpoint` up, once, and have it put right."""
        room = next(room for room in self.seats.rooms if room.place is endpoint)
        if not room.is_open:
            return
        self._note(endpoint, why)
        self.seats.close(room)
        endpoint.give_up()
        await self._repair(endpoint, trouble)

    async def _greet_all(self) -> None:
        """Greet every endpoint at once; those that don't answer in time are left for the watch to find."""
        async with anyio.create_task_group() as group:
            for endpoint in self.endpoints:
                group.start_soon(self._greet, endpoint)
        if not self.known:
            places = ", ".join(str(endpoint.address) for endpoint in self.endpoints)
            raise EngineError(f"no endpoint answers at {places}; start one with `numina-infer serve`")
        models = {abilities.model for abilities in self.known}
        require(len(models) == 1, f"the endpoints serve different models: {', '.join(sorted(models))}; name one")

    async def _greet(self, endpoint: Endpoint) -> None:
        with anyio.move_on_after(self._config.greet_s):
            while True:
                try:
                    abilities = await endpoint.greet(self._config.model, with_tokens=self._with_tokens)
                except (EndpointLostError, EndpointBusyError):
                    await anyio.sleep(LOOK_EVERY_S)
                    continue
                if abilities.dialect is Dialect.TEXT:
                    self._report(f"{endpoint.address} is spoken to in text, not in token ids (docs/engines.md)")
                return
        _log.warning("%s doesn't answer; it is used once it does", endpoint.address)

    def _room(self, endpoint: Endpoint) -> Room[Endpoint]:
        abilities = endpoint.abilities
        tokens = abilities.kv_tokens if abilities else None
        return Room(endpoint, self._config.max_num_seqs, kv_tokens=tokens, is_open=abilities is not None)

    async def _watch(self, group: TaskGroup) -> None:
        """Look at every endpoint now and then; a look that takes long holds up no other."""
        while True:
            await anyio.sleep(min(LOOK_EVERY_S, self._config.stall_s / 4))
            for room in self.seats.rooms:
                if room.place not in self._looking:
                    self._looking.add(room.place)
                    group.start_soon(self._look, room)

    async def _look(self, room: Room[Endpoint]) -> None:
        try:
            if room.is_open:
                await self._look_at_open(room.place)
            elif await room.place.is_healthy():
                await self._regain(room)
        finally:
            self._looking.discard(room.place)

    async def _look_at_open(self, endpoint: Endpoint) -> None:
        silent_s = anyio.current_time() - endpoint.last_sign_at
        if endpoint.num_running and silent_s > self._config.stall_s:
            looks = "answers otherwise" if await endpoint.is_healthy() else "doesn't answer either"
            await self.lose(endpoint, f"gave no token for {silent_s:.0f} s and {looks}", Trouble.STALLED)

    async def _regain(self, room: Room[Endpoint]) -> None:
        try:
            abilities = await room.place.greet(self._config.model, with_tokens=self._with_tokens)
        except EngineError as error:
            _log.warning("%s is back and can't be used: %s", room.place.address, error)
            return
        self._note(room.place, "is back")
        self.seats.open(room, abilities.kv_tokens)

    def _note(self, endpoint: Endpoint, what: str) -> None:
        self.incidents.append(f"{endpoint.address} {what}")
        _log.warning("%s %s", endpoint.address, what)
