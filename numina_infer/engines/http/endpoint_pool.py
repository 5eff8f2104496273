"""All endpoints of an engine: greeted at the start, then watched, dropped when they fail, used again once healthy.

An endpoint is dropped when it loses a turn and then fails a trial token too, when its process has ended, and when it
gives no token for `stall_s` while it has turns in flight. All of its turns are then lost and asked again elsewhere,
and its owner is asked to repair it: a server that is ours is restarted. A lost turn on an endpoint that passes its
trial concerns that turn alone. `EndpointState` has the states, `_NEXT` the table of what may follow what.

A server that its owner has given up may still be brought back by hand, so it is looked at for ever; but once all are
given up, everybody who waits for a place gets an error at once.

One task an endpoint does all of this in order, so no endpoint is used again while it is being repaired.
"""

import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

import anyio

from numina_infer.core.config import require
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError, EngineGoneError
from numina_infer.core.ports import Announce
from numina_infer.core.restarts import Openable, run_in_background
from numina_infer.engines.admission import Admission, EndpointCapacity
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint, EndpointBusyError
from numina_infer.engines.http.wire import Abilities, Dialect, EndpointLostError

_log = logging.getLogger(__name__)

_Given = TypeVar("_Given")

LOOK_EVERY_S = 1.0
UNKNOWN_WINDOW = 1_000_000
"""Tokens of context where no endpoint says how many it has: they end a text that is too long themselves."""


class EndpointState(StrEnum):
    """Where an endpoint stands."""

    OPEN = "open"
    """Trajectories get seats on it."""
    LOST = "lost"
    """It failed, and its owner is about to repair it."""
    REPAIRED = "repaired"
    """Its owner says that it works; it is used once it gives a token, and lost again if that takes too long."""
    AWAITED = "awaited"
    """Nobody can repair it, its repair failed, or it wasn't reached at the start; it is used once it answers, and
    repaired again as long as its server's process is gone."""
    DEAD = "dead"
    """Its owner has given it up after too many repairs; it is used if it answers all the same."""


_NEXT: Mapping[EndpointState, frozenset[EndpointState]] = {
    EndpointState.OPEN: frozenset({EndpointState.LOST}),
    EndpointState.LOST: frozenset({EndpointState.REPAIRED, EndpointState.AWAITED, EndpointState.DEAD}),
    EndpointState.REPAIRED: frozenset({EndpointState.OPEN, EndpointState.LOST}),
    EndpointState.AWAITED: frozenset({EndpointState.OPEN, EndpointState.LOST}),
    EndpointState.DEAD: frozenset({EndpointState.OPEN}),
}


class Owner(Protocol):
    """The part that started the servers behind the endpoints, and can restart them."""

    def why_gone(self, endpoint: Endpoint) -> str:
        """Why the server's process has ended; empty while it runs, or where nobody can tell. Asked all the time."""
        ...

    async def repair(self, endpoint: Endpoint) -> EndpointState:
        """Restart the server behind an endpoint that was dropped, or that gave no token since its last repair.

        The endpoint is then `REPAIRED`, `AWAITED` where that failed, or `DEAD` where it isn't tried any more.
        """
        ...


@dataclass(eq=False, slots=True)
class _Watched:
    """One endpoint, and what is known of it from watching."""

    room: EndpointCapacity[Endpoint]
    state: EndpointState
    not_before: float = -math.inf
    """Loop time before which it isn't used again after a stall: new trajectories would be lost on it too."""
    due: float = math.inf
    """Loop time by which it must give a token after a repair."""

    @property
    def endpoint(self) -> Endpoint:
        return self.room.place

    def move(self, state: EndpointState) -> None:
        if state not in _NEXT[self.state]:
            raise EngineError(f"{self.endpoint.address} can't become {state}: it is {self.state}")
        self.state = state


