"""The cache around an engine; that it keeps an engine's contract is in tests/contracts."""

from collections import Counter
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from drills.engines.faulty import Faults, FaultyEngine
from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.ports import CacheStats, Cutoff, Engine
from numina_infer.core.records import Completion, FinishReason, Part, StopReason
from numina_infer.engines.cached_engine import CachedEngine
from numina_infer.engines.scripted_engine import Cue, ScriptedEngine, sum_of_numbers
from numina_infer.solving.supervised import SupervisedEngine

pytestmark = pytest.mark.anyio
PROMPT = "### Problem: What is 1 plus 2?\n### Solution: "


class Counting:
    """A script that says a new text each time, and counts by seed how often it was asked."""

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.asked: Counter[int] = Counter()
        self.tickets: list[int] = []

    def line(self, cue: Cue) -> str:
        """A long text with the number of times that it was asked for."""
        self.asked[cue.seed] += 1
        self.tickets.append(cue.ticket)
        return f"time {self.asked[cue.seed]} " * 20


async def write(
    engine: Engine,
    *context: Part,
    seed: int = 1,
    ticket: int = 0,
    cutoff: Cutoff | None = None,
    max_tokens: int = 200,
) -> Completion:
    """One turn in a slot of its own."""
    async with engine.slot(ticket) as decoder:
        params = SamplingParams(max_tokens=max_tokens)
        return await decoder.generate(context or (PROMPT,), params, seed=seed, cutoff=cutoff or Cutoff(float("inf")))


async def until_written(engine: Engine, num_tokens: int) -> None:
    """Let the engine work until it has sampled `num_tokens` in all; others that can go on do so too."""
    while engine.stats.num_tokens < num_tokens:
        await checkpoint()


async def test_what_was_generated_once_is_never_generated_again(tmp_path: Path) -> None:
    """Not by the next engine over the same folder either; it comes back to the bit, without a token sampled."""
    script = Counting()
    async with CachedEngine(ScriptedEngine(script), tmp_path) as engine:
        first = [await write(engine, seed=seed) for seed in (1, 2, 1)]
    async with CachedEngine(ScriptedEngine(script), tmp_path) as engine:
        assert [await write(engine, seed=seed) for seed in (1, 2, 1)] == first
        assert engine.stats.num_tokens == 0
        assert engine.stats.cache == CacheStats(3, 0, sum(one.num_tokens for one in first))
    assert script.asked == {1: 1, 2: 1}


async def test_a_whole_trajectory_comes_out_of_the_cache(tmp_path: Path) -> None:
    """Later turns are found by what the model wrote before them."""
    script = Counting()
    async with CachedEngine(ScriptedEngine(script), tmp_path) as engine:
        for _ in range(2):
            one = await write(engine, PROMPT)
            two = await write(engine, PROMPT, one, "3\n```")
            await write(engine, PROMPT, one, "3\n```", two, "4\n```")
        assert engine.stats.cache == CacheStats(3, 3, engine.stats.num_tokens)
    assert script.asked == {1: 3}


@pytest.mark.parametrize("change", ["seed", "limit", "context", "script", "window"])
async def test_another_request_is_generated(tmp_path: Path, change: str) -> None:
    """Each part of a key counts."""
    one, other = Counting(), Counting("another" if change == "script" else "counting")
    async with CachedEngine(ScriptedEngine(one), tmp_path) as engine:
        await write(engine)
    window = 500 if change == "window" else 1_000_000
    async with CachedEngine(ScriptedEngine(other, max_model_len=window), tmp_path) as engine:
        await write(
            engine,
            *((PROMPT, "We") if change == "context" else (PROMPT,)),
            seed=2 if change == "seed" else 1,
            max_tokens=100 if change == "limit" else 200,
        )
    assert other.asked.total() == 1


async def test_what_the_cutoff_broke_off_is_not_kept(tmp_path: Path) -> None:
    """The next who asks gets all of it."""
    script, cutoff, written = Counting(), Cutoff(float("inf")), list[Completion]()
    async with CachedEngine(ScriptedEngine(script), tmp_path) as engine:

        async def go() -> None:
            written.append(await write(engine, cutoff=cutoff))

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await until_written(engine, 3)
            cutoff.move(anyio.current_time(), StopReason.DECIDED)
        whole = await write(engine)
        assert engine.stats.cache == CacheStats(0, 1, 0)
    assert written[0].finish_reason is FinishReason.ABORT
    assert 0 < written[0].num_tokens < whole.num_tokens
    assert whole.finish_reason is FinishReason.EOS
    assert script.asked == {1: 2}


async def test_a_cutoff_that_has_passed_gives_nothing_even_where_all_is_there(tmp_path: Path) -> None:
    """As any engine does."""
    async with CachedEngine(ScriptedEngine(sum_of_numbers), tmp_path) as engine:
        await write(engine)
        late = await write(engine, cutoff=Cutoff(anyio.current_time()))
    assert (late.text, late.finish_reason) == ("", FinishReason.ABORT)


