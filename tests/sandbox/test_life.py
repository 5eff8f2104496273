"""Slots, kills and deaths: what the sandbox keeps to when programs, zygotes and callers come to sudden ends."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from numina_infer.core.config import Rung
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import StopReason
from numina_infer.sandbox import Execution, ExecutionStatus, Sandbox, SandboxConfig
from numina_infer.sandbox.host.forkserver import _kill_marked
from tests.sandbox.limits_only import LIMITS_ONLY

pytestmark = pytest.mark.anyio
Eventually = Callable[[Callable[[], bool]], Awaitable[bool]]
OK, TIMEOUT = ExecutionStatus.OK, ExecutionStatus.TIMEOUT
FOREVER = "while True: pass"
FORK_AND_LEAVE = """
import os, time
reader, writer = os.pipe()
waiter, releaser = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        for fd in (0, 1, 2): os.close(fd)
        time.sleep(60)
    os.read(waiter, 1)
    os._exit(0)
print(os.read(reader, 20).decode())
os.write(releaser, b"x")
None
"""


def is_gone(pid: int) -> bool:
    """No process of this id, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


def open_descriptors() -> set[str]:
    """The descriptors of this process, by number and name."""
    folder = Path("/proc/self/fd")
    return {f"{entry.name} {entry.readlink()}" for entry in folder.iterdir() if entry.is_symlink()}


async def test_a_daemon_of_a_program_dies_with_it(unlocked: Sandbox, eventually: Eventually) -> None:
    """Also one that left its session, its process group and its pipes."""
    execution = await unlocked.execute(FORK_AND_LEAVE, timeout_s=20)
    assert await eventually(lambda: is_gone(int(execution.output)))


@pytest.mark.slow
async def test_three_hundred_programs_in_flight_each_get_their_own_result(sandbox: Sandbox) -> None:
    """Through two slots."""
    executions: dict[int, Execution] = {}

    async def run(number: int) -> None:
        executions[number] = await sandbox.execute(f"print({number})", timeout_s=20)

    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(run, number)
    assert {number: execution.output for number, execution in executions.items()} == {n: str(n) for n in range(300)}


async def test_slots_are_given_in_order_of_arrival() -> None:
    """First come, first served: with the one slot taken, the others start in order."""
    order: list[int] = []

    async def run(number: int) -> None:
        code = "import time\ntime.monotonic()"
        order.append(number)
        starts[number] = float((await sandbox.execute(code, timeout_s=20)).output)

    starts: dict[int, float] = {}
    config = SandboxConfig(num_slots=1, preload=False, lowest_rung=Rung.LIMITS)
    async with Sandbox(config) as sandbox, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(run, number)
    assert sorted(order, key=lambda number: starts[number]) == order


async def test_a_moved_cutoff_ends_running_and_queued_programs(sandbox: Sandbox) -> None:
    """All at once, as time-outs."""
    cutoff = Cutoff(math.inf)
    statuses: list[ExecutionStatus] = []

    async def run() -> None:
        statuses.append((await sandbox.execute(FOREVER, timeout_s=60, cutoff=cutoff)).status)

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(run)
        await sandbox_is_busy(sandbox)
        cutoff.move(anyio.current_time(), StopReason.DECIDED)
    assert statuses == [TIMEOUT] * 6
    assert (await sandbox.execute("1", timeout_s=20)).output == "1"


async def sandbox_is_busy(sandbox: Sandbox) -> None:
    """Wait until a program that was queued behind others had no chance in a while."""
    with anyio.move_on_after(0.3):
        await sandbox.execute("1", timeout_s=20)


