"""`numina-infer serve --list` and `--stop`: what they show and end, with a fake vLLM in real processes."""

import io
import tempfile
from pathlib import Path

import anyio
import pytest

from numina_infer.core.engine_config import ServerConfig
from numina_infer.engines.vllm import server_group as commands
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_place import KeeperNote
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.runs.progress import RunConsole
from tests.engines.vllm.fake_vllm import fake_python


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
