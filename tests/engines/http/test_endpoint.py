"""One endpoint: greeting it, and what it answers when it isn't what it should be."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from drills.engines.http_server import HttpServer, Request, Response
from drills.engines.stand_in import Mood, StandIn
from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.engines.http import endpoint as module
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint, counter, kv_tokens
from numina_infer.engines.http.wire import Chunk, Dialect, EndpointLostError, TurnRequest
from tests.waiting import until

pytestmark = pytest.mark.anyio
TURN = TurnRequest([1], SamplingParams(), max_tokens=5, seed=0, priority=0)
METRICS = """# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="100",prefix="a,b=c"} 1.0
vllm:cache_config_info{block_size="16",num_gpu_blocks="50"} 1.0
vllm:num_requests_running{engine="0"} 3.0
vllm:num_requests_running{engine="1"} 2.0
vllm:num_requests_running_more 7.0
"""


def never_complete(chunk: Chunk) -> bool:
    """Reads a piece of a reply without an end."""
    return False


@asynccontextmanager
async def serving(path: Path, handler: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[Endpoint]:
    """An endpoint behind which `handler` answers."""
    server = HttpServer(path / "s", handler)
    await server.open()
    try:
        async with Endpoint(Address.parse(str(path / "s"))) as endpoint:
            yield endpoint
    finally:
        await server.close()


def answers(**by_path: object) -> Callable[[Request], Awaitable[Response]]:
    """A server with one answer a path; its last part names it."""

    async def answer(request: Request) -> Response:
        content = by_path.get(request.path.rpartition("/")[2])
        if isinstance(content, Response):
            return content
        return Response(404) if content is None else Response.of(content)

    return answer


async def test_a_greeting_finds_out_what_an_endpoint_can_do(sockets: Path) -> None:
    """All of it on vLLM, and less elsewhere."""
    address = Address.parse(str(sockets / "s"))
    async with Endpoint(address) as endpoint:
        async with StandIn(sockets / "s", [["a"]], max_model_len=300, kv_tokens=900):
            full = await endpoint.greet()
        async with StandIn(sockets / "s", [["a"]], mood=Mood(is_vllm=False)):
            plain = await endpoint.greet("stand-in")
        async with StandIn(sockets / "s", [["a"]]):
            without = await endpoint.greet(with_tokens=False)
    assert (full.dialect, full.takes_priority, full.max_model_len, full.kv_tokens) == (Dialect.TOKENS, True, 300, 900)
    assert (plain.dialect, plain.takes_priority, plain.max_model_len, plain.kv_tokens) == (
        Dialect.TEXT,
        False,
        None,
        None,
    )
    assert (without.dialect, without.takes_priority) == (Dialect.TEXT, False)


MODELS = {"data": [{"id": "m"}]}


@pytest.mark.parametrize(
    ("by_path", "message"),
    [
        ({"models": {"data": []}}, "lists no model"),
        ({"models": {"data": 5}}, "lists no model"),
        ({"models": [1]}, "lists no model"),
        ({"models": Response(body=b"<html>")}, "lists no model"),
        ({"models": MODELS}, "doesn't complete texts"),
        ({"models": MODELS, "completions": Response(403)}, "wants a key"),
        ({"models": MODELS, "completions": Response(418, b"short and stout")}, "with 418: short and stout"),
        ({"models": MODELS, "completions": Response(500, b"oh")}, "broke: oh"),
    ],
)
async def test_a_greeting_names_what_is_no_such_server(
    by_path: dict[str, object], message: str, sockets: Path
) -> None:
    """In an error of ours, whatever it answers."""
    async with serving(sockets, answers(**by_path)) as endpoint:
        with pytest.raises(EngineError, match=message):
            await endpoint.greet()


@pytest.mark.parametrize("choices", [5, {}, [], [5], [{}], [{"token_ids": None}]])
async def test_an_odd_answer_to_a_trial_shows_that_token_ids_are_not_spoken(choices: object, sockets: Path) -> None:
    """Then text is."""
    models = {"data": [5, {"id": "m", "max_model_len": "many"}]}
    async with serving(sockets, answers(models=models, completions={"choices": choices})) as endpoint:
        abilities = await endpoint.greet()
    assert (abilities.dialect, abilities.max_model_len) == (Dialect.TEXT, None)


async def test_a_trial_that_is_never_answered_is_given_up(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stuck server must not hold whoever greets it."""
    monkeypatch.setattr(module, "_TRIAL_TIMEOUT_S", 0.05)

    async def answer(request: Request) -> Response:
        if request.path == "/v1/completions":
            await anyio.sleep_forever()
        return Response.of(MODELS)

    async with serving(sockets, answer) as endpoint:
        with pytest.raises(EndpointLostError, match=r"doesn't answer /v1/completions within 0\.05 s"):
            await endpoint.greet()