async def test_a_cutoff_that_has_passed_runs_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Not even for a moment."""
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()"
    execution = await sandbox.execute(code, timeout_s=20, cutoff=Cutoff(anyio.current_time()))
    assert execution.status is TIMEOUT
    await sandbox.execute("1", timeout_s=20)
    assert not (tmp_path / "ran").exists()


async def test_cancelling_kills_and_frees_the_slot(sandbox: Sandbox) -> None:
    """As often as there are slots, and more."""
    for _ in range(5):
        with anyio.move_on_after(0.1) as scope:
            await sandbox.execute(FOREVER, timeout_s=60)
        assert scope.cancelled_caught
    assert (await sandbox.execute("1", timeout_s=20)).output == "1"


async def test_cancelling_a_sessions_block_keeps_the_session_usable(sandbox: Sandbox) -> None:
    """The results of earlier successful blocks are there again."""
    async with sandbox.session() as session:
        await session.execute("x = 1", timeout_s=20)
        with anyio.move_on_after(0.1):
            await session.execute(FOREVER, timeout_s=60)
        assert (await session.execute("x", timeout_s=20)).output == "1"


async def test_a_program_is_run_again_when_the_zygote_dies(unlocked: Sandbox, tmp_path: Path) -> None:
    """Once, on a new zygote; the one beside it as well."""
    flag = tmp_path / "flag"
    kill = (
        f"import os, time\nif not os.path.exists({str(flag)!r}):\n"
        f"    open({str(flag)!r}, 'w').close()\n    os.kill(os.getppid(), 9)\n    time.sleep(60)\n'survived'"
    )
    async with anyio.create_task_group() as tasks, unlocked.session() as session:
        await session.execute("x = 1", timeout_s=20)
        tasks.start_soon(unlocked.execute, "import time\ntime.sleep(0.2)")
        num_told = len(unlocked.incidents)
        assert (await unlocked.execute(kill, timeout_s=20)).output == "survived"
        assert (await session.execute("x", timeout_s=20)).output == "1"
        assert unlocked.incidents[num_told:] == ("the sandbox's zygote died; a new one is started",)


async def test_children_die_with_their_zygote(sandbox: Sandbox, eventually: Eventually) -> None:
    """On every rung: the kernel forgets the parent-death signal at a change of user, so it is set behind it."""
    async with sandbox.session() as session:
        pids = await session.execute("import os\nprint(os.getpid(), os.getppid())", timeout_s=20)
        child, zygote = map(int, pids.output.split())
        os.kill(zygote, signal.SIGKILL)
        assert await eventually(lambda: is_gone(child))
        assert (await session.execute("6 * 7", timeout_s=20)).output == "42"


@pytest.mark.slow
async def test_a_busy_machine_makes_no_time_outs() -> None:
    """Four programs a core, each within its limit of processor time and beyond it on the wall clock."""
    num = 4 * len(os.sched_getaffinity(0))
    code = "import time\nwhile time.process_time() < 0.5: pass\n'done'"
    executions: list[Execution] = []

    async def run(sandbox: Sandbox) -> None:
        executions.append(await sandbox.execute(code, timeout_s=1.5))

    config = SandboxConfig(num_slots=num, wall_factor=30, lowest_rung=Rung.LIMITS)
    async with Sandbox(config) as sandbox, anyio.create_task_group() as tasks:
        for _ in range(num):
            tasks.start_soon(run, sandbox)
    assert [execution.output for execution in executions] == ["done"] * num


async def test_a_program_that_sleeps_gets_no_more_than_its_limit() -> None:
    """It uses no processor time that could run out, and waits for no processor either."""
    config = SandboxConfig(num_slots=1, preload=False, wall_factor=10_000, lowest_rung=Rung.LIMITS)
    async with Sandbox(config) as sandbox:
        execution = await sandbox.execute("import time\ntime.sleep(6000)", timeout_s=0.2)
    assert (execution.status, execution.output) == (TIMEOUT, "Timed out after 0.2 seconds.")
    assert execution.wall_s >= 0.2


@pytest.mark.slow
async def test_a_program_that_always_kills_the_zygote_is_given_up(unlocked: Sandbox) -> None:
    """With an error that isn't shown to the model; the sandbox goes on."""
    with pytest.raises(SandboxError, match="zygote died"):
        await unlocked.execute("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)", timeout_s=20)
    assert (await unlocked.execute("1", timeout_s=20)).output == "1"


async def test_nothing_is_left_when_the_sandbox_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zygote, child, orphan, descriptor or folder; and the host's variables were never there."""
    monkeypatch.setenv("NUMINA_TEST_VARIABLE", "of the host")
    before = open_descriptors()
    async with Sandbox(replace(LIMITS_ONLY, num_slots=2)) as sandbox, sandbox.session() as session:
        idle = await session.execute(
            "import os\nprint(os.getpid(), os.getppid(), os.path.dirname(os.getcwd()))", timeout_s=20
        )
        orphan = await session.execute(FORK_AND_LEAVE, timeout_s=20)
        seen = await sandbox.execute("import os\nsorted(os.environ)", timeout_s=20)
    assert idle.status is OK, idle
    child, zygote, folder = idle.output.split()
    assert [is_gone(int(pid)) for pid in (child, zygote, orphan.output)] == [True, True, True]
    assert not Path(folder).exists()
    assert open_descriptors() == before
    assert "NUMINA_TEST_VARIABLE" not in seen.output
    assert "PYTHONPATH" not in seen.output


