"""The programs of one session share variables, also after a kill."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import pytest

from numina_infer.core.config import Mode
from numina_infer.core.errors import SandboxError
from numina_infer.sandbox import ExecutionStatus, Sandbox
from numina_infer.sandbox.child.channel import ChildEnded, Message, Spawn
from numina_infer.sandbox.host.forkserver import ForkServer

pytestmark = pytest.mark.anyio
Eventually = Callable[[Callable[[], bool]], Awaitable[bool]]
OK, ERROR, TIMEOUT = ExecutionStatus.OK, ExecutionStatus.ERROR, ExecutionStatus.TIMEOUT


async def test_a_session_keeps_variables(sandbox: Sandbox) -> None:
    """As a notebook does, also across a failed block."""
    async with sandbox.session() as session:
        await session.execute("x = 20", timeout_s=20)
        await session.execute("x += 1\n1 / 0", timeout_s=20)
        execution = await session.execute("2 * x", timeout_s=20)
    assert (execution.status, execution.output) == (OK, "42")


async def test_a_mode_may_be_given_by_its_name(sandbox: Sandbox) -> None:
    """As a format of somebody else's may; it is never taken for another one."""
    async with sandbox.session(cast("Mode", "session")) as session:
        await session.execute("x = 42", timeout_s=20)
        assert (await session.execute("x", timeout_s=20)).output == "42"
    with pytest.raises(ValueError, match="notebook"):
        sandbox.session(cast("Mode", "notebook"))


async def test_a_fresh_session_keeps_nothing(sandbox: Sandbox) -> None:
    """Every program starts anew."""
    async with sandbox.session(Mode.FRESH) as session:
        await session.execute("x = 20", timeout_s=20)
        execution = await session.execute("x", timeout_s=20)
    assert execution.output.endswith("NameError: name 'x' is not defined")


async def test_sessions_do_not_see_each_other(sandbox: Sandbox) -> None:
    """Each has a child of its own."""
    async with sandbox.session() as one, sandbox.session() as other:
        await one.execute("x = 1", timeout_s=20)
        await other.execute("x = 2", timeout_s=20)
        assert (await one.execute("x", timeout_s=20)).output == "1"
        assert (await other.execute("x", timeout_s=20)).output == "2"


async def test_output_belongs_to_its_block(sandbox: Sandbox) -> None:
    """Nothing is told twice or late."""
    async with sandbox.session() as session:
        outputs = [(await session.execute(f"print({n})", timeout_s=20)).output for n in range(20)]
    assert outputs == [str(n) for n in range(20)]


async def test_sys_exit_ends_a_block_and_not_the_session(sandbox: Sandbox) -> None:
    """Also exit(), which closes stdin elsewhere."""
    async with sandbox.session() as session:
        assert (await session.execute("x = 1\nexit()", timeout_s=20)).status is OK
        assert (await session.execute("import sys\nsys.exit(3)", timeout_s=20)).output == "SystemExit: 3"
        assert (await session.execute("x", timeout_s=20)).output == "1"
        assert (await session.execute("input()", timeout_s=20)).output.endswith("EOFError: EOF when reading a line")


@pytest.mark.parametrize("death", ["while True: pass", "import os\nos._exit(0)", "import os\nos.abort()"])
async def test_after_a_death_the_successful_blocks_are_restored(sandbox: Sandbox, death: str) -> None:
    """Their output isn't told again, and blocks that failed aren't run again."""
    async with sandbox.session() as session:
        await session.execute("x = 20\nprint('once')", timeout_s=20)
        await session.execute("y = 1\n1 / 0", timeout_s=20)
        await session.execute(death, timeout_s=0.5)
        execution = await session.execute("(x, 'y' in globals())", timeout_s=20)
    assert (execution.status, execution.output) == (OK, "(20, False)")


