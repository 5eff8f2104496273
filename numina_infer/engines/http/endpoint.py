"""One OpenAI-compatible endpoint: what it can do, whether it works, and the turns played on it.

What it can do is found out by asking: its model list, vLLM's `/version` and `/metrics`, and a trial token with all
of vLLM's extensions. Later requests leave out the extensions that it lacks, or speak the dialect `text`.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Self

import anyio
import h11
import httpx2

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError, EngineRefusalError
from numina_infer.core.records import is_count
from numina_infer.engines.http import wire
from numina_infer.engines.http.address import KEY_VARIABLE, Address, without_key
from numina_infer.engines.http.wire import Abilities, Chunk, Dialect, EndpointLostError, TurnRequest, text_of

_FAILURES: tuple[type[Exception], ...] = (
    *(httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, h11.ProtocolError, RuntimeError, UnicodeError),
    *(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError),
)
"""What fails between us and an endpoint. The HTTP library lets others' errors through: a closed client raises
`RuntimeError`, a TLS connection that breaks off anyio's or the system's errors, a server that answers before it was
asked h11's, and a host name that no resolver takes `UnicodeError`."""
_BUSY = frozenset({429, 503})
_BROKEN = frozenset({408, 500, 502, 504})
_LACKS_IT = frozenset({400, 404, 405, 422, 501})
_SAMPLED = "vllm:generation_tokens_total"
_CACHE_CONFIG = re.compile(r"^vllm:cache_config_info\{(.*)\}", re.MULTILINE)
_CACHE_LABEL = re.compile(r'\b(num_gpu_blocks|block_size)="(\d{1,19})"')
_COUNTER_PAUSE_S = 2.0
_LOOK_TIMEOUT_S = 20.0
"""For a question that costs a server nothing, such as which model it has."""
_TRIAL_TIMEOUT_S = 60.0
"""For a trial token: it waits its turn on a busy server, and a stuck one must not hold us."""


class EndpointBusyError(EngineError):
    """The endpoint takes no more for now."""


Take = Callable[[Chunk], bool]
"""Reads one piece of a reply, and says whether that is complete."""


