"""Servers that are started, watched, restarted and ended: real processes, a fake vLLM in them."""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import ClientConfig, ServerConfig
from numina_infer.core.errors import EngineError, EngineGoneError
from numina_infer.core.ports import Cutoff, Engine
from numina_infer.core.restarts import RestartPolicy
from numina_infer.engines.http import endpoint_pool as pool
from numina_infer.engines.http import openai_api
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.endpoint_pool import EndpointState
from numina_infer.engines.scripted_engine import VOCABULARY
from numina_infer.engines.vllm import server_place, vllm_server
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_group import ServerGroup
from numina_infer.engines.vllm.server_place import KeeperNote, ServerPlace
from numina_infer.engines.vllm.vllm_engine import VllmEngine
from numina_infer.engines.vllm.vllm_server import VllmServer, end_server
from numina_infer.engines.vocabulary import TokenizerVocabulary
from numina_infer.solving.supervised import SupervisedEngine
from tests.engines.vllm.fake_vllm import Fate, fake_python, say, starts
from tests.waiting import until

pytestmark = pytest.mark.anyio


class Machine:
    """Where servers are started, and what runs of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.json").write_text("{}")
        self.reported: list[str] = []

    def launch(self, *fates: Fate, name: str = "a", **config: Any) -> Launch:
        """A server whose starts go by `fates`."""
        python = fake_python(self.folder / name, *fates)
        return Launch(python, self.folder, ServerConfig(**config))

    def starts(self, name: str = "a") -> list[int]:
        """The pids of a server's starts."""
        return starts(self.folder / name)

    def kill(self, name: str = "a") -> None:
        """Kill the server that was started last."""
        os.kill(self.starts(name)[-1], signal.SIGKILL)

    @property
    def pids(self) -> list[int]:
        """Every process of every server, keepers and children included."""
        mark = f"{server_place.MARK}={self.folder}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes() and server_place.born(int(entry.name)):
                    found.append(int(entry.name))
        return found

    @property
    def places(self) -> list[Path]:
        """The folders of servers."""
        return [file for file in self.folder.glob("numina-infer-*/*") if file.is_dir()]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, sockets: Path) -> Iterator[Machine]:
    """A machine without servers, in the end too."""
    for module in (vllm_server, pool):
        monkeypatch.setattr(module, "_LOOK_EVERY_S" if module is vllm_server else "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(openai_api, "_SHORTEST_PAUSE_S", 0.01)
    monkeypatch.setattr(TokenizerVocabulary, "from_folder", lambda folder: VOCABULARY)
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))
    monkeypatch.setenv("TMPDIR", str(sockets))
    made = Machine(sockets)
    yield made
    left = made.pids
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert left == []


def engine_on(machine: Machine, *launches: Launch, keep: bool = False, **config: Any) -> VllmEngine:
    """An engine on fake servers, not entered yet."""
    return VllmEngine(launches, ClientConfig(**config), keep=keep, report=machine.reported.append)


async def write(engine: Engine, ticket: int) -> str:
    """One turn; its text."""
    async with engine.slot(ticket) as decoder:
        completion = await decoder.generate(["Go: "], SamplingParams(), seed=ticket, cutoff=Cutoff(float("inf")))
    return completion.text


async def write_all(engine: Engine, num: int, into: dict[int, str]) -> None:
    """Turns side by side."""

    async def go(ticket: int) -> None:
        into[ticket] = await write(engine, ticket)

    async with anyio.create_task_group() as group:
        for ticket in range(num):
            group.start_soon(go, ticket)


def expected(num: int) -> dict[int, str]:
    """What the turns come to."""
    return {ticket: say("", ticket) for ticket in range(num)}


async def test_a_server_comes_up_answers_and_leaves_nothing(machine: Machine) -> None:
    """Neither a process, nor a file, nor a zombie."""
    async with engine_on(machine, machine.launch()) as engine:
        assert await write(engine, 3) == say("", 3)
        described = engine.describe()
        (server,) = engine.servers
        keeper = server.place.read_note()
        assert len(machine.pids) == 3
    assert machine.pids == []
    assert machine.places == []
    assert keeper is not None
    assert not Path(f"/proc/{keeper.pid}").exists()
    assert (described["engine"], described["model"], described["servers"]) == ("vllm", str(machine.folder), 1)
    assert any("is ready after" in line for line in machine.reported)


