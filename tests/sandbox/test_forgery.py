"""Programs that forge messages of the sandbox, or break the channels between their child and the host."""

import os
from pathlib import Path

import pytest

from numina_infer.core.config import Mode
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Session
from numina_infer.sandbox import ExecutionStatus, Sandbox
from numina_infer.sandbox.child.program_report import StartupStatus

pytestmark = pytest.mark.anyio
modes = pytest.mark.parametrize("mode", list(Mode))
FIND = """
import os, signal, socket, sys
pages, sockets, frame = [], [], sys._getframe()
while frame is not None:
    job, control = frame.f_locals.get("job"), frame.f_locals.get("control")
    if job is not None:
        pages += [job.report, getattr(job.startup, "_page", None)]
    if control is not None:
        sockets.append(control)
    frame = frame.f_back
def say(words):
    for page in pages:
        try: page[: len(words)] = words[: len(page)]
        except (ValueError, IndexError, TypeError): pass
    for one in sockets:
        one.send_bytes(words)
"""
WORDS = {
    "broken": "say(b'broken\\nforged')",
    "failed": "say(bytes([2]) + b'no space left on device')",
    "half": "say(b'ok')",
    "nothing": "say(b'')",
    "garbage": "say(bytes(range(256)) * 32)",
    "endless": "say(b'error\\n' + b'9' * 60000)",
    "twice": "say(b'error\\nonce'); say(b'broken\\ntwice')",
    "hung up": "[one.close() for one in sockets]",
}
ENDS = ["None", "1 / 0", "os._exit(0)", "os._exit(1)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 19)"]


async def goes_on(session: Session) -> bool:
    """Whether a session runs programs again, once what an earlier one did behind its own report has come to light."""
    for _ in range(20):
        if (await session.execute("print(6 * 7)", timeout_s=0.5)).output == "42":
            return True
    return False


@modes
@pytest.mark.parametrize("words", WORDS.values(), ids=list(WORDS))
async def test_whatever_a_program_says_and_however_it_ends_its_failure_is_data(
    sandbox: Sandbox, mode: Mode, words: str
) -> None:
    """Nothing is raised, wherever it could write to, and its session goes on."""
    for end in ENDS:
        async with sandbox.session(mode) as session:
            execution = await session.execute(f"{FIND}{words}\n{end}", timeout_s=0.5)
            assert execution.status in set(ExecutionStatus)
            assert execution.cpu_s < 60
            assert await goes_on(session)


@modes
async def test_a_programs_own_code_of_exit_is_no_failure_of_the_sandbox(sandbox: Sandbox, mode: Mode) -> None:
    """Though it wrote before that its child could not be made ready."""
    async with sandbox.session(mode) as session:
        execution = await session.execute(f"{FIND}{WORDS['failed']}\nos._exit(1)", timeout_s=20)
        assert execution.status in {ExecutionStatus.CRASHED, ExecutionStatus.ERROR}
        assert await goes_on(session)


async def test_a_program_that_fills_its_socket_is_killed_and_holds_nobody_up(sandbox: Sandbox) -> None:
    """The host hangs up at the second report, so that a flood of them doesn't keep it busy."""
    async with sandbox.session() as session, sandbox.session() as other:
        await other.execute("x = 1", timeout_s=20)
        await session.execute(f"{FIND}while True: say(b'ok\\n')", timeout_s=20)
        assert (await other.execute("x", timeout_s=20)).output == "1"
        assert await goes_on(session)


async def test_a_socket_that_is_closed_behind_a_forged_report_is_noticed(sandbox: Sandbox) -> None:
    """However the two events fall, the next blocks are run, or fail as data."""
    async with sandbox.session() as session:
        for _ in range(20):
            await session.execute(f"{FIND}say(b'error\\n'); [one.close() for one in sockets]", timeout_s=0.5)
            assert await goes_on(session)


async def test_descriptors_that_a_program_sends_do_not_stay_with_the_host(unlocked: Sandbox) -> None:
    """With limits alone it can send them; the kernel closes them again."""
    send = (
        f"{FIND}import array\nend = sockets[0]._socket\nfds = array.array('i', [0] * 200)\n"
        "end.sendmsg([b'error\\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])"
    )
    async with unlocked.session() as session:
        await session.execute("1", timeout_s=20)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number is enough
        await session.execute(send, timeout_s=20)
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


async def test_a_sessions_processor_time_is_the_kernels_count(sandbox: Sandbox) -> None:
    """Also where its program forged the report."""
    async with sandbox.session() as session:
        await session.execute("1", timeout_s=20)  # by its end the zygote has told the process whose time is counted
        # It lives on, since the count of a child that is gone comes with the word of its end, which may be late.
        spin = "while time.process_time() < 0.2: pass\nsay(b'error\\nmuch')\nwhile True: pass"
        execution = await session.execute(f"{FIND}import time\n{spin}", timeout_s=20)
    assert execution.output == "much"
    assert 0.1 < execution.cpu_s < 20


@modes
async def test_a_child_that_can_not_be_made_ready_is_a_failure_of_the_sandbox(sandbox: Sandbox, mode: Mode) -> None:
    """It is an exception with the reason, and the session goes on when there is a place to work in again."""
    server = await sandbox._opened().server()
    place, elsewhere = server._folder, server._folder.parent / "elsewhere"
    async with sandbox.session(mode) as session:
        place.rename(elsewhere)
        place.write_text("in the way")
        try:
            with pytest.raises(SandboxError, match=r"could not be made ready for its program: .*Not a directory"):
                await session.execute("1", timeout_s=20)
        finally:
            Path(place).unlink()
            elsewhere.rename(place)
        assert (await session.execute("1", timeout_s=20)).output == "1"


def test_a_child_that_says_nothing_has_not_begun() -> None:
    """One that says why it failed is quoted, as far as there is room."""
    assert StartupStatus().close() == "it ended before its program began"
    failed = StartupStatus()
    failed.fail("no space " * 10_000)
    assert failed.close().startswith("no space no space")
