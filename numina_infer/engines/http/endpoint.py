"""One OpenAI-compatible endpoint: what it can do, whether it works, and the turns played on it.

What it can do is found out by asking: its model list, vLLM's `/version` and `/metrics`, and one trial token with all
of vLLM's extensions. Later requests leave out the extensions that it lacks, or speak the dialect `text`.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError, EngineRefusalError
from numina_infer.core.records import FinishReason, is_count
from numina_infer.engines.http.address import KEY_VARIABLE, LOOK_TIMEOUT_S, Address, without_key
from numina_infer.engines.http.http_client import HttpClient, LineError, read_whole, received
from numina_infer.engines.http.wire import BrokenOffError, Chunk, Dialect, TurnRequest, error_message, read_chunks
from numina_infer.engines.http.wire import request as request_body

if TYPE_CHECKING:
    import httpx2

_BUSY = frozenset({429, 503})
_BROKEN = frozenset({408, 500, 502, 504})
_REFUSED = frozenset({400, 422})
_SAMPLED = "vllm:generation_tokens_total"
_CACHE_CONFIG = re.compile(r"^vllm:cache_config_info\{(.*)\}", re.MULTILINE)
_CACHE_LABEL = re.compile(r'\b(num_gpu_blocks|block_size)="(\d{1,19})"')
_COUNTER_LOOKS, _COUNTER_EVERY_S = 4, 0.5
_LONGEST_PAUSE_S = 30.0
_TRIAL_TIMEOUT_S = 60.0
"""For a trial token: it waits its turn on a busy server, and a stuck one must not hold us."""


class EndpointLostError(EngineError):
    """The endpoint went away in the middle of a turn, which can be asked again there or elsewhere."""


class EndpointBusyError(EngineError):
    """The endpoint takes no more for now."""

    def __init__(self, message: str, pause_s: float) -> None:
        super().__init__(message)
        self.pause_s = pause_s
        """How long it asks us to wait; 0 where it doesn't say."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """An endpoint's model and capacity, and how it is spoken to."""

    model: str
    """The name under which it serves the model."""
    dialect: Dialect
    takes_priority: bool = False
    max_model_len: int | None = None
    kv_tokens: int | None = None
    """The size of its cache of keys and values, in tokens."""
    version: str = ""
    root: str = ""
    """Where the model lies on the server's machine."""