async def test_a_server_that_fails_shows_its_cause_and_leaves_nothing(machine: Machine) -> None:
    """One error, with the end of the log; the other server is ended too."""
    good, bad = machine.launch(), machine.launch(Fate.FAILS, name="b")
    with pytest.raises(EngineError, match="ended before it was ready: ValueError: the model is too good") as raised:
        await engine_on(machine, good, bad).__aenter__()
    assert "\n  (APIServer pid=1) INFO 11-24 07:10:01 [fake.py:1] loading the weights\n" in str(raised.value)
    assert (machine.pids, machine.places) == ([], [])


async def test_a_server_that_is_never_healthy_is_ended_at_its_deadline(machine: Machine) -> None:
    """Nobody waits for ever."""
    launch = machine.launch(Fate.SULKS, start_timeout_s=0.5)
    with pytest.raises(EngineError, match=r"wasn't ready after 0\.5 s: its log names no cause"):
        await engine_on(machine, launch).__aenter__()
    assert (machine.pids, machine.places) == ([], [])


async def test_a_start_that_takes_long_tells_how_far_it_is(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the server's own words, now and then."""
    monkeypatch.setattr(vllm_server, "_REPORT_EVERY_S", 0.1)
    launch = machine.launch(Fate.SULKS, start_timeout_s=2.0)
    with pytest.raises(EngineError, match="wasn't ready"):
        await engine_on(machine, launch).__aenter__()
    assert re.fullmatch(r"vLLM on the CPU is starting, [012] s; loading the weights", machine.reported[-1])


async def test_an_interpreter_that_is_not_there_is_the_cause(machine: Machine) -> None:
    """The keeper's own trouble stands in the log too."""
    launch = Launch(machine.folder / "nothing", machine.folder, ServerConfig())
    with pytest.raises(EngineError, match=r"FileNotFoundError: .*nothing"):
        await engine_on(machine, launch).__aenter__()
    assert machine.places == []


async def test_a_start_that_is_cancelled_leaves_nothing(machine: Machine) -> None:
    """Ctrl-C while the model loads."""
    engine = engine_on(machine, machine.launch(Fate.SULKS))
    async with anyio.create_task_group() as group:
        group.start_soon(engine.__aenter__)
        await until(lambda: len(machine.pids) == 3)
        group.cancel_scope.cancel()
    assert (machine.pids, machine.places) == ([], [])


async def test_a_model_without_a_tokenizer_is_told_before_anything_is_started(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real reader of folders says so."""
    monkeypatch.undo()
    with pytest.raises(EngineError, match=r"has no tokenizer\.json"):
        await engine_on(machine, machine.launch()).__aenter__()
    assert machine.starts() == []


async def test_a_kept_server_is_found_by_the_next_and_not_by_one_with_other_settings(machine: Machine) -> None:
    """It was started by another process, which is gone."""
    launch = machine.launch()
    script = (
        "import sys, anyio; from pathlib import Path; from numina_infer.core.engine_config import ServerConfig\n"
        "from numina_infer.engines.vllm.launch import Launch\n"
        "from numina_infer.engines.vllm.server_group import ServerGroup\n"
        "async def main():\n"
        "    launch = Launch(Path(sys.argv[1]), Path(sys.argv[2]), ServerConfig())\n"
        "    async with ServerGroup([launch], keep=True, report=print): pass\n"
        "anyio.run(main)\n"
    )
    run = [sys.executable, "-c", script, str(launch.python), str(launch.model)]
    await anyio.run_process(run, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    async with engine_on(machine, launch) as engine:
        assert await write(engine, 1) == say("", 1)
    other = VllmServer(machine.launch(max_num_seqs=3), keep=True, report=print)
    assert not other.find()
    assert len(machine.starts()) == 1
    assert "is running already" in machine.reported[0]
    ((place, note),) = server_place.running()
    await end_server(place, note)
    assert (machine.pids, machine.places, server_place.running()) == ([], [], ())


async def test_a_kept_server_that_was_found_is_restarted_when_it_dies_and_still_stays(machine: Machine) -> None:
    """In a notebook the run that started it is long over."""
    launch = machine.launch(Fate.HANGS, Fate.SERVES)
    async with ServerGroup([launch], keep=True, report=print):
        pass
    written: dict[int, str] = {}
    async with engine_on(machine, launch) as engine, anyio.create_task_group() as group:
        group.start_soon(write_all, engine, 3, written)
        await until(lambda: engine.stats.num_tokens)
        machine.kill()
    assert written == expected(3)
    ((place, note),) = server_place.running()
    assert len(machine.starts()) == 2
    await end_server(place, note)


async def test_what_an_earlier_keeper_left_is_ended_before_the_next_start(machine: Machine) -> None:
    """It would still hold the GPU's memory."""
    launch = machine.launch()
    async with ServerGroup([launch], keep=True, report=print):
        ((_, note),) = server_place.running()
    old = set(machine.pids)
    os.kill(note.pid, signal.SIGKILL)
    await until(lambda: not note.is_alive)
    async with ServerGroup([launch], keep=True, report=print) as group:
        await until(lambda: not old & set(machine.pids))
        assert len(machine.pids) == 3
        ((place, note),) = server_place.running()
        assert group.servers[0].is_alive
    await end_server(place, note)


async def test_two_processes_do_not_start_the_same_server(machine: Machine) -> None:
    """The second is told to wait."""
    launch = machine.launch()
    group = ServerGroup([launch], keep=True, report=print)
    with (
        server_place.kept(launch.key).alone(),
        pytest.raises(EngineError, match="another process is starting this server"),
    ):
        await group.__aenter__()
    assert machine.starts() == []


@pytest.mark.parametrize("victim", ["server", "keeper"])
async def test_turns_of_a_server_that_is_killed_finish_on_the_same_one_restarted(
    victim: str, machine: Machine
) -> None:
    """The same requests with the same seeds; the solver is told."""
    written: dict[int, str] = {}
    async with engine_on(machine, machine.launch(Fate.HANGS, Fate.SERVES)) as engine:
        async with anyio.create_task_group() as group:
            group.start_soon(write_all, engine, 4, written)
            await until(lambda: engine.stats.num_tokens)
            if victim == "server":
                machine.kill()
            else:
                note = engine.servers[0].place.read_note()
                assert note is not None
                os.kill(note.pid, signal.SIGKILL)
        incidents = engine.stats.incidents
    assert written == expected(4)
    assert len(machine.starts()) == 2
    assert incidents[-1].endswith("is back")


async def test_an_idle_server_that_dies_is_restarted_before_it_is_needed(machine: Machine) -> None:
    """Nobody writes, and its end is seen all the same, with its cause."""
    async with engine_on(machine, machine.launch()) as engine:
        machine.kill()
        await until(lambda: len(engine.stats.incidents) == 2)
        assert len(machine.starts()) == 2
        assert await write(engine, 1) == say("", 1)
    assert "ended: its log names no cause" in engine.stats.incidents[0]


async def test_of_two_servers_one_may_die(machine: Machine) -> None:
    """The other's turns go on, and both have turns afterwards."""
    written: dict[int, str] = {}
    again: dict[int, str] = {}
    async with engine_on(machine, machine.launch(), machine.launch(Fate.HANGS, Fate.SERVES, name="b")) as engine:
        async with anyio.create_task_group() as group:
            group.start_soon(write_all, engine, 6, written)
            await until(lambda: engine._running.pool.endpoints[1].num_signs)
            machine.kill("b")
        await until(lambda: engine.stats.incidents[-1].endswith("is back"))
        await write_all(engine, 6, again)
        signs = [endpoint.num_signs for endpoint in engine._running.pool.endpoints]
    assert written == again == expected(6)
    assert (len(machine.starts()), len(machine.starts("b"))) == (1, 2)
    assert all(signs)


async def test_a_server_that_hangs_is_restarted_once(machine: Machine) -> None:
    """Its turn is written by the new one, and the solver is told what happened."""
    async with engine_on(machine, machine.launch(Fate.HANGS, Fate.SERVES), stall_s=1.0) as engine:
        assert await write(engine, 2) == say("", 2)
        incidents = engine.stats.incidents
    assert len(machine.starts()) == 2
    assert "gave no token for 1 s" in incidents[0]
    assert incidents[-1].endswith("is back")


async def test_a_server_that_dies_again_and_again_is_left_dead_and_who_waits_for_it_is_told(machine: Machine) -> None:
    """After three restarts, at once, however patient they are: turns in flight, waiting ones and later ones."""
    told: list[str] = []

    async def go(engine: VllmEngine, ticket: int) -> None:
        with pytest.raises(EngineGoneError) as raised:
            await write(engine, ticket)
        told.append(str(raised.value))

    async with engine_on(machine, machine.launch(Fate.HANGS, Fate.FAILS), max_num_seqs=2) as engine:
        async with anyio.create_task_group() as group:
            for ticket in range(4):
                group.start_soon(go, engine, ticket)
            await until(lambda: engine.stats.num_tokens)
            machine.kill()
        await go(engine, 5)
        incidents = engine.stats.incidents
    assert len(machine.starts()) == 4
    assert incidents[-1].endswith(
        "is left dead, after as many restarts as it may have: ValueError: the model is too good"
    )
    assert told == [f"no server is left: {incidents[-1]}"] * 5


async def test_of_two_servers_one_may_be_left_dead(machine: Machine) -> None:
    """All turns are written by the other; when that is lost too, there is no engine left."""
    written: dict[int, str] = {}
    again: dict[int, str] = {}
    launches = machine.launch(Fate.SERVES, Fate.FAILS), machine.launch(Fate.HANGS, Fate.FAILS, name="b")
    async with engine_on(machine, *launches) as engine:
        async with anyio.create_task_group() as group:
            group.start_soon(write_all, engine, 6, written)
            await until(lambda: engine._running.pool.endpoints[1].num_signs)
            machine.kill("b")
        await until(lambda: "is left dead" in engine.stats.incidents[-1])
        await write_all(engine, 6, again)
        assert len(machine.starts()) == 1
        machine.kill()
        with pytest.raises(EngineGoneError):
            async with engine.slot(7):
                await write(engine, 8)
    assert written == again == expected(6)
    assert (len(machine.starts()), len(machine.starts("b"))) == (4, 4)


async def test_a_server_that_was_left_dead_and_gave_tokens_again_may_be_restarted_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token ends the row of restarts in vain, by whose hand ever the server came back."""
    engine = engine_on(machine, machine.launch())
    endpoint = Endpoint(Address.parse("/nowhere"))

    async def fail(self: VllmServer) -> None:
        raise EngineError("no memory")

    monkeypatch.setattr(VllmServer, "restart", fail)
    monkeypatch.setattr(VllmServer, "why_gone", "")
    monkeypatch.setattr(engine, "_server", lambda _: engine.servers[0])
    in_vain = [EndpointState.AWAITED, EndpointState.AWAITED, EndpointState.DEAD, EndpointState.DEAD]
    assert [await engine.repair(endpoint) for _ in in_vain] == in_vain
    endpoint.num_signs = 1
    assert await engine.repair(endpoint) is EndpointState.AWAITED


async def test_an_engine_whose_servers_are_left_dead_is_made_anew_by_the_late_one_around_it(machine: Machine) -> None:
    """Its turns are written by the servers of the next; what happened is told once."""
    launch = machine.launch(Fate.HANGS, Fate.FAILS, Fate.FAILS, Fate.FAILS, Fate.SERVES)

    async def make() -> VllmEngine:
        return engine_on(machine, launch)

    written: dict[int, str] = {}
    async with (
        SupervisedEngine(make, policy=RestartPolicy(pause_s=0.01)) as engine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(write_all, engine, 3, written)
        await until(lambda: engine.stats.num_tokens)
        machine.kill()
        await until(lambda: len(written) == 3)
        incidents = engine.stats.incidents
    assert written == expected(3)
    assert len(machine.starts()) == 5
    assert [incident for incident in incidents if "the engine broke: no server is left" in incident] == [incidents[-2]]
    assert incidents[-1].startswith("the engine was waited for")


async def test_a_kept_server_that_another_process_is_starting_is_waited_for(machine: Machine) -> None:
    """However often it is looked at: those were no restarts in vain."""
    launch = machine.launch()
    async with engine_on(machine, launch, keep=True) as engine:
        asked = 0

        async def repair(endpoint: Endpoint) -> EndpointState:
            nonlocal asked
            asked += 1
            return await VllmEngine.repair(engine, endpoint)

        engine.repair = repair  # type: ignore[method-assign]
        with server_place.kept(launch.key).alone():
            machine.kill()
            await until(lambda: asked > 5)
        assert await write(engine, 1) == say("", 1)
        (server,) = engine.servers
        assert len(machine.starts()) == 2
    await server.stop()


async def test_a_restart_that_the_disk_refuses_leaves_nothing_running(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is there by then, with all of the GPU's memory."""
    launch = machine.launch()
    async with ServerGroup([launch], keep=False, report=print) as group:
        (server,) = group.servers

        def refuse(self: ServerPlace, note: KeeperNote) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(ServerPlace, "write_note", refuse)
        with pytest.raises(OSError, match="no space"):
            await server.restart()
        assert not server.is_alive
        await until(lambda: not machine.pids)


async def test_servers_that_stay_are_revived_too(machine: Machine) -> None:
    """As `serve` does it."""
    async with ServerGroup([machine.launch()], keep=True, attached=True, report=print) as group:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(group.revive)
            machine.kill()
            await until(lambda: len(machine.starts()) == 2 and group.servers[0].is_alive)
            await group.servers[0].wait_until_healthy()
            tasks.cancel_scope.cancel()
        await group.end_ours()


async def test_a_disk_that_is_full_for_a_while_does_not_end_whoever_revives(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restart is in vain, and the next one does it."""
    write_note, refused = ServerPlace.write_note, list[KeeperNote]()

    def refuse_once(self: ServerPlace, note: KeeperNote) -> None:
        if not refused:
            refused.append(note)
            raise OSError("no space left on device")
        write_note(self, note)

    async with ServerGroup([machine.launch()], keep=True, attached=True, report=print) as group:
        async with anyio.create_task_group() as tasks:
            monkeypatch.setattr(ServerPlace, "write_note", refuse_once)
            tasks.start_soon(group.revive)
            machine.kill()
            await until(lambda: refused and group.servers[0].is_alive)
            await group.servers[0].wait_until_healthy()
            tasks.cancel_scope.cancel()
        await group.end_ours()


async def test_a_console_that_cannot_be_written_to_does_not_end_whoever_revives(machine: Machine) -> None:
    """Standard output may be a full disk, or a terminal that is gone."""
    is_full = False

    def report(line: str) -> None:
        if is_full:
            raise OSError("no space left on device")

    async with ServerGroup([machine.launch()], keep=True, attached=True, report=report) as group:
        async with anyio.create_task_group() as tasks:
            is_full = True
            tasks.start_soon(group.revive)
            machine.kill()
            await until(lambda: len(machine.starts()) == 2 and group.servers[0].is_alive)
            is_full = False
            await group.servers[0].wait_until_healthy()
            tasks.cancel_scope.cancel()
        await group.end_ours()


def test_a_folder_that_others_could_enter_is_refused(machine: Machine) -> None:
    """Whoever could, could put a server of theirs there."""
    root = machine.folder / f"numina-infer-{os.getuid()}"
    root.mkdir(mode=0o755)
    with pytest.raises(EngineError, match="is open to others"):
        server_place.running()
    root.rmdir()
    root.symlink_to(machine.folder)
    with pytest.raises(EngineError, match="is open to others"):
        server_place.kept("k")
    root.unlink()


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"pid": 1}', '{"pid": "1", "born": 0, "model": "m", "gpus": []}'])
def test_a_note_that_makes_no_sense_is_no_server(note: str, machine: Machine) -> None:
    """Half-written, or somebody else's."""
    place = server_place.kept("k")
    place.make()
    (place.folder / "server.json").write_text(note)
    assert server_place.running() == ()
