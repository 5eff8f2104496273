"""All endpoints of an engine: greeted at first, then watched, given up when they fail, taken again once healthy.

An endpoint is given up when a turn on it is lost and a trial token too, when its process has ended, and when it gives
no token for `stall_s` while it has turns in flight. Then all of its turns are lost, to be played again, and its owner
puts it right: a server that is ours is restarted. A lost turn on an endpoint that is well concerns that turn alone.

A server that its owner has given up may still come back by somebody else's hand, so it is looked at for ever; but
where all are given up, whoever waits for a place is told at once.

One task an endpoint does all of this in its order, so nothing is taken again while it is being put right.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from enum import StrEnum
from typing import Protocol, Self

import anyio

from numina_infer.core.config import require
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError, EngineGoneError
from numina_infer.core.ports import Announce
from numina_infer.engines.admission import Admission, EndpointCapacity
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Abilities, Endpoint, EndpointBusyError, EndpointLostError
from numina_infer.engines.http.wire import Dialect

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
UNKNOWN_WINDOW = 1_000_000
"""Tokens of context where no endpoint says how many it has: they end a text that is too long themselves."""


class Repair(StrEnum):
    """What came of putting a server right."""

    DONE = "done"
    FAILED = "failed"
    """It is tried again as long as the server's process is gone."""
    GIVEN_UP = "given up"
    """It failed too often, and isn't tried any more."""


class Owner(Protocol):
    """Whoever the servers behind the endpoints belong to."""

    def why_gone(self, endpoint: Endpoint) -> str:
        """Why the server's process has ended; empty while it runs, or where nobody can tell. Asked all the time."""
        ...

    async def repair(self, endpoint: Endpoint) -> Repair:
        """Put the server right, whose endpoint was given up, or hasn't taken a token since the last repair."""
        ...


class Nobody:
    """The owner of servers that aren't ours: they come back or they don't."""

    def why_gone(self, _endpoint: Endpoint) -> str:
        """Nobody can tell."""
        return ""

    async def repair(self, _endpoint: Endpoint) -> Repair:
        """Nothing can be done but wait."""
        return Repair.FAILED


class EndpointPool:
    """Endpoints and the seats on them: `async with EndpointPool(addresses, config, ...) as pool`."""

    def __init__(
        self,
        addresses: Sequence[Address],
        config: ClientConfig,
        *,
        with_tokens: bool,
        report: Announce,
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
        self._expected_by: dict[Endpoint, float] = {}
        """Loop times by which those must have given a trial token that were put right."""
        self._dead: set[Endpoint] = set()
        """Given up by their owner."""
        self._waiting: set[anyio.CancelScope] = set()
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

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Wait in here for a place; it ends after `patience_s`, and at once where no endpoint can come back.

        Raises:
            EngineGoneError: every server has been given up by its owner.
            EngineError: no endpoint is left, and none came back in time.
        """
        self._require_hope()
        with anyio.move_on_after(self._config.patience_s) as scope:
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            self._require_hope()
            if not self.has_open_room:
                raise EngineError(f"no endpoint came back within {self._config.patience_s:g} s")

    @property
    def _is_hopeless(self) -> bool:
        return len(self._dead) == len(self.endpoints)

    def _require_hope(self) -> None:
        if self._is_hopeless:
            raise EngineGoneError(f"no server is left: {self.incidents[-1]}")

    async def doubt(self, endpoint: Endpoint, why: str) -> None:
        """Take note of a turn that `endpoint` lost, and give it up if it doesn't do better when asked."""
        room = next(room for room in self.seats.rooms if room.place is endpoint)
        if not room.is_open:
            return
        if await endpoint.is_sound():
            self._note(endpoint, f"lost a turn: {why}")
        else:
            self._lose(room, f"lost a turn and isn't well: {why}")

    def _lose(self, room: EndpointCapacity[Endpoint], why: str) -> None:
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

    def _room(self, endpoint: Endpoint) -> EndpointCapacity[Endpoint]:
        abilities = endpoint.abilities
        tokens = abilities.kv_tokens if abilities else None
        return EndpointCapacity(endpoint, self._config.max_num_seqs, kv_tokens=tokens, is_open=abilities is not None)

    async def _watch(self, room: EndpointCapacity[Endpoint]) -> None:
        """Look at one endpoint now and then, as long as the engine runs."""
        while True:
            await anyio.sleep(min(LOOK_EVERY_S, self._config.stall_s / 4))
            try:
                await self._look(room)
            except (EngineError, OSError) as error:
                _log.warning("%s can't be used: %s", room.place.address, error)

    async def _look(self, room: EndpointCapacity[Endpoint]) -> None:
        endpoint = room.place
        gone = self._owner.why_gone(endpoint)
        if gone:
            self._lose(room, f"ended: {gone}")
        elif room.is_open:
            await self._look_for_stall(room)
        if room.is_open:
            return
        if gone or endpoint in self._broken or self._expected_by.get(endpoint, math.inf) <= anyio.current_time():
            await self._repair(endpoint)
        if self._shunned_until.get(endpoint, 0.0) <= anyio.current_time() and await endpoint.is_healthy():
            await self._regain(room)

    async def _repair(self, endpoint: Endpoint) -> None:
        self._broken.discard(endpoint)
        self._expected_by.pop(endpoint, None)
        match await self._owner.repair(endpoint):
            case Repair.DONE:
                self._shunned_until.pop(endpoint, None)
                # Its first token may take as long as it is given at the first greeting, and must not take for ever.
                self._expected_by[endpoint] = anyio.current_time() + self._config.greet_s
            case Repair.GIVEN_UP if endpoint not in self._dead:
                why = self._owner.why_gone(endpoint) or "it gives no token"
                self._note(endpoint, f"is left dead, after as many restarts as it may have: {why}")
                self._dead.add(endpoint)
                self._tell_the_hopeless()

    def _tell_the_hopeless(self) -> None:
        if self._is_hopeless:
            for scope in self._waiting:
                scope.cancel()

    async def _look_for_stall(self, room: EndpointCapacity[Endpoint]) -> None:
        if self._is_stalled(room.place):
            if await room.place.is_generating():
                return  # others are served, or the queue is long
            looks = "answers otherwise" if await room.place.is_healthy() else "doesn't answer either"
            if self._is_stalled(room.place):
                self._shunned_until[room.place] = anyio.current_time() + self._config.stall_s
                self._lose(room, f"gave no token for {self._config.stall_s:g} s and {looks}")

    def _is_stalled(self, endpoint: Endpoint) -> bool:
        return endpoint.num_running > 0 and anyio.current_time() - endpoint.last_sign_at > self._config.stall_s

    async def _regain(self, room: EndpointCapacity[Endpoint]) -> None:
        abilities = await room.place.greet(self._model, with_tokens=self._with_tokens)
        self._note(room.place, "is back")
        self._dead.discard(room.place)
        self._expected_by.pop(room.place, None)
        self.seats.open(room, abilities.kv_tokens)

    def _note(self, endpoint: Endpoint, what: str) -> None:
        self.incidents.append(f"{endpoint.address} {what}")
        _log.warning("%s %s", endpoint.address, what)
