"""The process that keeps a server, with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from numina_infer.engines.vllm import keeper
from numina_infer.engines.vllm.server_place import MARK, KeeperNote, ServerPlace, born, cause, read_log
from tests.engines.vllm import process_tree
from tests.waiting import wait_until

KEEPER = [sys.executable, "-I", keeper.__file__]
HASTY = (
    "import sys; from numina_infer.engines.vllm import keeper; "
    "keeper.GRACE_S = 0.1; sys.exit(keeper.main(sys.argv[1:]))"
)
PARENT = "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE); input()"
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


class Tree:
    """A server with a child and a grandchild that try to get away."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "pids", folder / "log"
        self.folder.mkdir(parents=True)

    def command(self, *ending: str) -> list[str]:
        """What starts it."""
        return [sys.executable, process_tree.__file__, str(self.folder), *ending]

    def keeping(self, *ending: str, attached: bool = True) -> list[str]:
        """What the keeper is started with."""
        return [*(["--attached"] if attached else []), str(self.log), "--", *self.command(*ending)]

    @property
    def pids(self) -> list[int]:
        """Those that were started."""
        return [int(file.name) for file in self.folder.iterdir()]

    @property
    def alive(self) -> list[int]:
        """Those that still run."""
        return [pid for pid in self.pids if born(pid)]

    def is_up(self) -> bool:
        """Whether all three run."""
        return len(self.alive) == 3


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A tree that isn't started yet and is gone in the end."""
    made = Tree(tmp_path)
    yield made
    for pid in made.alive:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_server_and_all_it_started(number: int, tree: Tree) -> None:
    """Also those that are deaf to it and have left the session; the request was obeyed, so the code is 0."""
    with subprocess.Popen([*KEEPER, *tree.keeping()], stdin=subprocess.PIPE) as kept:
        wait_until(tree.is_up)
        kept.send_signal(number)
        assert kept.wait() == 0
    assert tree.alive == []


def test_the_end_of_its_input_ends_the_server_and_all_it_started(tree: Tree) -> None:
    """Which is how it learns of its parent's end."""
    with subprocess.Popen([*KEEPER, *tree.keeping()], stdin=subprocess.PIPE) as kept:
        wait_until(tree.is_up)
        kept.communicate()
    assert (kept.returncode, tree.alive) == (0, [])


def test_a_server_that_is_deaf_is_killed_after_a_while(tree: Tree) -> None:
    """It was asked before."""
    with subprocess.Popen([sys.executable, "-c", HASTY, *tree.keeping("deaf")], stdin=subprocess.PIPE) as kept:
        wait_until(tree.is_up)
        kept.terminate()
        assert kept.wait() == 0
    assert tree.alive == []


def test_when_the_server_ends_by_itself_the_rest_is_ended_and_its_code_passed_on(tree: Tree) -> None:
    """So that whoever started it learns of it."""
    with subprocess.Popen([*KEEPER, *tree.keeping("7")], stdin=subprocess.PIPE) as kept:
        assert kept.wait() == 7
    assert (len(tree.pids), tree.alive) == (3, [])


def test_a_server_that_was_killed_is_no_success(tree: Tree) -> None:
    """By the kernel for its memory, say."""
    with subprocess.Popen([*KEEPER, *tree.keeping()], stdin=subprocess.PIPE) as kept:
        wait_until(tree.is_up)
        (server,) = [pid for pid in tree.pids if parent(pid) == kept.pid]
        os.kill(server, signal.SIGKILL)
        assert kept.wait() != 0
    assert tree.alive == []


def test_an_attached_server_ends_when_its_parent_is_killed(tree: Tree) -> None:
    """The parent could do nothing about it."""
    with subprocess.Popen([sys.executable, "-c", PARENT, *KEEPER, *tree.keeping()], **PIPES) as starter:
        wait_until(tree.is_up)
        starter.kill()
    wait_until(lambda: not tree.alive)


def test_a_detached_server_survives_its_parent_and_the_terminal(tree: Tree) -> None:
    """The pid that is printed is who ends it when it is told to."""
    command = [*KEEPER, *tree.keeping(attached=False)]
    with subprocess.Popen([sys.executable, "-c", PARENT, *command], **PIPES) as starter:
        assert starter.stdout is not None
        kept = int(starter.stdout.readline())
        wait_until(tree.is_up)
        starter.kill()
    os.kill(kept, signal.SIGHUP)
    assert tree.is_up()
    os.kill(kept, signal.SIGTERM)
    wait_until(lambda: not born(kept))
    assert tree.alive == []


def test_what_is_left_when_the_keeper_was_killed_is_found_by_its_mark(tree: Tree, tmp_path: Path) -> None:
    """All of it, and nobody else's."""
    place = ServerPlace(tmp_path / "place")
    others = Tree(place.folder)
    marked = {**os.environ, MARK: str(place.folder)}
    elsewhere = {**os.environ, MARK: f"{place.folder}-2"}
    with (
        subprocess.Popen([*KEEPER, *tree.keeping()], env=marked, stdin=subprocess.PIPE) as kept,
        subprocess.Popen(others.command(), env=elsewhere) as other,
    ):
        wait_until(lambda: tree.is_up() and others.is_up())
        kept.kill()
        kept.wait()
        wait_until(lambda: len(tree.alive) == 2)  # the server itself dies with its keeper
        place.kill_leftovers()
        wait_until(lambda: not tree.alive)
        assert others.is_up()
        for pid in others.pids:
            os.kill(pid, signal.SIGKILL)
        other.wait()


def test_what_the_keeper_trips_over_stands_in_the_log(tmp_path: Path) -> None:
    """Where a server's cause is looked for."""
    log = tmp_path / "log"
    kept = subprocess.run([*KEEPER, "--attached", str(log), "--", str(tmp_path / "nothing")], check=False)
    assert kept.returncode != 0
    assert cause(read_log(log)).startswith("FileNotFoundError")


def test_a_process_is_known_by_its_pid_and_its_birth() -> None:
    """A pid alone may be another process' by now, and one that has ended isn't alive until it is collected."""
    pid = os.getpid()
    assert KeeperNote(pid, born(pid), "m").is_alive
    assert not KeeperNote(pid, born(pid) + 1, "m").is_alive
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        wait_until(lambda: not born(ended.pid))
        assert not KeeperNote(ended.pid, born(ended.pid), "m").is_alive


def parent(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
