"""The client engine: any number of OpenAI-compatible endpoints, such as vLLM's servers, as one engine.

- Prompts go out as token ids, so history is only extended and the server's prefix cache serves all of it.
- A trajectory stays on its endpoint, where its cache is; a new one goes to the endpoint with most room.
- At the cutoff the connection is closed, at which the server drops the request; the text so far is handed over.
- A turn whose endpoint goes away is asked again, the same request with the same seed, there or elsewhere.

Retries that repeat the same request, and waiting while a server is busy, are the habits of evaluation harnesses.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, Cutoff, EngineStats
from numina_infer.core.records import Completion, Part, plain_text
from numina_infer.core.restarts import Openable
from numina_infer.engines.admission import Seat
from numina_infer.engines.context import render
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint, EndpointBusyError
from numina_infer.engines.http.endpoint_pool import EndpointPool, Owner
from numina_infer.engines.http.wire import Chunk, Dialect, EndpointLostError, Reply, TextReply, TokenReply, TurnRequest
from numina_infer.engines.vocabulary import Vocabulary

_log = logging.getLogger(__name__)

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
        self.config = config or ClientConfig()
        self.vocabulary = vocabulary
        with_tokens = vocabulary is not None
        self.pool = EndpointPool(addresses, self.config, with_tokens=with_tokens, report=report, owner=owner)
        """The endpoints."""
        self.num_tokens = 0
        """Tokens received."""

    async def _open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.pool)

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator["OpenAIDecoder"]:
        """A place for one trajectory, on the endpoint with most room."""
        async with self.pool.patiently(lambda: self.pool.seats.seat(ticket)) as seat:
            yield OpenAIDecoder(self, seat)

    @property
    def stats(self) -> EngineStats:
        """Tokens received, turns in flight, and what went wrong with the endpoints."""
        running = sum(endpoint.num_running for endpoint in self.pool.endpoints)
        return EngineStats(self.num_tokens, running, tuple(self.pool.incidents))

    def describe(self) -> Mapping[str, str | int | float]:
        """Endpoints, model, versions and capacity."""
        known = self.pool.known
        return {
            "engine": "openai_api",
            "endpoints": ", ".join(str(endpoint.address) for endpoint in self.pool.endpoints),
            "model": known[0].model if known else "",
            "root": known[0].root if known else "",
            "tokenizer": self.vocabulary.fingerprint if self.vocabulary else "",
            "dialect": ", ".join(sorted({abilities.dialect for abilities in known})),
            "versions": ", ".join(sorted({abilities.version or "unknown" for abilities in known})),
            "num_endpoints": len(self.pool.endpoints),
            "max_num_seqs": self.config.max_num_seqs,
            "max_model_len": self.pool.max_model_len,
            "kv_tokens": sum(abilities.kv_tokens or 0 for abilities in known),
        }


class _Writing:
    """One turn while it is being asked for, perhaps several times."""

    def __init__(
        self, engine: OpenAIEngine, seat: Seat[Endpoint], context: Sequence[Part], params: SamplingParams, seed: int
    ) -> None:
        """Raises `EngineError` where nothing is asked, or `context` holds a special token that the model lacks."""
        self._engine, self._seat, self._params, self._seed = engine, seat, params, seed
        self._text = plain_text(context)
        self._prompt_ids: list[int] = []
        self._max_tokens, self._room = params.max_tokens, 0
        if engine.vocabulary is not None:
            self._prompt_ids = render(context, engine.vocabulary)
            if not self._prompt_ids:
                raise EngineError("the context is empty, and the model has no token to begin a text with")
            self._room = engine.pool.max_model_len - len(self._prompt_ids)
            self._max_tokens = min(params.max_tokens, self._room)
        self._reply = self._lost = self._new_reply(Dialect.TOKENS)
        """The reply that comes in, and the longest of those that broke off."""

    def _new_reply(self, dialect: Dialect) -> Reply:
        if self._engine.vocabulary is None or dialect is Dialect.TEXT:
            return TextReply(self._params)
        return TokenReply(self._engine.vocabulary, self._params, self._prompt_ids, room=self._room)

    def _request(self, dialect: Dialect) -> TurnRequest:
        prompt = self._prompt_ids if dialect is Dialect.TOKENS else self._text
        end_ids = sorted(self._engine.vocabulary.end_ids) if self._engine.vocabulary else ()
        return TurnRequest(prompt, self._params, self._max_tokens, self._seed, self._seat.ticket, end_ids)

    @property
    def completion(self) -> Completion:
        """The text so far: of a turn that is being asked again, the earlier reply while that is longer."""
        is_behind = self._reply.finish_reason is None and self._lost.num_tokens > self._reply.num_tokens
        return (self._lost if is_behind else self._reply).completion(self._seed)

    async def persist(self) -> None:
        """Ask until the turn is complete; a busy endpoint is asked again for ever, a lost turn `max_losses` times."""
        num_lost, pause_s = 0, _SHORTEST_PAUSE_S
        while self._reply.finish_reason is None:
            try:
                await self._play()
                break
            except EndpointBusyError:
                pass
            except EndpointLostError as lost:
                if self._reply.finish_reason is not None:
                    break  # the turn was complete before its connection ended
                num_lost += 1
                if num_lost > self._engine.config.max_losses:
                    raise EngineError(f"a turn was lost {num_lost} times, at last since {lost}") from lost
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _play(self) -> None:
        """One try, from the beginning of the turn."""
        pool, seat = self._engine.pool, self._seat
        num_prompt_tokens = len(self._prompt_ids) or len(self._text) // _CHARS_A_TOKEN
        async with pool.patiently(lambda: pool.seats.turn(seat, num_prompt_tokens, self._max_tokens)) as endpoint:
            dialect = endpoint.known.dialect
            self._reply = self._new_reply(dialect)
            try:
                await endpoint.play(self._request(dialect), self._take)
            except EndpointLostError as lost:
                self._lost = max(self._lost, self._reply, key=lambda reply: reply.num_tokens)
                await pool.doubt(endpoint, str(lost))
                raise

    def _take(self, chunk: Chunk) -> bool:
        before = self._reply.num_tokens
        is_complete = self._reply.take(chunk)
        new = self._reply.num_tokens - before
        self._engine.num_tokens += new
        self._seat.live += new
        return is_complete


class OpenAIDecoder:
    """One seat of an `OpenAIEngine`; one `generate` at a time."""

    def __init__(self, engine: OpenAIEngine, seat: Seat[Endpoint]) -> None:
        self._engine, self._seat = engine, seat

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        writing = _Writing(self._engine, self._seat, context, params, seed)
        if not cutoff.has_passed:
            with cutoff.scope():
                await writing.persist()
        return writing.completion
