"""The client engine: any number of OpenAI-compatible endpoints, such as vLLM's servers, as one engine.

- Prompts go out as token ids, so history is only extended and the server's prefix cache serves all of it.
- A trajectory stays on its endpoint, where its cache is; a new one goes to the endpoint with most room.
- At the cutoff the connection is closed, at which the server drops the request; the text so far is handed over.
- A turn whose endpoint goes away is asked again, the same request with the same seed, there or elsewhere.

Retries that repeat the same request, and waiting while a server is busy, are the habits of evaluation harnesses.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, Cutoff, EngineStats
from numina_infer.core.records import Completion, FinishReason, Part, plain_text
from numina_infer.core.restarts import Openable
from numina_infer.engines.admission import Seat
from numina_infer.engines.context import render
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint, EndpointBusyError, EndpointLostError
from numina_infer.engines.http.endpoint_pool import EndpointPool, Owner
from numina_infer.engines.http.streamed_reply import Reply, TextReply, TokenReply
from numina_infer.engines.http.wire import Chunk, Dialect, TurnRequest
from numina_infer.engines.vocabulary import Vocabulary

_log = logging.getLogger(__name__)

_Given = TypeVar("_Given")

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_CHARS_A_TOKEN = 3
"""At least, in mathematics and programs; only admission uses it."""


class OpenAIEngine(Openable):
    """An `Engine` over endpoints: `async with OpenAIEngine(addresses, vocabulary) as engine`.

    `vocabulary` is the model's; without one the endpoints tokenise, and text alone is exchanged (docs/engines.md says
    what that costs). `owner` restarts the servers, where they are ours.

    Raises on entering:
        ConfigError: no endpoint is named, or they serve different models.
        EngineError: no endpoint answers, or one can't do what is needed.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        vocabulary: Vocabulary | None = None,
        config: ClientConfig | None = None,
        *,
        report: Announce = _log.info,
        owner: Owner | None = None,
    ) -> None:
        self._config = config or ClientConfig()
        self._vocabulary = vocabulary
        with_tokens = vocabulary is not None
        self._pool = EndpointPool(addresses, self._config, with_tokens=with_tokens, report=report, owner=owner)
        self._num_tokens = 0

    async def _open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._pool)

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator["OpenAIDecoder"]:
        """A place for one trajectory, on the endpoint with most room."""
        async with self.patiently(lambda: self._pool.seats.seat(ticket)) as seat:
            yield OpenAIDecoder(self, seat, self._config.max_losses)

    @property
    def pool(self) -> EndpointPool:
        """The endpoints."""
        return self._pool

    @property
    def stats(self) -> EngineStats:
        """Tokens received, turns in flight, and what went wrong with the endpoints."""
        running = sum(endpoint.num_running for endpoint in self._pool.endpoints)
        return EngineStats(self._num_tokens, running, tuple(self._pool.incidents))

    def describe(self) -> Mapping[str, str | int | float]:
        """Endpoints, model, versions and capacity."""
        known = self._pool.known
        return {
            "engine": "openai_api",
            "endpoints": ", ".join(str(endpoint.address) for endpoint in self._pool.endpoints),
            "model": known[0].model if known else "",
            "root": known[0].root if known else "",
            "tokenizer": self._vocabulary.fingerprint if self._vocabulary else "",
            "dialect": ", ".join(sorted({abilities.dialect for abilities in known})),
            "versions": ", ".join(sorted({abilities.version or "unknown" for abilities in known})),
            "num_endpoints": len(self._pool.endpoints),
            "max_num_seqs": self._config.max_num_seqs,
            "max_model_len": self._pool.max_model_len,
            "kv_tokens": sum(abilities.kv_tokens or 0 for abilities in known),
        }

    @asynccontextmanager
    async def patiently(self, wait: Callable[[], AbstractAsyncContextManager[_Given]]) -> AsyncIterator[_Given]:
        """Enter what `wait` makes, however long that takes, as long as any endpoint is left."""
        async with AsyncExitStack() as stack:
            while True:
                with self._pool.patience():
                    given = await stack.enter_async_context(wait())
                    break
            yield given

    def turn(self, context: Sequence[Part], params: SamplingParams, seed: int) -> "_Turn":
        """A turn that is to be written.

        Raises:
            EngineError: nothing is asked, or the context holds a special token that the model doesn't have.
        """
        if self._vocabulary is None:
            return _Turn(None, plain_text(context), [], params, seed, max_tokens=params.max_tokens)
        prompt_ids = render(context, self._vocabulary)
        if not prompt_ids:
            raise EngineError("the context is empty, and the model has no token to begin a text with")
        room = self._pool.max_model_len - len(prompt_ids)
        max_tokens = min(params.max_tokens, room)
        return _Turn(self._vocabulary, plain_text(context), prompt_ids, params, seed, max_tokens=max_tokens, room=room)

    def count(self, num_tokens: int) -> None:
        """Note tokens that came in."""
        self._num_tokens += num_tokens


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn as the trajectory wants it."""

    vocabulary: Vocabulary | None
    """None where the endpoints tokenise."""
    text: str
    prompt_ids: list[int]
    params: SamplingParams
    seed: int
    max_tokens: int
    room: int = 0
    """Tokens that the context window leaves, where we have the vocabulary."""

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the context; a guess where the endpoint tokenises."""
        return len(self.prompt_ids) or len(self.text) // _CHARS_A_TOKEN

    def request(self, ticket: int, dialect: Dialect) -> TurnRequest:
        """The turn as it is put to an endpoint."""
        prompt = self.prompt_ids if dialect is Dialect.TOKENS else self.text
        end_ids = sorted(self.vocabulary.end_ids) if self.vocabulary else ()
        return TurnRequest(prompt, self.params, self.max_tokens, self.seed, ticket, end_ids)

    def reply(self, dialect: Dialect) -> Reply:
        """An empty reply, to be filled from an endpoint that speaks `dialect`."""
        if self.vocabulary is None or dialect is Dialect.TEXT:
            return TextReply(self.params)
        return TokenReply(self.vocabulary, self.params, self.prompt_ids, room=self.room)