class EndpointPool(Openable):
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
        """`with_tokens` says that we have the model's vocabulary; servers without an `owner` come back or don't."""
        require(bool(addresses), "no endpoint is named; give at least one")
        self.endpoints = tuple(Endpoint(address) for address in addresses)
        self.incidents: list[str] = []
        """Everything that went wrong with endpoints, in order."""
        self._config, self._with_tokens = config, with_tokens
        self._report, self._owner = report, owner
        self._seats: Admission[Endpoint] | None = None
        self._watched: tuple[_Watched, ...] = ()
        self._waiting: set[anyio.CancelScope] = set()
        self._model = config.model

    async def _open(self, stack: AsyncExitStack) -> None:
        for endpoint in self.endpoints:
            await stack.enter_async_context(endpoint)
        await self._greet_all()
        self._watched = tuple(map(self._begin_watch, self.endpoints))
        self._seats = Admission([watched.room for watched in self._watched], self.max_model_len)
        await run_in_background(stack, *(partial(self._watch, watched) for watched in self._watched))

    @property
    def known(self) -> tuple[Abilities, ...]:
        """The abilities of the endpoints that have answered."""
        return tuple(endpoint.abilities for endpoint in self.endpoints if endpoint.abilities is not None)

    @property
    def max_model_len(self) -> int:
        """The context window that all endpoints have, in tokens, or the smaller one that was asked for."""
        windows = [abilities.max_model_len for abilities in self.known if abilities.max_model_len]
        return min([*windows, self._config.max_model_len or UNKNOWN_WINDOW])

    @property
    def seats(self) -> Admission[Endpoint]:
        """Gives trajectories their places on the endpoints."""
        if self._seats is None:
            raise EngineError("the engine isn't running; enter it with `async with` first")
        return self._seats

    @property
    def states(self) -> tuple[EndpointState, ...]:
        """Where each endpoint stands."""
        return tuple(watched.state for watched in self._watched)

    @asynccontextmanager
    async def patiently(self, wait: Callable[[], AbstractAsyncContextManager[_Given]]) -> AsyncIterator[_Given]:
        """Enter what `wait` makes, a seat or a turn, however long that takes, as long as any endpoint is left.

        Raises:
            EngineGoneError: every server has been given up by its owner.
            EngineError: no endpoint is left, and none came back within `patience_s`.
        """
        async with AsyncExitStack() as stack:
            self._require_hope()
            while True:
                with anyio.move_on_after(self._config.patience_s) as scope:
                    self._waiting.add(scope)
                    try:
                        given = await stack.enter_async_context(wait())
                        break
                    finally:
                        self._waiting.discard(scope)
                self._require_hope()
                if EndpointState.OPEN not in self.states:
                    raise EngineError(f"no endpoint came back within {self._config.patience_s:g} s")
            yield given

    def _require_hope(self) -> None:
        if self._is_hopeless:
            raise EngineGoneError(f"no server is left: {self.incidents[-1]}")

    @property
    def _is_hopeless(self) -> bool:
        return set(self.states) == {EndpointState.DEAD}

    async def doubt(self, endpoint: Endpoint, why: str) -> None:
        """Note that `endpoint` lost a turn, and drop it if it fails a trial token too."""
        watched = self._watched[self.endpoints.index(endpoint)]
        if watched.state is not EndpointState.OPEN:
            return
        if await endpoint.is_sound():
            self._note(endpoint, f"lost a turn: {why}")
        else:
            self._drop(watched, f"lost a turn and isn't well: {why}")

    def _drop(self, watched: _Watched, why: str) -> None:
        """Drop an open endpoint with all of its turns, and have it repaired."""
        if watched.state is EndpointState.OPEN:
            self._note(watched.endpoint, why)
            watched.move(EndpointState.LOST)
            self.seats.close(watched.room)
            watched.endpoint.give_up(why)

    async def _greet_all(self) -> None:
        """Greet every endpoint at once; the watch finds those that don't answer in time."""
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
        """Greet one endpoint, which may still be starting."""
        is_reported = False
        with anyio.move_on_after(self._config.greet_s):
            while endpoint.abilities is None and not refusals:
                try:
                    await endpoint.greet(self._model, with_tokens=self._with_tokens)
                except (EndpointLostError, EndpointBusyError) as error:
                    if not is_reported:
                        self._report(f"waiting up to {self._config.greet_s:g} s for an answer: {error}")
                    is_reported = True
                    await anyio.sleep(LOOK_EVERY_S)
                except EngineError as error:
                    refusals.append(error)
        if endpoint.abilities is not None and endpoint.abilities.dialect is Dialect.TEXT:
            self._report(f"{endpoint.address} is spoken to in text, not in token ids (docs/engines.md)")
        elif endpoint.abilities is None and not refusals:
            _log.warning("%s doesn't answer; it is used once it does", endpoint.address)

    def _begin_watch(self, endpoint: Endpoint) -> _Watched:
        known = endpoint.abilities
        kv_tokens = known.kv_tokens if known is not None else None
        room = EndpointCapacity(endpoint, self._config.max_num_seqs, kv_tokens, is_open=known is not None)
        return _Watched(room, EndpointState.AWAITED if known is None else EndpointState.OPEN)

    async def _watch(self, watched: _Watched) -> None:
        """Look at one endpoint now and then, as long as the engine runs."""
        while True:
            await anyio.sleep(min(LOOK_EVERY_S, self._config.stall_s / 4))
            try:
                await self._look(watched)
            except (EngineError, OSError) as error:
                _log.warning("%s can't be used: %s", watched.endpoint.address, error)

    async def _look(self, watched: _Watched) -> None:
        why = self._owner.why_gone(watched.endpoint) if self._owner else ""
        if why:
            self._drop(watched, f"ended: {why}")
        elif watched.state is EndpointState.OPEN:
            await self._look_for_stall(watched)
        if watched.state is EndpointState.OPEN:
            return
        is_due = bool(why) or watched.due <= anyio.current_time()
        if is_due and watched.state in {EndpointState.REPAIRED, EndpointState.AWAITED}:
            watched.move(EndpointState.LOST)
        if watched.state is EndpointState.LOST:
            await self._repair(watched)
        if watched.not_before <= anyio.current_time() and await watched.endpoint.is_healthy():
            await self._use_again(watched)

    async def _repair(self, watched: _Watched) -> None:
        state = await self._ask_owner(watched.endpoint)
        if self._owner and state is EndpointState.DEAD:
            why = self._owner.why_gone(watched.endpoint) or "it gives no token"
            self._note(watched.endpoint, f"is left dead, after as many restarts as it may have: {why}")
        watched.move(state)
        watched.due = math.inf
        if state is EndpointState.REPAIRED:
            watched.not_before = -math.inf
            # Its first token may take as long as at the first greeting, and must not take for ever.
            watched.due = anyio.current_time() + self._config.greet_s
        if self._is_hopeless:
            for scope in self._waiting:
                scope.cancel()

    async def _ask_owner(self, endpoint: Endpoint) -> EndpointState:
        """Have the owner repair; an owner that breaks has failed, and the endpoint may come back by itself."""
        if self._owner is not None:
            try:
                return await self._owner.repair(endpoint)
            except (EngineError, OSError) as error:
                _log.warning("%s can't be repaired: %s", endpoint.address, error)
        return EndpointState.AWAITED

    async def _look_for_stall(self, watched: _Watched) -> None:
        endpoint = watched.endpoint
        if self._is_stalled(endpoint):
            if await endpoint.is_generating():
                return  # others are served, or the queue is long
            looks = "answers otherwise" if await endpoint.is_healthy() else "doesn't answer either"
            if self._is_stalled(endpoint):
                watched.not_before = anyio.current_time() + self._config.stall_s
                self._drop(watched, f"gave no token for {self._config.stall_s:g} s and {looks}")

    def _is_stalled(self, endpoint: Endpoint) -> bool:
        return endpoint.num_running > 0 and anyio.current_time() - endpoint.last_sign_at > self._config.stall_s

    async def _use_again(self, watched: _Watched) -> None:
        abilities = await watched.endpoint.greet(self._model, with_tokens=self._with_tokens)
        self._note(watched.endpoint, "is back")
        watched.move(EndpointState.OPEN)
        watched.due = math.inf
        self.seats.open(watched.room, abilities.kv_tokens)

    def _note(self, endpoint: Endpoint, what: str) -> None:
        self.incidents.append(f"{endpoint.address} {what}")
        _log.warning("%s %s", endpoint.address, what)