class Endpoint:
    """One server; open it with `async with`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.abilities: Abilities | None = None
        self.num_running = 0
        self.num_signs = 0
        """Pieces of replies that came from it."""
        self.last_sign_at = 0.0
        """Loop time of the last token, or of the turn that ended its idleness."""
        self._client = address.client()
        self._turns: set[anyio.CancelScope] = set()
        self._why_given_up = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True), suppress(*_FAILURES):
            await self._client.aclose()

    @property
    def known(self) -> Abilities:
        """Its abilities, once it was greeted."""
        if self.abilities is None:
            raise EngineError(f"{self.address} hasn't been greeted yet")
        return self.abilities

    async def greet(self, model: str = "", *, with_tokens: bool = True) -> Abilities:
        """Find out what the endpoint can do; `model` is the name to ask for, its first one by default.

        Without `with_tokens` the dialect is `text`, since nobody here has the tokenizer.

        Raises:
            EndpointLostError: nobody listens there.
            EngineError: it refuses us, doesn't serve `model`, or doesn't complete texts.
        """
        entry = _entry(await self._json("/v1/models"), model, str(self.address))
        name, window = str(entry["id"]), entry.get("max_model_len")
        self.abilities = replace(
            await self._try_out(name, with_tokens=with_tokens),
            max_model_len=window if is_count(window) and window else None,
            kv_tokens=kv_tokens(await self.metrics()),
            version=await self._version(),
            root=text_of(entry.get("root")),
        )
        return self.abilities

    async def _try_out(self, name: str, *, with_tokens: bool) -> Abilities:
        """The most of vLLM's extensions with which the endpoint gives a token."""
        if with_tokens:
            for takes_priority in (True, False):
                if await self._answers(found := Abilities(name, Dialect.TOKENS, takes_priority)):
                    return found
        if await self._answers(found := Abilities(name, Dialect.TEXT)):
            return found
        raise EngineError(f"{self.address} doesn't complete texts; it must serve POST /v1/completions")

    async def _version(self) -> str:
        with suppress(EngineError):
            return text_of((await self._json("/version")).get("version"))
        return ""

    async def is_healthy(self) -> bool:
        """Whether it answers: vLLM's `/health`, or the list of models where there is none."""
        with suppress(EndpointLostError):
            response = await self._ask("/health")
            if response.status_code == 404:
                response = await self._ask("/v1/models")
            return response.status_code == 200
        return False

    async def is_sound(self) -> bool:
        """Whether it is healthy and also gives a token; one that is busy does."""
        try:
            return await self.is_healthy() and await self._answers(self.known)
        except EndpointBusyError:
            return True
        except EngineError:
            return await self.is_generating()

    async def is_generating(self) -> bool:
        """Whether it samples tokens, be it for others: vLLM's own counter moves within a second or two."""
        before = counter(await self.metrics(), _SAMPLED)
        await anyio.sleep(_COUNTER_PAUSE_S)
        return counter(await self.metrics(), _SAMPLED) > before

    async def metrics(self) -> str:
        """The server's counters in Prometheus' text format; nothing where there are none."""
        with suppress(EndpointLostError):
            response = await self._ask("/metrics")
            return _decoded(response) if response.status_code == 200 else ""
        return ""

    async def play(self, turn: TurnRequest, take: Take) -> None:
        """Have `turn` written and every piece taken, to its end; cancelling it makes the server drop the request.

        Raises:
            EndpointLostError: it went away, or was given up, before the end.
            EndpointBusyError: it takes no more for now.
            EngineError: it can't serve this turn.
        """
        if not self.num_running:
            self.last_sign_at = anyio.current_time()
        self.num_running += 1
        try:
            with anyio.CancelScope() as scope:
                self._turns.add(scope)
                await self._stream(turn, take)
            if scope.cancelled_caught:
                raise EndpointLostError(f"{self.address} was given up: it {self._why_given_up}")
        finally:
            self.num_running -= 1
            self._turns.discard(scope)

    def give_up(self, why: str) -> None:
        """End all turns that are played here as lost."""
        self._why_given_up = why
        for scope in self._turns:
            scope.cancel()

    async def _stream(self, turn: TurnRequest, take: Take) -> None:
        body, is_complete = wire.request(turn, self.known), False
        with self._one_error():
            asked = self._client.build_request("POST", "/v1/completions", json=body)
            response = await self._client.send(asked, stream=True)
        try:
            if response.status_code != 200:
                with self._one_error():
                    await response.aread()
                raise self._refusal(response)
            async for chunk in wire.read_chunks(self._received(response), self.address):
                self.last_sign_at = anyio.current_time()
                self.num_signs += 1
                is_complete |= take(chunk)
                if is_complete and chunk.finish_reason is None:
                    break  # the server doesn't know that this was the end; closing the connection tells it
        finally:
            with suppress(*_FAILURES):  # the reply has been read, or given up
                await response.aclose()
        if not is_complete:
            raise EndpointLostError(f"{self.address} broke off in the middle of a turn")

    async def _received(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        pieces = aiter(response.aiter_bytes())
        while True:
            with self._one_error():
                piece: bytes | None = await anext(pieces, None)
            if piece is None:
                return
            yield piece

    def _refusal(self, response: httpx2.Response) -> EngineError:
        status = response.status_code
        said = without_key(wire.error_message(_object(response) or _decoded(response)))
        if status in _BUSY:
            return EndpointBusyError(f"{self.address} is busy: {said}")
        if status in _BROKEN:
            return EndpointLostError(f"{self.address} broke: {said}")
        if status in {401, 403}:
            return EngineRefusalError(f"{self.address} wants a key ({said}); put it into {KEY_VARIABLE}")
        return EngineRefusalError(f"{self.address} refused the request with {status}: {said}")

    async def _answers(self, spoken: Abilities) -> bool:
        """Whether a request that is spoken so gets the reply it asks for."""
        prompt = [1] if spoken.dialect is Dialect.TOKENS else "1"
        turn = TurnRequest(prompt, SamplingParams(temperature=0.0), max_tokens=1, seed=0, priority=1)
        body = wire.request(turn, spoken)
        body = {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}
        response = await self._ask("/v1/completions", body, timeout_s=_TRIAL_TIMEOUT_S)
        if response.status_code in _LACKS_IT:
            return False
        if response.status_code != 200:
            raise self._refusal(response)
        if spoken.dialect is Dialect.TEXT:
            return True
        with suppress(EngineError):
            return bool(wire.read_chunk(response.content, self.address).token_ids)
        return False

    async def _json(self, path: str) -> Mapping[str, Any]:
        response = await self._ask(path)
        if response.status_code != 200:
            raise self._refusal(response)
        return _object(response)

    async def _ask(self, path: str, body: object = None, *, timeout_s: float = _LOOK_TIMEOUT_S) -> httpx2.Response:
        """The response to GET `path`, or to POST with `body` as JSON; `EndpointLostError` where none comes in time."""
        with self._one_error(), anyio.move_on_after(timeout_s):
            return await (self._client.get(path) if body is None else self._client.post(path, json=body))
        raise EndpointLostError(f"{self.address} doesn't answer {path} within {timeout_s:g} s")

    @contextmanager
    def _one_error(self) -> Iterator[None]:
        """To a turn all failures mean the same: it is lost, and can be asked again."""
        try:
            yield
        except _FAILURES as error:
            raise EndpointLostError(f"{self.address} doesn't answer: {error!r}") from error


def _object(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _decoded(response: httpx2.Response) -> str:
    """The body as text in UTF-8, whatever encoding the server names: some are no encodings of texts."""
    return response.content.decode("utf-8", "replace")


def _entry(models: Mapping[str, Any], wanted: str, place: str) -> Mapping[str, Any]:
    """The entry of the model list for `wanted`, or its first; entries whose name no request can hold don't count."""
    listed = models.get("data")
    objects = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    entries = [entry for entry in objects if entry.get("id") and entry["id"] == text_of(entry["id"])]
    if not entries:
        raise EngineError(f"{place} lists no model; it must be an OpenAI-compatible server")
    named = [entry for entry in entries if wanted in {"", entry["id"]}]
    if not named:
        names = ", ".join(str(entry["id"]) for entry in entries)
        raise EngineError(f"{place} doesn't serve {wanted!r}; it has {names}")
    return named[0]


def kv_tokens(metrics: str) -> int | None:
    """The size of the cache in tokens by vLLM's metrics, summed over the engines behind one endpoint."""
    total = 0
    for labels in _CACHE_CONFIG.findall(metrics):
        found = {name: int(value) for name, value in _CACHE_LABEL.findall(labels)}
        total += found.get("num_gpu_blocks", 0) * found.get("block_size", 0)
    return total if is_count(total) and total else None


def counter(metrics: str, name: str) -> float:
    """The sum of the counter or gauge `name` over its labels; lines whose value is no number count nothing."""
    total = 0.0
    for line in metrics.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")):
            with suppress(ValueError):
                total += float(line.rpartition(" ")[2])
    return total
