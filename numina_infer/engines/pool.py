"""All endpoints of an engine: greeted at first, then watched, given up when they fail, taken again once healthy.

An endpoint is given up when a turn on it is lost and a trial token too, when its process has ended, and when it gives
no token for `stall_s` while it has turns in flight. Then all of its turns are lost, to be played again, and its owner
puts it right: a server that is ours is restarted. A lost turn on an endpoint that is well concerns that turn alone.

One task an endpoint does all of this in its order, so nothing is taken again while it is being put right.
"""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol, Self

import anyio

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


class Owner(Protocol):
    """Whoever the servers behind the endpoints belong to."""

    def why_gone(self, endpoint: Endpoint) -> str:
        """Why the server's process has ended; empty while it runs, or where nobody can tell. Asked all the time."""
        ...

    async def repair(self, endpoint: Endpoint) -> bool:
        """Put the server right, whose endpoint was given up; whether that was done."""
        ...


class Nobody:
    """The owner of servers that aren't ours: they come back or they don't."""

    def why_gone(self, _endpoint: Endpoint) -> str:
        """Nobody can tell."""
        return ""

    async def repair(self, _endpoint: Endpoint) -> bool:
        """Nothing can be done."""
        return False


class EndpointPool:
    """Endpoints and the seats on them: `async with EndpointPool(addresses, config, ...) as pool`."""

    def __init__(
        self,
        addresses: Sequence[Address],
        config: ClientConfig,
        *,
        with_tokens: bool,
        report: Report,
        owner: Owner | None = None,
    ) -> None:
        """`with_tokens` says that somebody here has the model's vocabulary."""
        require(bool(addresses), "no endpoint is named; give at least one")
        self.endpoints = tuple(Endpoint(address) for address in addresses)
        self.incidents: list[str] = []
        """What went wrong with endpoints so far, in order."""
        self._config, self._with_tokens = config, with_tokens
        self._report, self._owner = report, owner or Nobody()
        self._stack = AsyncExitStack()
        self._seats: Admission[Endpoint] | None = None
        self._broken: set[Endpoint] = set()
        """Given up, and the owner wasn't told yet."""
        self._shunned_until: dict[Endpoint, float] = {}
        """Loop times until which those aren't taken again that stalled; they would draw new trajectories on them."""
        self._model = config.model

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for endpoint in self.endpoints:
                await stack.enter_async_context(endpoint)
            await self._greet_all()
            self._seats = Admission([self._room(endpoint) for endpoint in self.endpoints], self.max_model_len)
            group = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(group.cancel_scope.cancel)
            for room in self._seats.rooms:
                group.start_soon(self._watch, room)
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

    async def doubt(self, endpoint: Endpoint, why: str) -> None:
        """Take note of a turn that `endpoint` lost, and give it up if it doesn't do better when asked."""
        room = next(room for room in self.seats.rooms if room.place is endpoint)
        if not room.is_open:
            return
        if await endpoint.is_sound():
            self._note(endpoint, f"lost a turn: {why}")
        else:
            self._lose(room, f"lost a turn and isn't well: {why}")

    def _lose(self, room: Room[Endpoint], why: str) -> None:
        """Give the endpoint of `room` up, once, and have it put right."""
        if room.is_open:
            self._note(room.place, why)
            self.seats.close(room)
            self._broken.add(room.place)
            room.place.give_up(why)

    async def _greet_all(self) -> None:
        """Greet every endpoint at once; those that don't answer in time are left for the watch to find."""
        refusals: list[EngineError] = []
        async with anyio.create_task_group() as group:
            for endpoint in self.endpoints:
                group.start_soon(self._greet, endpoint, refusals)
        if refusals:
            raise refusals[0]
        if not self.known:
            places = ", ".join(str(endpoint.address) for endpoint in self.endpoints)
            raise EngineError(f"no endpoint answers at {places}; start one with `numina-infer serve`")
        models = {abilities.model for abilities in self.known}
        require(len(models) == 1, f"the endpoints serve different models: {', '.join(sorted(models))}; name one")
        self._model = self.known[0].model

    async def _greet(self, endpoint: Endpoint, refusals: list[EngineError]) -> None:
        with anyio.move_on_after(self._config.greet_s) as scope:
            try:
                await self._greet_patiently(endpoint)
            except EngineError as error:
                refusals.append(error)
        if scope.cancelled_caught:
            _log.warning("%s doesn't answer; it is used once it does", endpoint.address)

    async def _greet_patiently(self, endpoint: Endpoint) -> None:
        is_told = False
        while endpoint.abilities is None:
            try:
                await endpoint.greet(self._model, with_tokens=self._with_tokens)
            except (EndpointLostError, EndpointBusyError) as error:
                if not is_told:
                    self._report(f"waiting up to {self._config.greet_s:g} s for an answer: {error}")
                is_told = True
                await anyio.sleep(LOOK_EVERY_S)
        if endpoint.abilities.dialect is Dialect.TEXT:
            self._report(f"{endpoint.address} is spoken to in text, not in token ids (docs/engines.md)")

    def _room(self, endpoint: Endpoint) -> Room[Endpoint]:
        abilities = endpoint.abilities
        tokens = abilities.kv_tokens if abilities else None
        return Room(endpoint, self._config.max_num_seqs, kv_tokens=tokens, is_open=abilities is not None)

    async def _watch(self, room: Room[Endpoint]) -> None:
        """Look at one endpoint now and then, as long as the engine runs."""
        while True:
            await anyio.sleep(min(LOOK_EVERY_S, self._config.stall_s / 4))
            try:
                await self._look(room)
            except (EngineError, OSError) as error:
                _log.warning("%s can't be used: %s", room.place.address, error)

    async def _look(self, room: Room[Endpoint]) -> None:
        endpoint = room.place
        gone = self._owner.why_gone(endpoint)
        if gone:
            self._lose(room, f"ended: {gone}")
        elif room.is_open:
            await self._look_for_stall(room)
        if room.is_open:
            return
        if gone or endpoint in self._broken:
            self._broken.discard(endpoint)
            if await self._owner.repair(endpoint):
                self._shunned_until.pop(endpoint, None)
        if self._shunned_until.get(endpoint, 0.0) <= anyio.current_time() and await endpoint.is_healthy():
            await self._regain(room)

    async def _look_for_stall(self, room: Room[Endpoint]) -> None:
        if self._is_stalled(room.place):
            if await room.place.is_generating():
                return  # others are served, or the queue is long
            looks = "answers otherwise" if await room.place.is_healthy() else "doesn't answer either"
            if self._is_stalled(room.place):
                self._shunned_until[room.place] = anyio.current_time() + self._config.stall_s
                self._lose(room, f"gave no token for {self._config.stall_s:g} s and {looks}")

    def _is_stalled(self, endpoint: Endpoint) -> bool:
        return endpoint.num_running > 0 and anyio.current_time() - endpoint.last_sign_at > self._config.stall_s

    async def _regain(self, room: Room[Endpoint]) -> None:
        abilities = await room.place.greet(self._model, with_tokens=self._with_tokens)
        self._note(room.place, "is back")
        self.seats.open(room, abilities.kv_tokens)

    def _note(self, endpoint: Endpoint, what: str) -> None:
        self.incidents.append(f"{endpoint.address} {what}")
        _log.warning("%s %s", endpoint.address, what)
