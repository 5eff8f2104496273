"""The decode loop over real forward passes of a tiny model, and once over SmolLM2."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
import torch
from anyio.lowlevel import checkpoint

from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Completion, FinishReason
from numina_infer.engines.context import Transcript
from numina_infer.engines.local.decoding import DecodeLoop, Row, Stepper, TransformersDecoder
from numina_infer.engines.local.models import LoadedModel, load
from numina_infer.engines.local.passes import Passes
from numina_infer.engines.local.smollm2 import find_or_convert
from numina_infer.engines.local.transformers_engine import TransformersEngine

pytestmark = pytest.mark.anyio
PROMPT = "The sum of the numbers is 12. " * 12
NEVER = Cutoff(float("inf"))


@pytest.fixture
def config(tiny_model: Path) -> TransformersConfig:
    """The tiny model on one thread."""
    return TransformersConfig(model=str(tiny_model), num_threads=1, max_num_seqs=8)


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)], ids=["one thread", "two threads"])
def either_config(request: pytest.FixtureRequest, config: TransformersConfig) -> TransformersConfig:
    """The tiny model on one thread and on two, which take products apart in other ways."""
    return replace(config, num_threads=request.param)


def quiet(line: str) -> None:
    """Report nothing."""


async def write(
    engine: TransformersEngine,
    ticket: int,
    *contexts: str | Completion,
    temperature: float = 1.0,
    max_tokens: int = 30,
) -> Completion:
    """One turn in a slot of its own; the ticket is the seed."""
    params = SamplingParams(temperature=temperature, max_tokens=max_tokens)
    async with engine.slot(ticket) as decoder:
        return await decoder.generate(contexts or (PROMPT,), params, seed=ticket, cutoff=NEVER)


def reference_greedy(loaded: LoadedModel, prompt: str, num_tokens: int) -> list[int]:
    """Greedy decoding without cache or batch, with attention as transformers computes it."""
    ids = list(loaded.vocabulary.encode(prompt))
    loaded.model.set_attn_implementation("eager")
    for _ in range(num_tokens):
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        ids.append(int(logits.argmax()))
    return ids[-num_tokens:]


async def test_greedy_text_is_what_transformers_itself_computes(config: TransformersConfig) -> None:
    """In a batch of prompts of several lengths, each with segments, caches and padding of its own."""
    prompts = [PROMPT[:length] for length in (1, 40, 150, 300)]
    written: dict[int, Completion] = {}

    async with TransformersEngine(config) as engine:

        async def go(index: int) -> None:
            written[index] = await write(engine, index, prompts[index], temperature=0, max_tokens=12)

        async with anyio.create_task_group() as group:
            for index in range(len(prompts)):
                group.start_soon(go, index)
    loaded = load(config, quiet)
    for index, prompt in enumerate(prompts):
        expected = reference_greedy(loaded, prompt, 12)
        kept = written[index].token_ids
        assert list(kept) == expected[: len(kept)]
        assert len(kept) > 8


async def test_log_probabilities_are_the_models_own(config: TransformersConfig) -> None:
    """Temperature and filters don't touch them."""
    async with TransformersEngine(config) as engine:
        written = [await write(engine, seed, temperature=0.5, max_tokens=10) for seed in range(6)]
    completion = next(one for one in written if len(one.token_ids) == one.num_tokens)
    loaded = load(config, quiet)
    loaded.model.set_attn_implementation("eager")
    prompt = loaded.vocabulary.encode(PROMPT)
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([[*prompt, *completion.token_ids]]), use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits[len(prompt) - 1 : -1].float(), dim=-1)
    expected = float(logprobs.gather(1, torch.tensor(completion.token_ids)[:, None]).sum())
    assert completion.cumulative_logprob == pytest.approx(expected, abs=1e-3)


async def test_one_prompt_is_computed_once_for_all_its_trajectories(either_config: TransformersConfig) -> None:
    """All but its last token come from the first one's cache; the texts are those of a fresh engine, bit by bit."""
    together: dict[int, Completion] = {}
    async with TransformersEngine(either_config) as engine:

        async def go(index: int) -> None:
            together[index] = await write(engine, index)

        async with anyio.create_task_group() as group:
            for index in range(8):
                group.start_soon(go, index)
    num_prompt = together[0].num_prompt_tokens
    assert [together[index].num_cached_tokens for index in range(8)] == [0] + [num_prompt - 1] * 7
    for index in (1, 7):
        async with TransformersEngine(either_config) as engine:
            alone = await write(engine, index)
        assert alone.num_cached_tokens == 0
        assert (alone.text, alone.cumulative_logprob) == (together[index].text, together[index].cumulative_logprob)


