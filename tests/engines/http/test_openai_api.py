"""The client before stand-ins for servers: good ones, slow ones, broken ones, and none."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from drills.engines.stand_in import Mood, StandIn
from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import ConfigError, EngineError, EngineGoneError
from numina_infer.core.ports import Cutoff, Engine
from numina_infer.core.records import Completion, FinishReason, StopReason
from numina_infer.engines.admission import MARGIN, EndpointCapacity
from numina_infer.engines.http import endpoint_pool as pool
from numina_infer.engines.http import openai_api
from numina_infer.engines.http.address import KEY_VARIABLE, Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.endpoint_pool import EndpointState
from numina_infer.engines.http.openai_api import OpenAIEngine
from numina_infer.engines.scripted_engine import VOCABULARY, ScriptedEngine
from numina_infer.engines.vocabulary import Vocabulary
from tests.waiting import until

pytestmark = pytest.mark.anyio
PROMPT = "### Problem: What is 1 plus 2?\n### Solution: "
OBSERVATION = "```output\n3\n```\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and retries follow each other closely."""
    monkeypatch.setattr(pool, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(openai_api, "_SHORTEST_PAUSE_S", 0.01)


def chatter(context_text: str, seed: int) -> str:
    """A text that depends on context and seed."""
    random = Random(f"{context_text} {seed}")  # noqa: S311 (a test's text)
    return " ".join(random.choices(("sum", "répéter", "∑", "x = 1\n", "\u2028", "so"), k=40))


def endless(_context_text: str, _seed: int) -> str:
    """More than anybody waits for."""
    return "and so on " * 20_000


def never() -> Cutoff:
    """A cutoff that doesn't come."""
    return Cutoff(float("inf"))


def engine_for(*servers: StandIn, vocabulary: Vocabulary | None = VOCABULARY, **config: Any) -> OpenAIEngine:
    """A client of `servers`, not entered yet."""
    return OpenAIEngine([Address.parse(one.address) for one in servers], vocabulary, ClientConfig(**config))


@asynccontextmanager
async def two(sockets: Path, script: Any = chatter, *moods: Mood) -> AsyncIterator[tuple[StandIn, StandIn]]:
    """Two stand-ins that say the same."""
    first, second = (*moods, Mood(), Mood())[:2]
    async with (
        StandIn(sockets / "a", script, mood=first) as one,
        StandIn(sockets / "b", script, mood=second) as other,
    ):
        yield one, other


async def write(
    engine: Engine, *context: str | Completion, ticket: int = 0, seed: int = 1, **params: Any
) -> Completion:
    """One turn in a slot of its own."""
    async with engine.slot(ticket) as decoder:
        return await decoder.generate(context or (PROMPT,), SamplingParams(**params), seed=seed, cutoff=never())


async def run(engine: Engine, ticket: int, num_turns: int = 3) -> list[Completion]:
    """One trajectory in one slot."""
    context: list[str | Completion] = [PROMPT]
    async with engine.slot(ticket) as decoder:
        for turn in range(num_turns):
            params = SamplingParams(max_tokens=30)
            context += [
                await decoder.generate(context, params, seed=10 * ticket + turn, cutoff=never()),
                OBSERVATION,
            ]
    return [part for part in context if isinstance(part, Completion)]


async def run_all(engine: Engine, tickets: Sequence[int]) -> dict[int, list[Completion]]:
    """Trajectories side by side."""
    ended: dict[int, list[Completion]] = {}

    async def go(ticket: int) -> None:
        ended[ticket] = await run(engine, ticket)

    async with anyio.create_task_group() as group:
        for ticket in tickets:
            group.start_soon(go, ticket)
    return ended


def texts(trajectories: dict[int, list[Completion]]) -> dict[int, list[str]]:
    """What each wrote."""
    return {ticket: [completion.text for completion in turns] for ticket, turns in trajectories.items()}


async def test_the_cutoff_closes_the_connection_and_the_server_drops_the_request(sockets: Path) -> None:
    """What there was by then is handed over."""
    async with StandIn(sockets / "a", endless) as server, engine_for(server) as engine:
        cutoff, written = never(), list[Completion]()

        async def go() -> None:
            async with engine.slot(0) as decoder:
                params = SamplingParams(max_tokens=100_000)
                written.append(await decoder.generate([PROMPT], params, seed=1, cutoff=cutoff))

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await until(lambda: engine.stats.num_tokens > 20)
            assert server.num_running == 1
            cutoff.move(anyio.current_time(), StopReason.DECIDED)
        await until(lambda: server.num_running == 0)
    (completion,) = written
    assert completion.finish_reason is FinishReason.ABORT
    assert completion.num_tokens > 20
    assert endless("", 0).startswith(completion.text)


async def test_a_busy_endpoint_is_asked_again_for_the_same(sockets: Path) -> None:
    """A busy one isn't given up."""
    mood = Mood(num_busy=2)
    async with StandIn(sockets / "a", chatter, mood=mood) as server, engine_for(server, max_losses=0) as engine:
        completion = await write(engine, seed=7)
    first, *others = server.requests
    assert others == [first, first]
    assert first["seed"] == 7
    assert completion.text == chatter(PROMPT, 7)
    assert engine.stats.incidents == ()


@pytest.mark.parametrize("says_why", [False, True])
async def test_a_reply_that_breaks_off_is_asked_again_for_the_same(says_why: bool, sockets: Path) -> None:
    """From the beginning; the endpoint stays, since it is healthy, and the solver is told."""
    mood = Mood(num_broken=1, breaks_after=20, says_why=says_why)
    async with StandIn(sockets / "a", chatter, mood=mood) as server, engine_for(server) as engine:
        completion = await write(engine)
        is_open = EndpointState.OPEN in engine.pool.states
    first, second = server.requests
    assert first == second
    assert (completion.text, is_open) == (chatter(PROMPT, 1), True)
    (incident,) = engine.stats.incidents
    assert "lost a turn" in incident
    assert (f"{server.address} broke off: the engine died" in incident) is says_why


async def test_a_turn_that_is_always_lost_ends_its_own_trajectory_and_no_other(sockets: Path) -> None:
    """A request at which a server breaks must not take the others along."""

    def script(context_text: str, seed: int) -> str:
        if seed == 0:
            raise ConnectionResetError
        return endless(context_text, seed)

    async with (
        StandIn(sockets / "a", script) as server,
        engine_for(server, max_losses=2) as engine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: write(engine, ticket=1, seed=1, max_tokens=100_000))
        await until(lambda: engine.stats.num_tokens > 20)
        with pytest.raises(EngineError, match="lost 3 times"):
            await write(engine, seed=0)
        assert server.num_running == 1
        group.cancel_scope.cancel()
    assert [body["seed"] for body in server.requests] == [1, 0, 0, 0]


async def test_an_endpoint_that_breaks_at_every_turn_is_given_up_though_it_says_it_is_healthy(
    sockets: Path,
) -> None:
    """A trial shows it; its trajectories go elsewhere and lose one try."""
    async with two(sockets) as (broken, other), engine_for(broken, other, max_losses=1) as engine:
        broken.mood = Mood(is_broken=True)
        ended = await run_all(engine, range(4))
        assert broken.num_running == 0
    assert texts(ended) == texts(await run_all(ScriptedEngine(chatter), range(4)))
    assert "lost a turn and isn't well" in engine.stats.incidents[0]


async def test_trajectories_stay_on_their_endpoint_and_new_ones_go_to_the_least_loaded(sockets: Path) -> None:
    """Their keys and values are there."""
    async with two(sockets) as (one, other), engine_for(one, other) as engine:
        await run_all(engine, range(6))
    for server in (one, other):
        tickets = [body["priority"] for body in server.requests]
        assert sorted(tickets) == sorted(3 * sorted(set(tickets)))
        assert len(set(tickets)) == 3


async def test_trajectories_of_an_endpoint_that_dies_finish_elsewhere_with_their_history(sockets: Path) -> None:
    """Each prompt extends the one before, the texts are what they would have been, and no turn is lost."""
    ended: dict[int, list[Completion]] = {}
    async with two(sockets) as (one, dying), engine_for(one, dying) as engine:

        async def go() -> None:
            ended.update(await run_all(engine, range(6)))

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            while len(dying.requests) < 5:
                await checkpoint()
            num_running = dying.num_running
            await dying.__aexit__()
    assert texts(ended) == texts(await run_all(ScriptedEngine(chatter), range(6)))
    assert num_running > 0
    assert any(dying.address in incident for incident in engine.stats.incidents)
    for ticket in range(6):
        bodies = [body for server in (dying, one) for body in server.requests if body["priority"] == ticket]
        for earlier, later in pairwise(bodies):
            assert later["prompt"][: len(earlier["prompt"])] == earlier["prompt"]
        assert [body for body in one.requests if body["priority"] == ticket][-1]["seed"] == 10 * ticket + 2


async def test_an_endpoint_that_stalls_is_given_up_and_its_turn_finished_elsewhere(sockets: Path) -> None:
    """The solver is told what it did and how it looks otherwise."""
    async with (
        two(sockets, chatter, Mood(hangs_after=0)) as (hanging, other),
        engine_for(hanging, other, stall_s=0.5) as engine,
    ):
        completion = await write(engine)
        assert hanging.num_running == 0
    assert completion.text == chatter(PROMPT, 1)
    assert [len(server.requests) for server in (hanging, other)] == [1, 1]
    assert engine.stats.incidents[0] == f"{hanging.address} gave no token for 0.5 s and answers otherwise"


async def test_a_turn_is_given_up_when_the_only_endpoint_stalls_again_and_again(sockets: Path) -> None:
    """After as many losses as the config allows."""
    async with (
        StandIn(sockets / "a", chatter, mood=Mood(hangs_after=0)) as server,
        engine_for(server, stall_s=0.1, max_losses=1) as engine,
    ):
        with pytest.raises(EngineError, match="lost 2 times"):
            await write(engine)
    assert len(server.requests) == 2
    assert sum("gave no token" in incident for incident in engine.stats.incidents) == 2
    assert sum("is back" in incident for incident in engine.stats.incidents) == 1


class Dawdler(StandIn):
    """A server that hangs once it has said all, before it closes the stream."""

    async def _events(self, body: Mapping[str, Any], key: int) -> AsyncIterator[dict[str, Any]]:
        async for event in super()._events(body, key):
            if not event["choices"]:
                await anyio.sleep_forever()
            yield event


async def test_a_turn_that_is_complete_is_not_lost_with_its_endpoint(sockets: Path) -> None:
    """Its text stands, though the endpoint is given up before it has said good-bye, and no loss is allowed."""
    async with Dawdler(sockets / "a", chatter) as server, engine_for(server, stall_s=0.1, max_losses=0) as engine:
        completion = await write(engine)
    assert (completion.text, completion.finish_reason) == (chatter(PROMPT, 1), FinishReason.EOS)
    assert len(server.requests) == 1
    assert "gave no token" in engine.stats.incidents[0]


async def test_an_endpoint_that_comes_back_is_used_again(sockets: Path) -> None:
    """A turn that waits for it is then written."""
    completions: list[Completion] = []
    async with StandIn(sockets / "a", chatter) as server, engine_for(server) as engine:

        async def go() -> None:
            completions.append(await write(engine))

        await server.__aexit__()
        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await until(lambda: EndpointState.OPEN not in engine.pool.states)
            async with StandIn(sockets / "a", chatter):
                await until(lambda: completions)
    assert completions[0].text == chatter(PROMPT, 1)
    assert engine.stats.incidents[-1].endswith("is back")


async def test_an_endpoint_that_comes_later_is_used_once_it_is_there(sockets: Path) -> None:
    """The others don't wait for it longer than for a greeting."""
    late = StandIn(sockets / "late", chatter)
    async with StandIn(sockets / "a", chatter) as server, engine_for(server, late, greet_s=3.0) as engine:
        assert len(engine.pool.known) == 1
        async with late:
            await until(lambda: len(engine.pool.known) == 2)
            await until(lambda: set(engine.pool.states) == {EndpointState.OPEN})
            await run_all(engine, range(2))
    assert [len(one.requests) for one in (server, late)] == [3, 3]


async def test_an_endpoint_that_comes_back_with_another_model_is_not_used(
    sockets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a trajectory would be another model's."""
    async with two(sockets) as (one, other), engine_for(one, other) as engine:
        await other.__aexit__()
        await run_all(engine, range(2))
        async with StandIn(sockets / "b", chatter, model="another") as another:
            await until(lambda: "can't be used" in caplog.text)
            await run_all(engine, range(2))
    assert "doesn't serve 'stand-in'; it has another" in caplog.text
    assert another.requests == []


class Mender:
    """An owner that puts a server right at the `num_needed`-th repair, and gives up after the `num_most`-th."""

    def __init__(self, server: StandIn, *, num_needed: int, num_most: int = 100) -> None:
        self._server, self._num_needed, self._num_most = server, num_needed, num_most
        self.num_repairs = 0
        self.breaks = False
        """Whether its repairs raise."""

    def why_gone(self, _endpoint: Endpoint) -> str:
        """It never is."""
        return ""

    async def repair(self, _endpoint: Endpoint) -> EndpointState:
        """Try."""
        self.num_repairs += 1
        self._server.mood = Mood(is_broken=self.num_repairs < self._num_needed)
        if self.breaks:
            raise OSError("no space left on device")
        return EndpointState.DEAD if self.num_repairs == self._num_most else EndpointState.REPAIRED


@asynccontextmanager
async def mended(sockets: Path, **plan: int) -> AsyncIterator[tuple[OpenAIEngine, StandIn, Mender]]:
    """An engine on one stand-in that has an owner, who has as long for a repair as for a greeting: hardly any time."""
    async with StandIn(sockets / "a", chatter) as server:
        owner = Mender(server, **plan)
        config = ClientConfig(greet_s=5.0, patience_s=20.0)
        async with OpenAIEngine([Address.parse(server.address)], VOCABULARY, config, owner=owner) as engine:
            engine.pool._config = replace(config, greet_s=0.05)
            yield engine, server, owner


async def test_a_server_that_is_healthy_after_its_repair_and_gives_no_token_is_repaired_again(
    sockets: Path,
) -> None:
    """Its health says little: the turn that waits is written after the second repair."""
    async with mended(sockets, num_needed=2) as (engine, server, owner):
        server.mood = Mood(is_broken=True)
        assert (await write(engine, seed=3)).text == chatter(PROMPT, 3)
        assert owner.num_repairs == 2


async def test_a_server_that_its_owner_has_given_up_is_taken_again_when_it_comes_back(sockets: Path) -> None:
    """By whose hand ever; until then whoever asks is told that there is nothing to wait for."""
    async with mended(sockets, num_needed=100, num_most=2) as (engine, server, owner):
        server.mood = Mood(is_broken=True)
        with pytest.raises(EngineGoneError, match="is left dead"):
            await write(engine)
        server.mood = Mood()
        await until(lambda: engine.stats.incidents[-1].endswith("is back"))
        assert (await write(engine, seed=3)).text == chatter(PROMPT, 3)
        assert owner.num_repairs == 2


async def test_an_endpoint_whose_repair_breaks_is_taken_again_when_it_is_well(sockets: Path) -> None:
    """The owner's failure is none of the endpoint's."""
    async with mended(sockets, num_needed=1) as (engine, server, owner):
        owner.breaks = True
        server.mood = Mood(is_broken=True)
        assert (await write(engine, seed=3)).text == chatter(PROMPT, 3)
        assert owner.num_repairs == 1


def test_an_endpoint_that_was_given_up_is_never_repaired_again() -> None:
    """The table says what may follow what, and anything else is an error of ours."""
    address = Address.parse("/nowhere")
    watched = pool._Watched(EndpointCapacity(Endpoint(address), 1, is_open=False), EndpointState.DEAD)
    with pytest.raises(EngineError, match="/nowhere can't become lost: it is dead"):
        watched.move(EndpointState.LOST)
    watched.move(EndpointState.OPEN)
    assert set(pool._NEXT) == set(EndpointState) == {state for states in pool._NEXT.values() for state in states}


async def test_patience_ends_when_no_endpoint_comes_back(sockets: Path) -> None:
    """The trajectory ends with an error that says so."""
    async with StandIn(sockets / "a", chatter) as server, engine_for(server, patience_s=0.1) as engine:
        await server.__aexit__()
        with pytest.raises(EngineError, match=r"no endpoint came back within 0\.1 s"):
            await write(engine)


async def test_garbage_from_an_endpoint_is_named(sockets: Path) -> None:
    """Token ids that no tokenizer has show that the tokenizer is another model's."""
    async with (
        StandIn(sockets / "a", chatter, mood=Mood(sends_garbage=True)) as server,
        engine_for(server) as engine,
    ):
        with pytest.raises(EngineError, match=rf"token {1 << 70}.*give the model's own folder"):
            await write(engine)


@pytest.mark.parametrize("vocabulary", [None, VOCABULARY], ids=["no tokenizer", "a tokenizer"])
async def test_a_trajectory_on_an_endpoint_without_extensions(vocabulary: Vocabulary | None, sockets: Path) -> None:
    """Text goes out and comes in; stop strings are cut here; history is text."""

    def script(context_text: str, seed: int) -> str:
        return "ANSWER" if OBSERVATION in context_text else "code\n```\nand more"

    async with (
        StandIn(sockets / "a", script, mood=Mood(is_vllm=False)) as server,
        engine_for(server, vocabulary=vocabulary) as engine,
    ):
        first = await write(engine, stop=("```\n",))
        second = await write(engine, PROMPT, first, OBSERVATION, stop=("```\n",))
    assert (first.text, first.finish_reason, first.stop_reason) == ("code\n```\n", FinishReason.STOP, "```\n")
    assert (second.text, second.finish_reason) == ("ANSWER", FinishReason.EOS)
    assert [body["prompt"] for body in server.requests] == [PROMPT, PROMPT + first.text + OBSERVATION]
    assert not {"priority", "top_k", "return_token_ids", "stop_token_ids"} & set(server.requests[0])


async def test_limits_on_an_endpoint_without_extensions(sockets: Path) -> None:
    """The turn's own, the window that the server has, and the one that was asked for."""
    mood = Mood(is_vllm=False)
    num_prompt = len(VOCABULARY.encode(PROMPT))
    async with StandIn(sockets / "a", endless, mood=mood) as server, engine_for(server) as engine:
        short = await write(engine, max_tokens=5)
    async with (
        StandIn(sockets / "a", endless, mood=mood, max_model_len=num_prompt + 7) as server,
        engine_for(server, vocabulary=None) as engine,
    ):
        full = await write(engine, max_tokens=15)
    async with (
        StandIn(sockets / "a", endless, mood=mood) as server,
        engine_for(server, max_model_len=num_prompt) as engine,
    ):
        none = await write(engine)
    assert (short.num_tokens, short.finish_reason) == (5, FinishReason.LENGTH)
    assert (full.num_tokens, full.finish_reason) == (7, FinishReason.CONTEXT)
    assert (none.num_tokens, none.finish_reason) == (0, FinishReason.CONTEXT)


async def test_sampling_that_an_endpoint_without_extensions_lacks_is_refused(sockets: Path) -> None:
    """Rather than left out without a word."""
    async with StandIn(sockets / "a", chatter, mood=Mood(is_vllm=False)) as server, engine_for(server) as engine:
        with pytest.raises(EngineError, match="top_k and min_p can't be asked"):
            await write(engine, top_k=5, min_p=0.1)


async def test_a_priority_that_an_endpoint_refuses_is_left_out(sockets: Path) -> None:
    """All else stays."""
    async with (
        StandIn(sockets / "a", chatter, mood=Mood(takes_priority=False)) as server,
        engine_for(server) as engine,
    ):
        await write(engine, ticket=5)
    (body,) = server.requests
    assert "priority" not in body
    assert body["return_token_ids"]


async def test_endpoints_that_cannot_be_used_are_named(sockets: Path) -> None:
    """One error, no group of them, with what to do."""
    nobody = Address.parse(str(sockets / "nobody"))
    with pytest.raises(ConfigError, match="no endpoint is named"):
        OpenAIEngine([], VOCABULARY)
    with pytest.raises(EngineError, match=r"no endpoint answers at .*nobody"):
        async with OpenAIEngine([nobody], VOCABULARY, ClientConfig(greet_s=0.05)):
            pass
    async with (
        StandIn(sockets / "a", chatter) as one,
        StandIn(sockets / "b", chatter, model="other") as other,
    ):
        with pytest.raises(EngineError, match="doesn't serve 'llama'; it has stand-in"):
            await engine_for(one, model="llama").__aenter__()
        with pytest.raises(ConfigError, match="different models: other, stand-in"):
            await engine_for(one, other).__aenter__()
    with pytest.raises(EngineError, match="isn't running"):
        async with engine_for(one).slot(0):
            pass


async def test_the_key_goes_to_hosts_and_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It opens the server, and stands in no description, incident or log."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_VARIABLE, "open-sesame")
    reported: list[str] = []
    mood = Mood(key="open-sesame", num_broken=1)
    async with StandIn(None, chatter, mood=mood) as server:
        address = Address.parse(server.address)
        async with OpenAIEngine([address], VOCABULARY, report=reported.append) as engine:
            await write(engine)
            said = f"{engine.describe()} {engine.stats} {reported} {address!r}"
    assert "open-sesame" not in said + caplog.text


async def test_a_key_that_is_refused_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sockets: Path
) -> None:
    """Though the server repeats it; and a socket is sent none."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_VARIABLE, "open-barley")
    mood = Mood(key="open-sesame")
    async with StandIn(None, chatter, mood=mood) as host, StandIn(sockets / "a", chatter, mood=mood) as socket:
        with pytest.raises(EngineError, match=f"wants a key.*put it into {KEY_VARIABLE}") as refused:
            await engine_for(host).__aenter__()
        with pytest.raises(EngineError, match="None is no key of ours"):
            await engine_for(socket).__aenter__()
    assert "open-barley" not in str(refused.value) + caplog.text
    assert "doesn't answer" not in caplog.text


async def test_a_server_never_has_more_tokens_in_flight_than_it_can_hold(sockets: Path) -> None:
    """So it need not preempt; and more than one context is in flight."""
    num_prompt = len(VOCABULARY.encode(PROMPT))
    kv_tokens = 3 * (num_prompt + 120)
    async with (
        StandIn(sockets / "a", chatter, max_model_len=300, kv_tokens=kv_tokens) as server,
        engine_for(server) as engine,
    ):
        ended = await run_all(engine, range(8))
        described = engine.describe()
    assert texts(ended) == texts(await run_all(ScriptedEngine(chatter), range(8)))
    assert 2 * num_prompt < server.most_tokens <= kv_tokens
    assert (described["kv_tokens"], described["max_model_len"]) == (kv_tokens, 300)


async def test_long_turns_are_not_begun_beyond_what_the_server_can_hold(sockets: Path) -> None:
    """Contexts that grow to many times their prompt, all asked for at once; several are in flight all the same."""
    num_prompt, num_written = len(VOCABULARY.encode(PROMPT)), 400
    kv_tokens = 3 * (num_prompt + num_written + MARGIN)
    async with StandIn(sockets / "a", endless, kv_tokens=kv_tokens) as server, engine_for(server) as engine:
        written: list[int] = []

        async def go(ticket: int) -> None:
            written.append((await write(engine, ticket=ticket, max_tokens=num_written)).num_tokens)

        async with anyio.create_task_group() as group:
            for ticket in range(20):
                group.start_soon(go, ticket)
    assert written == [num_written] * 20
    assert 2 * num_written < server.most_tokens <= kv_tokens


async def test_of_a_turn_that_is_asked_again_the_longer_text_is_handed_over(sockets: Path) -> None:
    """At a cutoff that comes before the second reply has got as far as the first: no vote in it is lost."""
    cutoff, handed = never(), list[Completion]()
    mood = Mood(num_broken=5, breaks_after=64)
    async with StandIn(sockets / "a", endless, mood=mood) as server, engine_for(server, max_losses=9) as engine:

        async def go() -> None:
            async with engine.slot(0) as decoder:
                params = SamplingParams(max_tokens=10_000)
                handed.append(await decoder.generate([PROMPT], params, seed=1, cutoff=cutoff))

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await until(lambda: len(server.requests) >= 2)
            cutoff.move(anyio.current_time(), StopReason.DECIDED)
    assert handed[0].finish_reason is FinishReason.ABORT
    assert handed[0].num_tokens >= 56


async def test_the_window_of_the_smallest_endpoint_ends_a_turn(sockets: Path) -> None:
    """A trajectory may have to move there."""
    num_prompt = len(VOCABULARY.encode(PROMPT))
    async with (
        StandIn(sockets / "a", endless, max_model_len=num_prompt + 9) as one,
        StandIn(sockets / "b", endless) as other,
        engine_for(other, one) as engine,
    ):
        completion = await write(engine)
        full = await write(engine, PROMPT + "and a good deal more of it than would fit")
    assert (completion.num_tokens, completion.finish_reason) == (9, FinishReason.CONTEXT)
    assert (full.num_tokens, full.finish_reason) == (0, FinishReason.CONTEXT)
    assert other.requests[0]["max_tokens"] == 9