class Sink(Protocol):
    """Where a reply streams into."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it is complete; None while more is to come."""
        ...

    def take(self, chunk: Chunk) -> None:
        """Read one piece."""
        ...


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
        self._line = HttpClient(address.client())
        self._turns: set[anyio.CancelScope] = set()
        self._why_given_up = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._line.close()

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
        name = str(entry["id"])
        takes_tokens = with_tokens and await self._answers(name, Dialect.TOKENS, takes_priority=False)
        if not takes_tokens and not await self._answers(name, Dialect.TEXT, takes_priority=False):
            raise EngineError(f"{self.address} doesn't complete texts; it must serve POST /v1/completions")
        self.abilities = Abilities(
            model=name,
            dialect=Dialect.TOKENS if takes_tokens else Dialect.TEXT,
            takes_priority=takes_tokens and await self._answers(name, Dialect.TOKENS, takes_priority=True),
            max_model_len=_whole(entry.get("max_model_len")),
            kv_tokens=kv_tokens(await self.metrics()),
            version=await self._version(),
            root=_text(entry.get("root")),
        )
        return self.abilities

    async def _version(self) -> str:
        with suppress(EngineError):
            return _text((await self._json("/version")).get("version"))
        return ""

    async def is_healthy(self) -> bool:
        """Whether it answers: vLLM's `/health`, or the list of models where there is none."""
        with anyio.move_on_after(LOOK_TIMEOUT_S):
            try:
                response = await self._line.get("/health")
                if response.status_code == 404:
                    response = await self._line.get("/v1/models")
            except LineError:
                return False
            return bool(response.status_code == 200)
        return False

    async def is_sound(self) -> bool:
        """Whether it is healthy and also gives a token; one that is busy does."""
        known = self.known
        try:
            return await self.is_healthy() and await self._answers(
                known.model, known.dialect, takes_priority=known.takes_priority
            )
        except EndpointBusyError:
            return True
        except EngineError:
            return await self.is_generating()

    async def is_generating(self) -> bool:
        """Whether it samples tokens, be it for others: vLLM's own counter moves within a second or two."""
        before = counter(await self.metrics(), _SAMPLED)
        for _ in range(_COUNTER_LOOKS):
            await anyio.sleep(_COUNTER_EVERY_S)
            if counter(await self.metrics(), _SAMPLED) > before:
                return True
        return False

    async def metrics(self) -> str:
        """The server's counters in Prometheus' text format; nothing where there are none."""
        with suppress(LineError), anyio.move_on_after(LOOK_TIMEOUT_S):
            response = await self._line.get("/metrics")
            return _decoded(response) if response.status_code == 200 else ""
        return ""

    async def play(self, turn: TurnRequest, reply: Sink) -> None:
        """Have `turn` written into `reply`, to its end; cancelling it makes the server drop the request.

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
                await self._stream(turn, reply)
            if scope.cancelled_caught and reply.finish_reason is None:
                raise EndpointLostError(f"{self.address} was given up: it {self._why_given_up}")
        finally:
            self.num_running -= 1
            self._turns.discard(scope)

    def give_up(self, why: str) -> None:
        """End all turns that are played here as lost."""
        self._why_given_up = why
        for scope in self._turns:
            scope.cancel()

    async def _stream(self, turn: TurnRequest, reply: Sink) -> None:
        known = self.known
        body = request_body(turn, model=known.model, dialect=known.dialect, takes_priority=known.takes_priority)
        try:
            async with self._line.stream("/v1/completions", body) as response:
                if response.status_code != 200:
                    await read_whole(response)
                    raise self._refusal(response)
                async for chunk in read_chunks(received(response)):
                    self.last_sign_at = anyio.current_time()
                    self.num_signs += 1
                    reply.take(chunk)
                    if reply.finish_reason is not None and chunk.finish_reason is None:
                        return  # the server doesn't know that this was the end; closing the connection tells it
        except LineError as error:
            raise EndpointLostError(f"{self.address} went away: {error}") from error
        except BrokenOffError as error:
            raise EndpointLostError(f"{self.address} broke off: {error}") from error
        if reply.finish_reason is None:
            raise EndpointLostError(f"{self.address} broke off in the middle of a turn")

    def _refusal(self, response: "httpx2.Response") -> EngineError:
        status, said = response.status_code, _said(response)
        if status in _BUSY:
            return EndpointBusyError(f"{self.address} is busy: {said}", _pause_s(response))
        if status in _BROKEN:
            return EndpointLostError(f"{self.address} broke: {said}")
        if status in {401, 403}:
            return EngineRefusalError(f"{self.address} wants a key ({said}); put it into {KEY_VARIABLE}")
        return EngineRefusalError(f"{self.address} refused the request with {status}: {said}")

    async def _answers(self, model: str, dialect: Dialect, *, takes_priority: bool) -> bool:
        """Whether a request of this kind gets the reply it asks for."""
        prompt = [1] if dialect is Dialect.TOKENS else "1"
        turn = TurnRequest(prompt, SamplingParams(temperature=0.0), max_tokens=1, seed=0, priority=int(takes_priority))
        body = request_body(turn, model=model, dialect=dialect, takes_priority=takes_priority)
        body = {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}
        try:
            with anyio.fail_after(_TRIAL_TIMEOUT_S):
                response = await self._line.post("/v1/completions", body)
        except LineError as error:
            raise EndpointLostError(f"{self.address} went away: {error}") from error
        except TimeoutError as error:
            raise EndpointLostError(f"{self.address} gives no token within {_TRIAL_TIMEOUT_S:g} s") from error
        if response.status_code in _REFUSED | {404, 405, 501}:
            return False
        if response.status_code != 200:
            raise self._refusal(response)
        return dialect is Dialect.TEXT or bool(_first(_object(response), "choices").get("token_ids"))

    async def _json(self, path: str) -> Mapping[str, Any]:
        try:
            with anyio.fail_after(LOOK_TIMEOUT_S):
                response = await self._line.get(path)
        except LineError as error:
            raise EndpointLostError(f"{self.address} doesn't answer: {error}") from error
        except TimeoutError as error:
            raise EndpointLostError(f"{self.address} doesn't answer within {LOOK_TIMEOUT_S:g} s") from error
        if response.status_code != 200:
            raise self._refusal(response)
        return _object(response)


def _object(response: "httpx2.Response") -> Mapping[str, Any]:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _decoded(response: "httpx2.Response") -> str:
    """The body as text in UTF-8, whatever encoding the server names: some are no encodings of texts."""
    return response.content.decode("utf-8", "replace")


def _objects(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The list `name` of `content`, without what is no object."""
    found = content.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _first(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(iter(_objects(content, name)), {})


def _said(response: "httpx2.Response") -> str:
    return without_key(error_message(_object(response) or _decoded(response)))


def _pause_s(response: "httpx2.Response") -> float:
    try:
        return min(max(0.0, float(response.headers.get("retry-after", 0))), _LONGEST_PAUSE_S)
    except ValueError:
        return 0.0


def _entry(models: Mapping[str, Any], wanted: str, place: str) -> Mapping[str, Any]:
    """The entry of the model list for `wanted`, or its first."""
    entries = [entry for entry in _objects(models, "data") if _is_name(entry.get("id"))]
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


def _whole(value: object) -> int | None:
    return value if is_count(value) and value else None


def _is_name(value: object) -> bool:
    """Whether `value` can name a model in a request."""
    return value != "" and value == _text(value)


def _text(value: object) -> str:
    """`value` where it is a text, made such that no log stumbles over it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
