"""The stand-in at a pace: turns take what the cost model says they do, and a server process keeps to it."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from drills.engines.pace import Pace
from drills.engines.stand_in_server import InTurn, write_interpreter
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Completion
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.openai_api import OpenAIEngine
from numina_infer.engines.scripted_engine import Cue, load_script
from numina_infer.engines.simulated_machine import MachineCosts
from numina_infer.engines.vocabulary import TokenizerVocabulary
from tests.tiny_model import make_tiny_model
from tests.waiting import until

COSTS = MachineCosts(base_s=0.02, sequence_s=0.01, token_s=0.0, prefill_s=0.001, kv_tokens=100_000)
TICK_S = 0.021


def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """What `work` takes of virtual time."""

    async def timed() -> float:
        began = anyio.current_time()
        await work()
        return anyio.current_time() - began

    return anyio.run(timed, backend_options=dict(virtual_clock().backend_options))


async def write(pace: Pace, key: int, prompt: list[int], num_tokens: int) -> None:
    """One turn, to its end."""
    pace.join(key, key, prompt, num_tokens)
    await pace.wait(key, num_tokens)
    pace.leave(key)


@pytest.mark.parametrize("speed", [1.0, 12.0])
def test_a_turn_takes_its_prompt_and_its_steps(speed: float) -> None:
    """At twelve times the speed a twelfth."""
    took = seconds(lambda: write(Pace(COSTS, speed), 0, [1] * 100, 50))
    assert took == pytest.approx((100 * 0.001 + 50 * 0.03) / speed, abs=TICK_S)


def test_turns_share_the_steps() -> None:
    """Ten together take longer than one, and much less than one after another; a prompt counts once."""

    async def together() -> None:
        pace = Pace(COSTS)
        async with anyio.create_task_group() as tasks:
            for key in range(10):
                tasks.start_soon(write, pace, key, [1] * 100, 50)

    assert seconds(together) == pytest.approx(109 * 0.001 + 50 * 0.12, abs=2 * TICK_S)


def test_a_history_is_in_the_cache() -> None:
    """A trajectory's second turn computes what is new of it alone."""

    async def two_turns() -> None:
        pace = Pace(COSTS)
        for key, length in ((1, 1000), (2, 1060)):
            pace.join(key, 7, [1] * length, 50)
            await pace.wait(key, 50)
            pace.leave(key)

    assert seconds(two_turns) == pytest.approx((1000 + 10) * 0.001 + 100 * 0.03, abs=2 * TICK_S)


def test_who_leaves_makes_room() -> None:
    """A turn that is given up slows nobody down any more."""

    async def left() -> None:
        pace = Pace(COSTS)
        pace.join(1, 1, [1], 10_000)
        pace.leave(1)
        await write(pace, 2, [1], 50)
        assert not pace.batch.running

    assert seconds(left) == pytest.approx(50 * 0.03, abs=2 * TICK_S)


def test_no_pace_is_no_pace() -> None:
    """A speed of 0 is refused by name."""
    with pytest.raises(ConfigError, match="speed is 0"):
        Pace(COSTS, 0)


LINES = '{"problem": "What is 1 plus 2?", "completions": [["We add.\\n```output\\n", "It is \\\\boxed{3}."], ["3"]]}'


def test_outputs_tell_the_turn(tmp_path: Path) -> None:
    """Those behind the problem: examples in front of it have outputs as well."""
    file = tmp_path / "lines.jsonl"
    file.write_text(LINES)
    script = InTurn(load_script(file))
    before = "```output\n5\n``` What is 1 plus 2?"
    assert script.line(Cue(before, 0, 0, 0)) == "We add.\n```output\n"
    assert script.line(Cue(f"{before} We add.\n```output\n3\n```", 0, 0, 0)) == "It is \\boxed{3}."
    assert script.line(Cue(before, 0, 1, 0)) == "3"


@pytest.mark.torch
def test_a_server_process_says_its_lines(tmp_path: Path, sockets: Path) -> None:
    """Started by an executable that takes vLLM's arguments, in the tokens of the model that those name."""
    model, socket, lines = make_tiny_model(tmp_path / "model"), sockets / "s", tmp_path / "lines.jsonl"
    lines.write_text(LINES)
    python = write_interpreter(tmp_path / "python", lines=lines, speed=100.0)
    arguments = [
        "-m",
        "vllm.whatever",
        "--uds",
        str(socket),
        "--model",
        str(model),
        "--max-num-seqs",
        "48",
        "--max-model-len",
    ]

    async def ask() -> Completion:
        await until(socket.exists)
        vocabulary = TokenizerVocabulary.from_folder(model)
        params = SamplingParams(stop=("```output\n",))
        engine = OpenAIEngine([Address.parse(str(socket))], vocabulary, ClientConfig())
        async with engine, engine.slot(0) as decoder:
            return await decoder.generate(["What is 1 plus 2?"], params, seed=0, cutoff=Cutoff(float("inf")))

    with subprocess.Popen([python, *arguments, "1024"]) as server:
        try:
            completion = anyio.run(ask)
        finally:
            server.kill()
    assert (completion.text, completion.stop_reason) == ("We add.\n```output\n", "```output\n")