async def test_a_fork_that_fails_is_the_sandboxes_fault_and_costs_no_variables(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zygote says so in place of the child's end; a later child restores the session."""

    def refuse(server: ForkServer, message: Message, _fds: Sequence[int] = ()) -> None:
        if isinstance(message, Spawn):
            end = ChildEnded(message.number, 1 << 8, 0.0, "", "it could not be forked: no room")
            asyncio.get_running_loop().call_soon(server._take, end)

    async with sandbox.session() as session:
        await session.execute("x = 42", timeout_s=20)
        await session.execute("import os\nos._exit(1)", timeout_s=20)
        with monkeypatch.context() as patch:
            patch.setattr(ForkServer, "_send", refuse)
            with pytest.raises(SandboxError, match="could not be forked: no room"):
                await session.execute("x", timeout_s=20)
        assert (await session.execute("x", timeout_s=20)).output == "42"


async def test_restoring_shares_the_blocks_own_time(sandbox: Sandbox) -> None:
    """Earlier blocks and the new one together get one limit; a history that is too long for it is forgotten."""
    async with sandbox.session() as session:
        await session.execute("import time\nwhile time.process_time() < 1.0: pass\nx = 1", timeout_s=20)
        await session.execute("while True: pass", timeout_s=0.2)
        late = await session.execute("x", timeout_s=0.5)
        blank = await session.execute("'x' in globals()", timeout_s=20)
    assert (late.status, late.output) == (TIMEOUT, "Timed out after 0.5 seconds.")
    assert blank.output == "False"


async def test_a_replay_keeps_variables_and_tells_nothing_twice(sandbox: Sandbox) -> None:
    """Blocks that succeeded are run again in silence, those that failed or left by the back door are not."""
    async with sandbox.session(Mode.REPLAY) as session:
        await session.execute("x = 20\nprint('once')\nimport sys\nprint('aside', file=sys.stderr)", timeout_s=20)
        await session.execute("y = 1\n1 / 0", timeout_s=20)
        await session.execute("import os\nos._exit(0)", timeout_s=20)
        execution = await session.execute("x += 1\n(x, 'y' in globals())", timeout_s=20)
        again = await session.execute("print(2 * x)", timeout_s=20)
    assert (execution.status, execution.stdout, execution.stderr) == (OK, "(21, False)\n", "")
    assert (again.status, again.output) == (OK, "42")


async def test_a_replay_shares_the_blocks_own_time(sandbox: Sandbox) -> None:
    """Earlier blocks and the new one together get one limit."""
    async with sandbox.session(Mode.REPLAY) as session:
        await session.execute("import time\nwhile time.process_time() < 0.6: pass", timeout_s=20)
        late = await session.execute("print('began')\nwhile time.process_time() < 60: pass", timeout_s=0.3)
    assert (late.status, late.output) == (TIMEOUT, "Timed out after 0.3 seconds.")


async def test_the_hidden_streams_of_a_replay_are_gone_when_its_program_runs(sandbox: Sandbox) -> None:
    """It holds no descriptor but the three."""
    async with sandbox.session(Mode.REPLAY) as session:
        await session.execute("import os", timeout_s=20)
        code = "[fd for fd in range(2000) if os.path.exists(f'/proc/self/fd/{fd}')]"
        assert (await session.execute(code, timeout_s=20)).output == "[0, 1, 2]"


async def test_an_alarm_does_not_go_off_in_the_next_block(sandbox: Sandbox) -> None:
    """Programs like to guard themselves by SIGALRM and forget to take it back."""
    async with sandbox.session() as session:
        await session.execute("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.2)", timeout_s=20)
        execution = await session.execute("import time\ntime.sleep(0.5)\n'calm'", timeout_s=20)
    assert (execution.status, execution.output) == (OK, "calm")


async def test_threads_left_running_rest_between_blocks(sandbox: Sandbox, eventually: Eventually) -> None:
    """A session that waits for the model takes no processor from the others."""
    code = (
        "import os, threading, time\n"
        "def run():\n    while True: time.process_time()\n"
        "threading.Thread(target=run, daemon=True).start()\n"
        "os.getpid()"
    )
    async with sandbox.session() as session:
        stat = Path(f"/proc/{(await session.execute(code, timeout_s=20)).output}/stat")
        assert await eventually(lambda: ") T " in stat.read_text())
        assert (await session.execute("'awake'", timeout_s=20)).output == "awake"


async def test_when_memory_runs_out_the_kernel_takes_sessions_at_rest_first(
    sandbox: Sandbox, eventually: Eventually
) -> None:
    """Then programs that run, and both before the host."""
    async with sandbox.session() as session, anyio.create_task_group() as tasks:
        pid = (await session.execute("import os\nos.getpid()", timeout_s=20)).output
        badness = Path(f"/proc/{pid}/oom_score_adj")
        assert await eventually(lambda: badness.read_text() == "1000\n")
        tasks.start_soon(partial(session.execute, "while True: pass", timeout_s=60))
        assert await eventually(lambda: badness.read_text() == "900\n")
        tasks.cancel_scope.cancel()


async def test_a_session_that_is_killed_at_rest_knows_what_it_knew(sandbox: Sandbox, eventually: Eventually) -> None:
    """As the kernel does when memory runs out: its blocks are run again."""
    async with sandbox.session() as session:
        pid = int((await session.execute("import os\nx = 20\nos.getpid()", timeout_s=20)).output)
        os.kill(pid, signal.SIGKILL)
        assert await eventually(lambda: not Path(f"/proc/{pid}").exists())
        assert (await session.execute("x", timeout_s=20)).output == "20"


async def test_a_block_that_uses_up_descriptors_fails_alone(sandbox: Sandbox) -> None:
    """The next program can't be handed over, and that is said."""
    async with sandbox.session() as session:
        await session.execute("kept = []\nwhile True: kept.append(open('/dev/null'))", timeout_s=20)
        execution = await session.execute("1", timeout_s=20)
    assert (execution.status, execution.output) == (ERROR, "OSError: [Errno 24] Too many open files")


async def test_a_forged_report_ends_its_own_block_only(sandbox: Sandbox) -> None:
    """A packet that a program writes to its session's socket affects no other session, nor the next block's output."""
    forge = (
        "import sys\n"
        "frame = sys._getframe()\n"
        "while 'control' not in frame.f_locals: frame = frame.f_back\n"
        "print('forged')\n"
        "for packet in (b'ok', b'ok nan\\n', b'\\xff', b'ok\\n' + b'x' * 7000):\n"
        "    frame.f_locals['control'].send_bytes(packet)\n"
    )
    async with sandbox.session() as session, sandbox.session() as other:
        await other.execute("x = 1", timeout_s=20)
        assert (await session.execute(forge, timeout_s=20)).stdout == "forged\n"
        # A packet that comes late may be taken for the next block's report, but its output is its own.
        assert (await session.execute("7", timeout_s=20)).stdout in {"7\n", ""}
        assert (await other.execute("x", timeout_s=20)).output == "1"


async def test_a_left_session_takes_no_more_programs(sandbox: Sandbox) -> None:
    """And says so."""
    async with sandbox.session() as session:
        pass
    with pytest.raises(SandboxError, match="closed"):
        await session.execute("1", timeout_s=20)


async def test_a_block_that_forks_at_once_is_not_stopped(unlocked: Sandbox) -> None:
    """The rest between blocks is over before the next one begins."""
    fork = "import os\npid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)[1]"
    async with unlocked.session() as session:
        outputs = {(await session.execute(fork, timeout_s=20)).output for _ in range(30)}
    assert outputs == {"0"}
