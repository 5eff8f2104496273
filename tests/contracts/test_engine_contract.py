"""What every engine keeps, whatever writes its text."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from drills.engines.faulty import Faults, FaultyEngine
from drills.engines.stand_in import StandIn
from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig, TransformersConfig
from numina_infer.core.ports import Cutoff, Engine
from numina_infer.core.records import Completion, FinishReason, StopReason
from numina_infer.engines.cached_engine import CachedEngine
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.openai_api import OpenAIEngine
from numina_infer.engines.local.transformers_engine import TransformersEngine
from numina_infer.engines.scripted_engine import VOCABULARY, Cue, ScriptedEngine
from numina_infer.engines.simulated_engine import Passage, SimulatedEngine
from numina_infer.engines.simulated_machine import MachineCosts
from numina_infer.solving.supervised import SupervisedEngine
from tests.socket_paths import short_folder

if TYPE_CHECKING:
    from tests.vllm.servers import RunningServer

pytestmark = pytest.mark.anyio
Open = Callable[..., AbstractAsyncContextManager[Engine]]
PROMPT = "### Problem: What is 1 plus 2?\n### Solution: "
COSTS = MachineCosts(base_s=1e-4, sequence_s=0, token_s=1e-9, prefill_s=1e-6, kv_tokens=1_000_000)
WORDS = ("sum", "répéter", "```python\n", "x = 1\n", "∑", "```\n", "the answer", "𝔽", " is ", "\\boxed{3}")


def chatter(context_text: str, seed: int) -> str:
    """A long text that depends on context and seed."""
    random = Random(f"{context_text} {seed}")  # noqa: S311 (a test's text)
    return " ".join(random.choices(WORDS, k=300))


@asynccontextmanager
async def open_stand_in(**limits: Any) -> AsyncIterator[Engine]:
    """The client, before a stand-in for a server."""
    with short_folder() as folder:
        socket = folder / "s"
        async with (
            StandIn(socket, chatter, max_model_len=limits.get("max_model_len", 1_000_000)),
            OpenAIEngine([Address.parse(str(socket))], VOCABULARY, ClientConfig(**limits)) as engine,
        ):
            yield engine


@asynccontextmanager
async def open_late(**limits: Any) -> AsyncIterator[Engine]:
    """The scripted one, started late and with faults that don't strike."""

    async def make() -> AbstractAsyncContextManager[Engine]:
        return FaultyEngine(ScriptedEngine(chatter, **limits), Faults())

    async with SupervisedEngine(make) as engine:
        async with engine.slot(0):
            pass  # from here on it is there
        yield engine


@asynccontextmanager
async def open_cached(**limits: Any) -> AsyncIterator[Engine]:
    """The scripted one, with a cache around it."""
    with TemporaryDirectory() as folder:
        async with CachedEngine(ScriptedEngine(chatter, **limits), Path(folder)) as engine:
            yield engine


class Chatter:
    """An author for the simulated engine, whose texts are as long as they are."""

    name = "chatter"

    def passage(self, cue: Cue) -> Passage:
        """What the script says."""
        return Passage(chatter(cue.context_text, cue.seed))


@pytest.fixture(
    params=[
        "scripted",
        "cached",
        "late",
        "simulated",
        "transformers",
        "openai_api",
        pytest.param("vllm", marks=pytest.mark.vllm),
    ]
)
def open_engine(request: pytest.FixtureRequest) -> Open:
    """Makes an engine of the kind under test, to be entered."""
    opened = {"cached": open_cached, "late": open_late, "openai_api": open_stand_in}
    if request.param in opened:
        return opened[request.param]
    if request.param == "scripted":
        return lambda **limits: ScriptedEngine(chatter, **limits)
    if request.param == "simulated":
        return lambda **limits: SimulatedEngine(Chatter(), COSTS, **limits)
    if request.param == "vllm":
        server: RunningServer = request.getfixturevalue("tiny_server")
        return server.engine
    folder: Path = request.getfixturevalue("tiny_model")
    return lambda **limits: TransformersEngine(TransformersConfig(model=str(folder), num_threads=1, **limits))


def never() -> Cutoff:
    """A cutoff that doesn't come."""
    return Cutoff(float("inf"))


async def write(
    engine: Engine,
    *context: str | Completion,
    ticket: int = 0,
    seed: int = 1,
    cutoff: Cutoff | None = None,
    max_tokens: int = 40,
    stop: tuple[str, ...] = (),
) -> Completion:
    """One turn in a slot of its own."""
    params = SamplingParams(max_tokens=max_tokens, stop=stop)
    async with engine.slot(ticket) as decoder:
        return await decoder.generate(context or (PROMPT,), params, seed=seed, cutoff=cutoff or never())