async def test_a_common_beginning_is_shared_between_problems(either_config: TransformersConfig) -> None:
    """In whole segments, and to the same bits."""
    async with TransformersEngine(either_config) as engine:
        await write(engine, 1, PROMPT + "one")
        shared = await write(engine, 2, PROMPT + "another")
    async with TransformersEngine(either_config) as engine:
        alone = await write(engine, 2, PROMPT + "another")
    assert shared.num_cached_tokens >= 64
    assert shared.num_cached_tokens % 16 == 0
    assert (shared.text, shared.cumulative_logprob) == (alone.text, alone.cumulative_logprob)


async def test_every_slot_has_a_cache_of_its_own(
    config: TransformersConfig,
) -> None:
    """Two trajectories in one cache would overwrite each other."""
    config = replace(config, max_num_seqs=3)
    async with TransformersEngine(config) as engine, engine.slot(0) as first, engine.slot(1) as second:
        async with engine.slot(2) as third:
            held = {id(slot._cache) for slot in (first, second, third)}
        async with engine.slot(3) as fourth:
            assert {id(slot._cache) for slot in (first, second, fourth)} == held
    assert len(held) == 3


async def test_the_second_turn_computes_only_what_is_new(config: TransformersConfig) -> None:
    """The prompt and the first turn lie in the slot's cache, but for the last token, which was never computed."""
    params = SamplingParams(max_tokens=10)
    async with TransformersEngine(config) as engine, engine.slot(0) as decoder:
        first = await decoder.generate([PROMPT], params, seed=3, cutoff=NEVER)
        second = await decoder.generate([PROMPT, first, "```output\n5"], params, seed=4, cutoff=NEVER)
    assert second.num_cached_tokens == first.num_prompt_tokens + len(first.token_ids) - 1


async def test_two_turns_give_the_same_text_alone_and_in_company(either_config: TransformersConfig) -> None:
    """Neighbours that join, leave and write between the turns change nothing."""
    params = SamplingParams(max_tokens=25)

    async def two_turns(engine: TransformersEngine) -> tuple[Completion, Completion]:
        async with engine.slot(0) as decoder:
            first = await decoder.generate([PROMPT], params, seed=3, cutoff=NEVER)
            return first, await decoder.generate([PROMPT, first, "\n5050\n"], params, seed=4, cutoff=NEVER)

    async with TransformersEngine(either_config) as engine:
        alone = await two_turns(engine)
    async with TransformersEngine(either_config) as engine, anyio.create_task_group() as group:
        for ticket in range(1, 8):
            group.start_soon(partial(write, engine, ticket, PROMPT[ticket:], max_tokens=7 * ticket))
        in_company = await two_turns(engine)
    for mine, theirs in zip(alone, in_company, strict=True):
        assert (mine.text, mine.cumulative_logprob) == (theirs.text, theirs.cumulative_logprob)


class Breaking:
    """A model that fails when a marked token comes, and otherwise is the tiny one."""

    def __init__(self, loaded: LoadedModel, error: Exception) -> None:
        self.device = loaded.model.device
        self._model, self._error = loaded.model, error
        self._mark = loaded.vocabulary.encode("!")[0]

    def __call__(self, input_ids: torch.Tensor, **kwargs: object) -> object:
        """A forward pass, or the error."""
        if self._mark in input_ids:
            raise self._error
        return self._model(input_ids=input_ids, **kwargs)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError("no room"), EngineError("softcap")])
async def test_a_pass_that_fails_fails_its_rows_and_the_engine_goes_on(
    config: TransformersConfig, error: Exception
) -> None:
    """The next call is served as if nothing had been."""
    from concurrent.futures import ThreadPoolExecutor

    loaded = load(config, quiet)
    stepper = Stepper(Passes(Breaking(loaded, error), loaded.row_counts), 1)
    with ThreadPoolExecutor(1) as executor:
        loop = DecodeLoop(stepper, loaded.vocabulary.end_ids, executor)
        decoder = TransformersDecoder(loaded, loop, stepper.caches[0], 0)
        params = SamplingParams(max_tokens=5, temperature=0)
        async with anyio.create_task_group() as group:
            group.start_soon(loop.run)
            before = await decoder.generate([PROMPT], params, seed=0, cutoff=NEVER)
            with pytest.raises(EngineError, match=str(error)):
                await decoder.generate([PROMPT, "!"], params, seed=0, cutoff=NEVER)
            after = await decoder.generate([PROMPT], params, seed=0, cutoff=NEVER)
            group.cancel_scope.cancel()
    assert before.text == after.text