async def test_closing_ends_what_is_in_flight() -> None:
    """Callers learn that the sandbox is closed."""
    errors: list[str] = []

    async def run(sandbox: Sandbox) -> None:
        try:
            await sandbox.execute(FOREVER, timeout_s=60)
        except SandboxError as error:
            errors.append(str(error))

    async with anyio.create_task_group() as tasks, Sandbox(SandboxConfig(num_slots=1, preload=False)) as sandbox:
        for _ in range(3):
            tasks.start_soon(run, sandbox)
        await sandbox_is_busy(sandbox)
    assert len(errors) == 3
    assert all("closed" in error for error in errors)


@pytest.mark.slow
async def test_a_stopped_zygote_delays_nobody_and_is_replaced() -> None:
    """A kill that isn't confirmed in time retires its slot; without slots the zygote itself goes."""
    async with Sandbox(replace(LIMITS_ONLY, num_slots=1, kill_grace_s=0.3)) as sandbox:
        stop = f"import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n{FOREVER}"
        execution = await sandbox.execute(stop, timeout_s=0.5)
        assert execution.status is TIMEOUT
        assert (await sandbox.execute("1", timeout_s=20)).output == "1"


async def test_it_works_on_a_loop_in_another_thread() -> None:
    """As the solver runs it, behind a blocking portal."""

    async def run() -> str:
        async with Sandbox(SandboxConfig(num_slots=1, preload=False)) as sandbox:
            return (await sandbox.execute("6 * 7", timeout_s=20)).output

    def portal() -> str:
        with anyio.from_thread.start_blocking_portal() as loop:
            return loop.call(run)

    assert await anyio.to_thread.run_sync(portal) == "42"


async def test_a_sandbox_is_opened_once(sandbox: Sandbox) -> None:
    """A second zygote would take the first one's place, and nobody would end that."""
    server = await sandbox._opened().server()
    with pytest.raises(SandboxError, match="opened before; make a new one"):
        async with sandbox:
            pass
    assert await sandbox._opened().server() is server


def test_a_leftover_that_is_gone_before_its_kill_has_its_children_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have forked after the list of processes was read, so one more list is read."""
    kill, missed = os.kill, list[int]()

    def miss_once(pid: int, signum: int) -> None:
        if not missed:
            missed.append(pid)
            raise ProcessLookupError
        kill(pid, signum)

    mark = "NUMINA_SANDBOX=of this test"
    name, _, value = mark.partition("=")
    speaks_and_waits = ["/bin/sh", "-c", "echo; read -r end"]
    pipe = subprocess.PIPE
    with subprocess.Popen(speaks_and_waits, env={name: value}, stdin=pipe, stdout=pipe) as left_over:
        assert left_over.stdout
        left_over.stdout.readline()  # a program that has just been loaded has no environment for a moment
        monkeypatch.setattr(os, "kill", miss_once)
        _kill_marked(mark.encode())
        assert left_over.wait(20) == -signal.SIGKILL
    assert missed == [left_over.pid]


async def test_a_zygote_that_starts_says_nothing(sandbox: Sandbox) -> None:
    """So that its last words, if it dies, are about that."""
    server = await sandbox._opened().server()
    assert server._last_words() == "none"


async def test_a_zygote_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its last words."""
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(SandboxError, match="out of luck"):
        async with Sandbox(SandboxConfig(preload=False)):
            pass


async def test_a_missing_interpreter_is_a_sandbox_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing open."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    before = open_descriptors()
    with pytest.raises(SandboxError, match="could not be launched"):
        async with Sandbox(SandboxConfig(preload=False)):
            pass
    assert open_descriptors() == before


async def test_a_start_on_a_full_disk_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again and again in a contest, which must not run out of them by that."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    before = open_descriptors()
    with pytest.raises(SandboxError, match="No space left on device") as raised:
        async with Sandbox(SandboxConfig(preload=False)):
            pass
    assert open_descriptors() == before, raised  # the error is alive still, and with it all that it was raised from
