"""`numina-infer serve --list` and `--stop`: what they show and end, with a fake vLLM in real processes."""

import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import pytest

from numina_infer.core.engine_config import ServerConfig
from numina_infer.engines.vllm import server_group as commands
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_place import KeeperNote
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.runs.progress import RunConsole
from tests.engines.vllm.fake_vllm import fake_python, starts
from tests.waiting import wait_until


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, sockets: Path) -> Path:
    """A place for servers that has none yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))
    return sockets


def started(folder: Path, *, keep: bool) -> VllmServer:
    """A server that answers."""
    launch = Launch(fake_python(folder / f"python-{keep}"), folder, ServerConfig())
    server = VllmServer(launch, keep=keep, report=lambda line: None)
    server.start()
    anyio.run(server.wait_until_healthy)
    return server


def note_of(server: VllmServer) -> KeeperNote:
    """Who keeps it."""
    assert server.note is not None
    return server.note


def said(output: io.StringIO) -> str:
    """What was printed, in one line."""
    return " ".join(output.getvalue().split())


def test_only_servers_that_were_left_running_are_ended(folder: Path) -> None:
    """One that belongs to a run goes on, and both are listed."""
    kept, owned = started(folder, keep=True), started(folder, keep=False)
    output = io.StringIO()
    console = RunConsole(output)
    try:
        assert commands.show_running(console) == 0
        assert str(note_of(kept).pid) in said(output)
        assert str(note_of(owned).pid) in said(output)
        assert commands.stop_running(console) == 0
        assert "belongs to a run" in said(output)
        assert (kept.is_alive, owned.is_alive) == (False, True)
    finally:
        anyio.run(owned.stop)
        anyio.run(kept.stop)


def test_where_nothing_runs_that_is_said(folder: Path) -> None:
    """In words."""
    output = io.StringIO()
    commands.show_running(RunConsole(output))
    assert said(output) == "no server of ours runs"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_in_a_terminal_ends_with_its_command(number: signal.Signals, folder: Path) -> None:
    """Before that is over, so that the next may start at once; a little later where that is killed."""
    python = fake_python(folder / "python")
    script = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from numina_infer.core.engine_config import ServerConfig\n"
        "from numina_infer.engines.vllm.launch import Launch\n"
        "from numina_infer.engines.vllm.server_group import serve\n"
        "launch = Launch(Path(sys.argv[1]), Path(sys.argv[2]), ServerConfig())\n"
        "serve([launch], Console(), detach=False)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    command = [sys.executable, "-c", script, str(python), str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert any("Ctrl-C ends it" in line for line in serving.stdout)
        ((_, note),) = server_place.running()
        serving.send_signal(number)
    assert number is signal.SIGKILL or not note.is_alive
    wait_until(lambda: not note.is_alive)
    assert server_place.running() == ()
    assert not [pid for pid in starts(folder / "python") if server_place.born(pid)]


def test_a_detached_server_stays_and_says_how_to_reach_and_end_it(folder: Path) -> None:
    """Its socket, and the way to stop it."""
    output = io.StringIO()
    launch = Launch(fake_python(folder / "python"), folder, ServerConfig())
    assert commands.serve([launch], RunConsole(output), detach=True) == 0
    server = VllmServer(launch, keep=True, report=lambda line: None)
    try:
        assert server.find()
        assert f"listens on {server.place.socket}" in said(output)
        assert "serve --stop" in said(output)
    finally:
        anyio.run(server.stop)