class _Writing:
    """One turn while it is being asked for, perhaps several times; as a `Sink` it counts what comes in."""

    def __init__(self, engine: OpenAIEngine, turn: _Turn, seat: Seat[Endpoint]) -> None:
        self._engine, self._turn, self._seat = engine, turn, seat
        self._reply: Reply = turn.reply(Dialect.TOKENS)
        self._lost: Reply = self._reply
        """The longest of the replies that broke off."""

    @property
    def completion(self) -> Completion:
        """The text so far: of a turn that is being asked again, the earlier reply while that is longer."""
        is_behind = self._reply.finish_reason is None and self._lost.num_tokens > self._reply.num_tokens
        return (self._lost if is_behind else self._reply).completion(self._turn.seed)

    async def persist(self, max_losses: int) -> None:
        """Ask until the turn is complete; a busy endpoint is asked again for ever, a lost turn `max_losses` times."""
        num_lost, pause_s = 0, _SHORTEST_PAUSE_S
        while self._reply.finish_reason is None:
            asked_s = 0.0
            try:
                await self._play()
            except EndpointBusyError as busy:
                asked_s = busy.pause_s
            except EndpointLostError as lost:
                num_lost += 1
                if num_lost > max_losses:
                    raise EngineError(f"a turn was lost {num_lost} times, at last since {lost}") from lost
            else:
                return
            await anyio.sleep(asked_s or pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _play(self) -> None:
        """One try, from the beginning of the turn."""
        pool, turn, seat = self._engine.pool, self._turn, self._seat
        async with self._engine.patiently(
            lambda: pool.seats.turn(seat, turn.num_prompt_tokens, turn.max_tokens)
        ) as endpoint:
            dialect = endpoint.known.dialect
            self._reply = turn.reply(dialect)
            try:
                await endpoint.play(turn.request(seat.ticket, dialect), self)
            except EndpointLostError as lost:
                self._lost = max(self._lost, self._reply, key=lambda reply: reply.num_tokens)
                await pool.doubt(endpoint, str(lost))
                raise

    @property
    def finish_reason(self) -> FinishReason | None:
        return self._reply.finish_reason

    def take(self, chunk: Chunk) -> None:
        before = self._reply.num_tokens
        self._reply.take(chunk)
        new = self._reply.num_tokens - before
        self._engine.count(new)
        self._seat.live += new


class OpenAIDecoder:
    """One seat of an `OpenAIEngine`; one `generate` at a time."""

    def __init__(self, engine: OpenAIEngine, seat: Seat[Endpoint], max_losses: int) -> None:
        self._engine, self._seat, self._max_losses = engine, seat, max_losses

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        writing = _Writing(self._engine, self._engine.turn(context, params, seed), self._seat)
        if not cutoff.has_passed:
            with cutoff.scope():
                await writing.persist(self._max_losses)
        return writing.completion