async def write_long(engine: Engine, num_tokens: int) -> Completion:
    """A text that long, by whichever seed gives one."""
    for seed in range(50):
        completion = await write(engine, seed=seed, max_tokens=num_tokens)
        if completion.num_tokens == num_tokens:
            return completion
    raise AssertionError("no seed gives a long text")


async def until_written(engine: Engine, num_tokens: int) -> None:
    """Let the engine work until it has sampled `num_tokens` in all."""
    while engine.stats.num_tokens < num_tokens:
        await checkpoint()


async def test_max_tokens_ends_a_turn(open_engine: Open) -> None:
    """Exactly that many tokens, and the reason says so."""
    async with open_engine() as engine:
        completion = await write(engine, max_tokens=7)
    assert (completion.num_tokens, completion.finish_reason) == (7, FinishReason.LENGTH)


async def test_text_is_cut_right_behind_a_stop_string_wherever_it_falls_in_the_tokens(open_engine: Open) -> None:
    """The stop string stays; tokens within the text and the tail make up the text; some tails are not empty."""
    async with open_engine() as engine:
        uncut = await write(engine)
        stops = sorted({uncut.text[at : at + 3] for at in range(0, len(uncut.text) - 3, 5)})
        cut = [await write(engine, stop=(stop,)) for stop in stops]
        prompts = [(await write(engine, PROMPT, one, " and then", max_tokens=1)).num_prompt_tokens for one in cut]
        as_text = [(await write(engine, one.tail + " and then", max_tokens=1)).num_prompt_tokens for one in cut]
    for stop, completion, num_prompt, num_appended in zip(stops, cut, prompts, as_text, strict=True):
        assert completion.text == uncut.text[: uncut.text.index(stop) + len(stop)]
        assert (completion.finish_reason, completion.stop_reason) == (FinishReason.STOP, stop)
        assert completion.token_ids == uncut.token_ids[: len(completion.token_ids)]
        assert num_prompt == uncut.num_prompt_tokens + len(completion.token_ids) + num_appended
    assert any(completion.tail for completion in cut)
    assert not all(completion.tail for completion in cut)


async def test_of_several_stop_strings_the_first_in_the_text_ends_it(open_engine: Open) -> None:
    """Order in the parameters doesn't matter."""
    async with open_engine() as engine:
        uncut = await write(engine)
        early, late = uncut.text[4:7], uncut.text[-6:-3]
        completions = [await write(engine, stop=stop) for stop in ((early, late), (late, early))]
    assert {completion.text for completion in completions} == {uncut.text[: uncut.text.index(early) + 3]}


async def test_the_same_seed_gives_the_same_text_alone_and_among_eight(open_engine: Open) -> None:
    """What else is in the batch changes nothing."""
    async with open_engine(max_num_seqs=8) as engine:
        alone = await write(engine, seed=5)
        together: list[Completion] = []

        async def join(index: int) -> None:
            prompt = PROMPT if index != 3 else "Quite another prompt, and a longer one too, for a neighbour. " * 3
            completion = await write(engine, prompt, ticket=index, seed=5 if index % 2 else index, max_tokens=40)
            if index % 2 and index != 3:
                together.append(completion)

        async with anyio.create_task_group() as group:
            for index in range(8):
                group.start_soon(join, index)
    assert {completion.text for completion in together} == {alone.text}
    assert {completion.cumulative_logprob for completion in together} == {alone.cumulative_logprob}


async def test_different_seeds_give_different_texts(open_engine: Open) -> None:
    """Or there would be no use in voting."""
    async with open_engine() as engine:
        texts = {(await write(engine, seed=seed)).text for seed in range(6)}
    assert len(texts) == 6


async def test_a_cutoff_that_has_passed_gives_an_empty_abort(open_engine: Open) -> None:
    """Nothing is decoded."""
    async with open_engine() as engine:
        completion = await write(engine, cutoff=Cutoff(anyio.current_time()))
        num_tokens = engine.stats.num_tokens
    assert (completion.text, completion.token_ids, completion.finish_reason) == ("", (), FinishReason.ABORT)
    assert num_tokens == 0


async def test_a_cutoff_on_the_way_hands_over_what_there_is(open_engine: Open) -> None:
    """The text so far, which is a beginning of the text that would have been; nothing keeps running."""
    async with open_engine() as engine:
        uncut = await write_long(engine, 400)
        before, cutoff, written = engine.stats.num_tokens, never(), list[Completion]()

        async def go() -> None:
            # Another limit makes it another request, or a cache would have the whole of it.
            written.append(await write(engine, cutoff=cutoff, seed=uncut.seed, max_tokens=401))

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await until_written(engine, before + 20)
            cutoff.move(anyio.current_time(), StopReason.DECIDED)
        assert engine.stats.num_running == 0
    (completion,) = written
    assert completion.finish_reason is FinishReason.ABORT
    assert 0 < completion.num_tokens < uncut.num_tokens
    assert uncut.text.startswith(completion.text)
    assert uncut.token_ids[: len(completion.token_ids)] == completion.token_ids


