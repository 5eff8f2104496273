"""What a real vLLM server does for single turns, beyond what every engine keeps (tests/contracts)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from numina_infer.core.config import SamplingParams
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Completion, FinishReason, Part, StopReason
from numina_infer.engines.http.endpoint import Endpoint, counter
from numina_infer.engines.http.openai_api import OpenAIEngine
from numina_infer.engines.http.wire import Dialect, TokenReply, TurnRequest
from numina_infer.engines.vllm.launch import SERVED_NAME
from numina_infer.engines.vocabulary import TokenizerVocabulary
from tests.vllm.servers import RunningServer, started, tiny_launch

pytestmark = [pytest.mark.anyio, pytest.mark.vllm]

PROMPT = (
    "### Problem: What is 1 plus 2? The sum of the numbers is 12. The product of the numbers is 35.\n### Solution: "
)
OUTPUT = "```output\n5050\n``` The answer is the sum of the numbers."
_BLOCK = 32


def never() -> Cutoff:
    """A cutoff that doesn't come."""
    return Cutoff(float("inf"))


async def write(
    engine: OpenAIEngine, context: Sequence[Part], seed: int, max_tokens: int = 48, ticket: int = 0, stop: str = ""
) -> Completion:
    """One turn in a seat of its own."""
    params = SamplingParams(max_tokens=max_tokens, stop=(stop,) if stop else ())
    async with engine.slot(ticket) as decoder:
        return await decoder.generate(context, params, seed=seed, cutoff=never())


async def test_the_server_is_known_by_what_it_says(tiny_server: RunningServer) -> None:
    """Version, dialect, priority, window and cache, all found by asking."""
    async with tiny_server.engine() as engine:
        (abilities,) = engine.pool.known
    assert (abilities.model, abilities.dialect, abilities.takes_priority) == (SERVED_NAME, Dialect.TOKENS, True)
    assert abilities.max_model_len == 1024
    assert abilities.kv_tokens is not None
    assert abilities.kv_tokens > 100_000
    assert abilities.version