async def test_equal_requests_at_once_are_generated_once(tmp_path: Path) -> None:
    """Also where the disk keeps nothing."""
    script = Counting()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "cache", tmp_path / "file" / "cache"):
        script.asked.clear()
        written: list[Completion] = []
        async with CachedEngine(ScriptedEngine(script), folder, report=lambda _: None) as engine:

            async def go(ticket: int, engine: Engine = engine, written: list[Completion] = written) -> None:
                written.append(await write(engine, ticket=ticket))

            async with anyio.create_task_group() as group:
                for ticket in range(5):
                    group.start_soon(go, ticket)
            assert engine.stats.cache == CacheStats(4, 1, 4 * written[0].num_tokens)
        assert script.asked == {1: 1}
        assert len(set(written)) == 1


@pytest.mark.parametrize("end", ["cutoff", "cancelled"])
async def test_where_the_first_is_broken_off_the_second_still_gets_it(tmp_path: Path, end: str) -> None:
    """It was waiting for the first; a third then waits for the second."""
    script, cutoff, written = Counting(), Cutoff(float("inf")), list[Completion]()
    async with CachedEngine(ScriptedEngine(script), tmp_path) as engine:

        async def go() -> None:
            written.append(await write(engine, ticket=1))

        async with anyio.create_task_group() as others, anyio.create_task_group() as group:
            group.start_soon(lambda: write(engine, cutoff=cutoff))
            for _ in range(2):
                others.start_soon(go)
            await until_written(engine, 9)
            assert script.asked == {1: 1}
            if end == "cutoff":
                cutoff.move(anyio.current_time(), StopReason.DECIDED)
            else:
                group.cancel_scope.cancel()
        assert engine.stats.cache == CacheStats(1, 1, written[0].num_tokens)
    assert {one.finish_reason for one in written} == {FinishReason.EOS}
    assert script.asked == {1: 2}


async def test_who_waits_for_anothers_turn_leaves_at_its_own_cutoff(tmp_path: Path) -> None:
    """With nothing in hand, while the other writes on."""
    gate = Gate()
    async with CachedEngine(ScriptedEngine(gate, max_num_seqs=1), tmp_path) as engine, engine.slot(0) as place:
        await place.generate(["x"], SamplingParams(max_tokens=1), seed=0, cutoff=Cutoff(float("inf")))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: write(engine, ticket=1))  # waits for the place
            await anyio.wait_all_tasks_blocked()
            left = await write(engine, ticket=2, cutoff=Cutoff(anyio.current_time() + 0.01))
            assert (left.text, left.finish_reason) == ("", FinishReason.ABORT)
            unplaced = await write(engine, ticket=3, seed=9, cutoff=Cutoff(anyio.current_time() + 0.01))
            assert (unplaced.text, unplaced.finish_reason) == ("", FinishReason.ABORT)
            group.cancel_scope.cancel()


async def test_a_trajectory_that_is_all_there_waits_for_no_place(tmp_path: Path) -> None:
    """One that isn't gets the place that comes free in the order of its ticket."""
    script = Counting()
    async with CachedEngine(ScriptedEngine(script, max_num_seqs=1), tmp_path) as engine:
        known = await write(engine, seed=1)
        async with anyio.create_task_group() as group, engine.slot(0) as place:
            await place.generate([PROMPT], SamplingParams(), seed=2, cutoff=Cutoff(float("inf")))
            assert await write(engine, seed=1, ticket=7) == known
            for ticket in (5, 3, 4):
                group.start_soon(partial(write, engine, seed=10 + ticket, ticket=ticket))
            await anyio.wait_all_tasks_blocked()
    assert script.tickets == [0, 0, 3, 4, 5]


async def test_an_error_is_not_kept(tmp_path: Path) -> None:
    """Whoever waits asks for himself."""
    faults = Faults(max_batch=0)
    scripted = ScriptedEngine(sum_of_numbers)
    failed: list[str] = []
    async with CachedEngine(FaultyEngine(scripted, faults), tmp_path) as engine:

        async def go() -> None:
            with pytest.raises(EngineError) as error:
                await write(engine)
            failed.append(str(error.value))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(go)
        assert failed == ["CUDA out of memory"] * 3
        faults.max_batch = 9
        assert (await write(engine)).text.startswith("The answer is")
        assert engine.stats.cache == CacheStats(0, 1, 0)


async def test_a_late_engine_may_have_a_cache_inside(tmp_path: Path) -> None:
    """Its counters come through."""

    async def make() -> CachedEngine:
        return CachedEngine(ScriptedEngine(sum_of_numbers), tmp_path)

    async with SupervisedEngine(make) as engine:
        one, two = await write(engine), await write(engine)
        assert one == two
        assert engine.stats.cache == CacheStats(1, 1, one.num_tokens)
        assert engine.describe()["cache"] == str(tmp_path)


async def test_an_engine_that_was_not_entered_says_so(tmp_path: Path) -> None:
    """As others do."""
    engine = CachedEngine(ScriptedEngine(sum_of_numbers), tmp_path)
    assert engine.stats.cache == CacheStats()
    with pytest.raises(EngineError, match="isn't running"):
        engine.describe()


async def test_a_cache_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """Before a model is loaded."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        CachedEngine(ScriptedEngine(sum_of_numbers), tmp_path / "file")


class Gate:
    """A script whose text has no end worth waiting for."""

    name = "gate"

    def line(self, cue: Cue) -> str:
        """A very long text."""
        return "x" * 100_000