async def test_a_full_context_ends_the_turn(open_engine: Open) -> None:
    """Tokens up to the window's end; no token when there is no room at all."""
    async with open_engine() as engine:
        num_prompt = (await write(engine, max_tokens=1)).num_prompt_tokens
    async with open_engine(max_model_len=num_prompt + 5) as engine:
        short = await write(engine)
    async with open_engine(max_model_len=num_prompt) as engine:
        empty = await write(engine)
    assert (short.num_tokens, short.finish_reason) == (5, FinishReason.CONTEXT)
    assert (empty.num_tokens, empty.text, empty.finish_reason) == (0, "", FinishReason.CONTEXT)


async def test_no_more_trajectories_run_than_there_are_slots(open_engine: Open) -> None:
    """And all slots are used; a trajectory has its slot from its first turn at the latest, until it leaves."""
    holding, most = 0, 0
    async with open_engine(max_num_seqs=2) as engine:

        async def hold(ticket: int) -> None:
            nonlocal holding, most
            async with engine.slot(ticket) as decoder:
                await decoder.generate([PROMPT], SamplingParams(max_tokens=4), seed=ticket, cutoff=never())
                holding += 1
                most = max(most, holding)
                await decoder.generate([PROMPT], SamplingParams(max_tokens=4), seed=50 + ticket, cutoff=never())
                holding -= 1

        async with anyio.create_task_group() as group:
            for ticket in range(6):
                group.start_soon(hold, ticket)
    assert most == 2


async def test_the_lowest_ticket_gets_the_next_slot(open_engine: Open) -> None:
    """Whatever order they came in."""
    served: list[int] = []
    params = SamplingParams(max_tokens=1)
    async with open_engine(max_num_seqs=1) as engine:

        async def queue(ticket: int) -> None:
            async with engine.slot(ticket) as decoder:
                await decoder.generate([PROMPT], params, seed=ticket, cutoff=never())
                served.append(ticket)

        async with anyio.create_task_group() as group, engine.slot(0) as first:
            await first.generate([PROMPT], params, seed=0, cutoff=never())
            for ticket in (5, 2, 9, 1):
                group.start_soon(queue, ticket)
            await anyio.wait_all_tasks_blocked()
    assert served == [1, 2, 5, 9]


async def test_a_trajectory_that_is_cancelled_while_it_writes_gives_its_slot_back(open_engine: Open) -> None:
    """Its row is gone at once, and the next one writes what it would have written anyway."""
    async with open_engine(max_num_seqs=1) as engine:
        expected = await write(engine, seed=3)
        before = engine.stats.num_tokens
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: write(engine, max_tokens=200))
            await until_written(engine, before + 10)
            group.cancel_scope.cancel()
        assert engine.stats.num_running == 0
        assert (await write(engine, seed=3)).text == expected.text


async def test_history_is_only_extended(open_engine: Open) -> None:
    """A turn's prompt is the last turn's prompt, its tokens, and the new text; in one slot or in another."""
    async with open_engine() as engine:
        first = await write(engine, max_tokens=9)
        second = await write(engine, PROMPT, first, "3\n```", max_tokens=9)
        third = await write(engine, PROMPT, first, "3\n```", second, "4\n```", max_tokens=9)
        appended = (await write(engine, second.tail + "4\n```", max_tokens=1)).num_prompt_tokens
    assert second.num_prompt_tokens > first.num_prompt_tokens + len(first.token_ids)
    assert third.num_prompt_tokens == second.num_prompt_tokens + len(second.token_ids) + appended


async def test_special_tokens_in_our_text_are_spelled_out(open_engine: Open) -> None:
    """A program that prints one can't end the turn with it."""
    async with open_engine() as engine:
        with_special = await write(engine, "a<|im_end|>b", max_tokens=1)
        without = await write(engine, "ab", max_tokens=1)
    assert with_special.num_prompt_tokens > without.num_prompt_tokens + 1


async def test_stats_count_every_token_once(open_engine: Open) -> None:
    """And nothing runs in the end."""
    async with open_engine() as engine:
        completions = [await write(engine, seed=seed, max_tokens=5 + seed) for seed in range(3)]
        stats = engine.stats
    assert stats.num_tokens == sum(completion.num_tokens for completion in completions)
    assert stats.num_running == 0


async def test_an_engine_says_what_it_is(open_engine: Open) -> None:
    """Name and model, for the run log."""
    async with open_engine() as engine:
        described = engine.describe()
    assert described["engine"] in {"scripted", "faulty scripted", "simulated", "transformers", "openai_api", "vllm"}
    assert described["model"]