def test_logits_that_are_not_numbers_fail_their_row_alone(config: TransformersConfig) -> None:
    """The others in the batch draw on."""
    loaded = load(config, quiet)

    class PartlyNaN:
        device = loaded.model.device

        def __call__(self, **kwargs: object) -> object:
            output = loaded.model(**kwargs)
            output.logits[0, 0] = float("nan")
            return output

    stepper = Stepper(Passes(PartlyNaN(), (4,)), 2)
    results = stepper.step(rows_for(stepper, loaded, ["a", "b"]))
    assert [isinstance(result, EngineError) for result in results.values()] == [True, False]


def rows_for(stepper: Stepper, loaded: LoadedModel, prompts: Sequence[str]) -> list[Row]:
    """A row for each one-token prompt."""
    params = SamplingParams()
    return [
        Row(
            ticket=index,
            cache=stepper.caches[index],
            is_first_turn=True,
            prompt_ids=loaded.vocabulary.encode(prompt),
            transcript=Transcript(loaded.vocabulary.decode, params, room=100),
            params=params,
            seed=index,
        )
        for index, prompt in enumerate(prompts)
    ]


async def test_leaving_the_engine_fails_what_still_waits_and_ends_the_thread(config: TransformersConfig) -> None:
    """Nobody waits for ever; a later call is refused with the reason."""
    failures: list[str] = []

    async def wait(decoder: TransformersDecoder) -> None:
        for _ in range(2):
            with pytest.raises(EngineError) as info:
                await decoder.generate([PROMPT], SamplingParams(max_tokens=500), seed=0, cutoff=NEVER)
            failures.append(str(info.value))

    async with anyio.create_task_group() as group, TransformersEngine(config) as engine, engine.slot(0) as decoder:
        group.start_soon(wait, decoder)
        while engine.stats.num_tokens < 3:
            await checkpoint()
    assert "closed while it generated" in failures[0]
    assert "inside its `async with`" in failures[1]
    import threading

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("numina-decode")]


async def test_an_engine_that_was_not_entered_says_so(config: TransformersConfig) -> None:
    """Instead of a missing attribute."""
    engine = TransformersEngine(config)
    with pytest.raises(EngineError, match="async with"):
        engine.describe()
    with pytest.raises(EngineError, match="async with"):
        async with engine.slot(0):
            pass


async def test_an_empty_context_is_an_error_for_a_model_without_a_first_token(config: TransformersConfig) -> None:
    """There is nothing to continue."""
    async with TransformersEngine(config) as engine:
        with pytest.raises(EngineError, match="context is empty"):
            await write(engine, 0, "")


async def test_a_model_that_cannot_be_loaded_leaves_no_thread_behind(tmp_path: Path) -> None:
    """The error comes through as it is."""
    import threading

    with pytest.raises(EngineError, match="smollm2"):
        async with TransformersEngine(TransformersConfig(model="a/b/c")):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("numina-decode")]


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(600)
async def test_smollm2_writes_the_same_alone_and_among_eight() -> None:
    """The real model, two turns a trajectory, stop strings, special tokens in our text."""
    try:
        find_or_convert(quiet)
    except EngineError as error:
        pytest.skip(f"the embedded model can't be had here: {error}")
    prompt = "### Problem: What is 900 minus 257?\n### Solution: We use Python.\n```python\n"
    params = SamplingParams(temperature=0.8, max_tokens=24, stop=("```\n",))
    written: dict[int, list[Completion]] = {}

    async with TransformersEngine(TransformersConfig(num_threads=1, max_num_seqs=8)) as engine:

        async def go(ticket: int, key: int) -> None:
            async with engine.slot(ticket) as decoder:
                first = await decoder.generate([prompt], params, seed=ticket, cutoff=NEVER)
                context: list[str | Completion] = [prompt, first, "```output\n643<|im_end|>\n```\n"]
                written[key] = [first, await decoder.generate(context, params, seed=ticket + 1, cutoff=NEVER)]

        await go(3, 100)
        async with anyio.create_task_group() as group:
            for ticket in range(8):
                group.start_soon(go, ticket, ticket)
        await go(5, 101)
    for alone, among in ((100, 3), (101, 5)):
        assert [turn.text for turn in written[alone]] == [turn.text for turn in written[among]]
    assert any(first.finish_reason is FinishReason.STOP for first, _ in written.values())
    assert len({first.text for first, _ in written.values()}) > 3
