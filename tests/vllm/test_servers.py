"""Real servers that die, hang, or never start."""

import logging
import os
import shutil
import signal
from pathlib import Path
from threading import Thread

import anyio
import pytest
from rich.console import Console

from numina_infer.app.choices import Choices
from numina_infer.app.composition import open_contest
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.records import Outcome, Problem, StopReason
from numina_infer.engines.vllm.vllm_engine import VllmEngine
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.formats.catalogue import make_format
from numina_infer.runs.history import read_logged_problems
from numina_infer.runs.log import RunLog
from numina_infer.sandbox import Sandbox
from numina_infer.solving.contest import Parts
from tests.vllm.servers import named, processes, tiny_launch, write

pytestmark = [pytest.mark.anyio, pytest.mark.vllm]


async def test_a_server_that_never_starts_says_why(tiny_model: Path, tmp_path: Path) -> None:
    """The cause out of its log, not the line that hides it; nothing of it runs on."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights")
    server = VllmServer(tiny_launch(folder), keep=False, report=logging.info)
    server.start()
    with pytest.raises(EngineError, match=r"ended before it was ready: .*SafetensorError") as failed:
        await server.wait_until_healthy()
    assert "the last lines of" in str(failed.value)
    await server.stop()
    assert processes(server.place) == []


async def test_a_server_ends_with_all_its_processes(tiny_model: Path) -> None:
    """Engine core and workers too, also when its keeper can't end them."""
    server = VllmServer(tiny_launch(tiny_model), keep=False, report=logging.info)
    server.start()
    await server.wait_until_healthy()
    assert len(processes(server.place)) >= 3
    assert server.note is not None
    os.kill(server.note.pid, signal.SIGKILL)
    await server.stop()
    assert processes(server.place) == []


async def test_a_kept_server_is_found_again(tiny_model: Path) -> None:
    """With the same key and with no other; leaving the engine leaves it running."""
    launch = tiny_launch(tiny_model, "--seed", "1")
    reports: list[str] = []
    async with VllmEngine([launch], ClientConfig(), keep=True) as first:
        completion = await write(first, 1)
        server = first.servers[0]
    try:
        async with VllmEngine([launch], ClientConfig(), report=reports.append) as second:
            assert (await write(second, 1)).text == completion.text
            assert second.servers[0].note == server.note
        assert any("running already" in line for line in reports)
        assert server.is_alive
        assert not VllmServer(tiny_launch(tiny_model, "--seed", "2"), keep=True, report=reports.append).find()
    finally:
        await server.stop()
    assert processes(server.place) == []


async def test_a_server_that_hangs_is_restarted_and_the_turn_is_written(tiny_model: Path) -> None:
    """No token for a while: the engine is looked at, restarted once, and tells of it; the text is the same."""
    async with VllmEngine([tiny_launch(tiny_model)], ClientConfig(stall_s=10.0)) as engine:
        expected = await write(engine, 7)
        (server,) = engine.servers
        os.kill(named(server.place, "EngineCore"), signal.SIGSTOP)
        completion = await write(engine, 7)
        incidents = engine.stats.incidents
    assert completion.text == expected.text
    assert [incident.partition(" ")[2].split(" for ")[0] for incident in incidents] == ["gave no token", "is back"]


def test_of_two_servers_one_may_be_killed_and_no_problem_is_lost(tiny_model: Path, tmp_path: Path) -> None:
    """In the middle of a contest: every problem has all its trajectories, and the dead server comes back."""
    launch = tiny_launch(tiny_model, max_num_seqs=4)
    preset = Choices(num_samples=8, max_tokens=200, problem_time_s=600.0).resolve()
    engine = VllmEngine([launch, launch], ClientConfig(max_num_seqs=4))
    problems = [Problem(f"p{number}", f"What is {number} plus {number}?") for number in range(6)]
    parts = Parts(preset, make_format("numina-few-shot"), engine, Sandbox(preset.sandbox))
    console = Console(quiet=True)
    with (
        RunLog(tmp_path) as log,
        open_contest(parts, log, {}, num_problems=6, solved={}, console=console) as contest,
    ):
        killer = Thread(target=_kill_one_when_busy, args=(engine,))
        killer.start()
        solutions = [contest.solve(problem) for problem in problems]
        killer.join()
        incidents = engine.stats.incidents
    assert all(solution.stop_reason in {StopReason.EXHAUSTED, StopReason.DECIDED} for solution in solutions)
    logged = read_logged_problems(tmp_path)
    outcomes = {trajectory.outcome for problem in logged for trajectory in problem.trajectories}
    assert not outcomes & {Outcome.ENGINE_ERROR, Outcome.SANDBOX_ERROR}
    told = [incident for solution in solutions for incident in solution.incidents]
    assert told
    assert told == list(incidents[: len(told)])


def _kill_one_when_busy(engine: VllmEngine) -> None:
    """Kill a server's engine core once tokens flow."""
    while engine.stats.num_tokens < 40:
        anyio.run(anyio.sleep, 0.005)
    os.kill(named(engine.servers[1].place, "EngineCore"), signal.SIGKILL)