async def test_history_comes_from_the_prefix_cache(tiny_server: RunningServer) -> None:
    """Over three turns of eight trajectories, nine tenths of what whole blocks could hold."""
    cached: list[tuple[int, int]] = []

    async def three_turns(engine: OpenAIEngine, ticket: int) -> None:
        params = SamplingParams(max_tokens=48)
        context: list[Part] = [PROMPT]
        held = 0
        async with engine.slot(ticket) as decoder:
            for turn in range(3):
                completion = await decoder.generate(context, params, seed=8 * turn + ticket, cutoff=never())
                cached.append((completion.num_cached_tokens, min(held, completion.num_prompt_tokens - 1)))
                held = completion.num_prompt_tokens + len(completion.token_ids)
                context += [completion, OUTPUT]

    async with tiny_server.engine() as engine, anyio.create_task_group() as group:
        for ticket in range(8):
            group.start_soon(three_turns, engine, ticket)
    cacheable = sum(held // _BLOCK * _BLOCK for _, held in cached)
    assert cacheable > 1000
    assert sum(count for count, held in cached if held) >= 0.9 * cacheable


async def test_the_same_seed_gives_the_same_two_turns_alone_and_among_eight(tiny_server: RunningServer) -> None:
    """Prefix cache and company change no token."""

    async def two_turns(engine: OpenAIEngine, ticket: int, seed: int) -> tuple[Completion, Completion]:
        first = await write(engine, [PROMPT], seed, ticket=ticket)
        return first, await write(engine, [PROMPT, first, OUTPUT], seed + 1, ticket=ticket)

    together: dict[int, tuple[Completion, Completion]] = {}
    async with tiny_server.engine() as engine:

        async def join(ticket: int) -> None:
            together[ticket] = await two_turns(engine, ticket, 100 + ticket % 2)

        alone = [await two_turns(engine, 0, 100), await two_turns(engine, 0, 101)]
        async with anyio.create_task_group() as group:
            for ticket in range(8):
                group.start_soon(join, ticket)
    for ticket, turns in together.items():
        assert [turn.text for turn in turns] == [turn.text for turn in alone[ticket % 2]]
        assert [turn.token_ids for turn in turns] == [turn.token_ids for turn in alone[ticket % 2]]


async def _text_with_a_long_token(
    engine: OpenAIEngine, vocabulary: TokenizerVocabulary
) -> tuple[Completion, int, str]:
    """A text in which a token begins with two characters that stand nowhere before it; which token, and the two."""
    for seed in range(50):
        uncut = await write(engine, [PROMPT], seed, max_tokens=200)
        for index, token_id in enumerate(uncut.token_ids):
            stop = vocabulary.decode([token_id])[:2]
            before = vocabulary.decode(uncut.token_ids[:index])
            if len(vocabulary.decode([token_id])) > 3 and stop.isascii() and uncut.text.index(stop) == len(before):
                return uncut, index, stop
    raise AssertionError("no text has a long token")


async def test_a_stop_string_inside_a_token_is_spliced(tiny_server: RunningServer) -> None:
    """The token that hangs over is dropped from the ids, its covered part is the tail, and history goes on from it."""
    async with tiny_server.engine() as engine:
        vocabulary = TokenizerVocabulary.from_folder(tiny_server.server.launch.model)
        uncut, index, stop = await _text_with_a_long_token(engine, vocabulary)
        cut = await write(engine, [PROMPT], seed=uncut.seed, max_tokens=200, stop=stop)
        on = await write(engine, [PROMPT, cut, OUTPUT], seed=4)
    assert cut.text == uncut.text[: uncut.text.index(stop) + len(stop)]
    assert (cut.finish_reason, cut.stop_reason) == (FinishReason.STOP, stop)
    assert cut.text == vocabulary.decode(cut.token_ids) + cut.tail
    assert (len(cut.token_ids), cut.tail) == (index, stop)
    assert on.num_prompt_tokens == cut.num_prompt_tokens + len(cut.token_ids) + len(
        vocabulary.encode(cut.tail + OUTPUT)
    )


async def test_at_the_cutoff_the_server_drops_the_request(tiny_server: RunningServer) -> None:
    """The connection is closed in the middle of a turn, and nothing runs on the server any more."""
    vocabulary = TokenizerVocabulary.from_folder(tiny_server.server.launch.model)
    prompt_ids, params, cutoff = vocabulary.encode(PROMPT), SamplingParams(max_tokens=900), never()
    reply = TokenReply(vocabulary, params, prompt_ids, room=900)
    async with Endpoint(tiny_server.server.address) as endpoint, anyio.create_task_group() as group:
        await endpoint.greet()

        async def go() -> None:
            with cutoff.scope():
                await endpoint.play(TurnRequest(prompt_ids, params, 900, 1, 0, ignore_eos=True), reply.take)

        group.start_soon(go)
        await _until(endpoint, "vllm:num_requests_running", 1)
        cutoff.move(anyio.current_time(), StopReason.DECIDED)
        with anyio.fail_after(60):
            while endpoint.num_running or counter(await endpoint.metrics(), "vllm:num_requests_running"):
                await anyio.sleep(0.005)
    completion = reply.completion(1)
    assert completion.finish_reason is FinishReason.ABORT
    assert completion.num_tokens < 900


async def test_the_lower_ticket_is_served_first(narrow_server: RunningServer) -> None:
    """On a server with one place, what waits is taken by ticket and not by arrival."""
    served: list[int] = []
    vocabulary = TokenizerVocabulary.from_folder(narrow_server.server.launch.model)
    prompt_ids = vocabulary.encode(PROMPT)
    params = SamplingParams(max_tokens=8)

    async def play(endpoint: Endpoint, ticket: int) -> None:
        reply = TokenReply(vocabulary, params, prompt_ids, room=900)
        await endpoint.play(TurnRequest(prompt_ids, params, 8, seed=ticket, priority=ticket), reply.take)
        served.append(ticket)

    async with Endpoint(narrow_server.server.address) as endpoint, anyio.create_task_group() as group:
        await endpoint.greet()
        group.start_soon(_occupy, narrow_server)
        await _until(endpoint, "vllm:num_requests_running", 1)
        for count, ticket in enumerate((40, 10, 30, 20), start=1):
            group.start_soon(play, endpoint, ticket)
            await _until(endpoint, "vllm:num_requests_waiting", count)
    assert served == [10, 20, 30, 40]


@pytest.fixture
def narrow_server(tiny_model: Path) -> Iterator[RunningServer]:
    """A server that decodes one request at a time."""
    with started(tiny_launch(tiny_model, max_num_seqs=1)) as server:
        yield server


async def _occupy(server: RunningServer) -> None:
    """Keep the server's one place busy for as long as its window allows."""
    body = {"model": SERVED_NAME, "prompt": [5], "max_tokens": 1000, "ignore_eos": True}
    async with server.server.address.client() as client:
        (await client.post("/v1/completions", json=body)).raise_for_status()


async def _until(endpoint: Endpoint, gauge: str, least: int) -> None:
    with anyio.fail_after(60):
        while counter(await endpoint.metrics(), gauge) < least:
            await anyio.sleep(0.005)