@pytest.mark.parametrize(
    ("health", "is_healthy"),
    [
        (Response(200), True),
        (Response(503), False),
        (Response(body=b"no gzip", headers=(("content-encoding", "gzip"),)), False),
        (None, True),
    ],
)
async def test_health_is_asked_in_two_ways(health: Response | None, is_healthy: bool, sockets: Path) -> None:
    """The list of models tells where there is no `/health`; what can't be read is no health."""
    async with serving(sockets, answers(health=health, models=MODELS)) as endpoint:
        assert await endpoint.is_healthy() is is_healthy
    assert await endpoint_at(sockets / "nobody") is False


async def endpoint_at(path: Path) -> bool:
    """Whether somebody is there."""
    async with Endpoint(Address.parse(str(path))) as endpoint:
        return await endpoint.is_healthy()


async def test_turns_that_are_given_up_are_lost(sockets: Path) -> None:
    """All of them, and the server drops them."""

    def endless(context_text: str, seed: int) -> str:
        return "and so on " * 20_000

    lost: list[EndpointLostError] = []
    async with StandIn(sockets / "s", endless) as server, Endpoint(Address.parse(server.address)) as endpoint:
        await endpoint.greet()

        async def play() -> None:
            with pytest.raises(EndpointLostError, match="given up") as raised:
                await endpoint.play(TurnRequest([1], SamplingParams(), 100_000, seed=0, priority=0), never_complete)
            lost.append(raised.value)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(play)
            await until(lambda: server.num_running == 3)
            endpoint.give_up("hangs")
        await until(lambda: server.num_running == 0)
    assert (len(lost), endpoint.num_running) == (3, 0)


async def test_a_reply_without_an_end_is_lost(sockets: Path) -> None:
    """However politely the server closes it."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b'data: {"choices": [{"text": "a"}]}\n\ndata: [DONE]\n\n'

    async def answer(request: Request) -> Response:
        if b'"stream":true' in request.body:
            return Response(pieces=pieces())
        return Response.of({**MODELS, "choices": []})

    taken: list[Chunk] = []

    def take(chunk: Chunk) -> bool:
        taken.append(chunk)
        return False

    async with serving(sockets, answer) as endpoint:
        await endpoint.greet()
        with pytest.raises(EndpointLostError, match="broke off in the middle"):
            await endpoint.play(TurnRequest("a", SamplingParams(), 5, seed=0, priority=0), take)
    assert [chunk.text for chunk in taken] == ["a"]


async def test_an_endpoint_is_greeted_before_it_plays(sockets: Path) -> None:
    """Or nobody knew how to speak to it."""
    async with Endpoint(Address.parse(str(sockets / "s"))) as endpoint:
        with pytest.raises(EngineError, match="hasn't been greeted"):
            await endpoint.play(TURN, never_complete)


def test_the_capacity_stands_in_vllms_metrics() -> None:
    """Summed over the engines of one server; none where there are no such metrics."""
    assert kv_tokens(METRICS) == 2400
    assert kv_tokens("") is None
    assert kv_tokens('vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0') is None
    assert counter(METRICS, "vllm:num_requests_running") == 5
