"""What every sandbox keeps to, the real one and the scripted one."""

import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from numina_infer.core.config import Mode, SandboxConfig
from numina_infer.core.errors import ConfigError, SandboxError
from numina_infer.core.ports import Cutoff, Sandbox
from numina_infer.core.records import StopReason
from numina_infer.sandbox import Execution, ExecutionStatus
from numina_infer.sandbox import Sandbox as ForkingSandbox
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.solving.supervised import SupervisedSandbox

pytestmark = pytest.mark.anyio
GOOD, BAD, ENDLESS = "print(6 * 7)", "print('before')\n1 / 0", "while True: pass"
SCRIPT: dict[str, Execution | str] = {
    GOOD: "42\n",
    BAD: Execution(ExecutionStatus.ERROR, "before\nZeroDivisionError: division by zero", "before\n"),
    ENDLESS: Execution(ExecutionStatus.OK, "", wall_s=math.inf),
}
modes = pytest.mark.parametrize("mode", list(Mode))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, and alive as long as the module's sandboxes."""
    return "asyncio"


@pytest.fixture(scope="module", params=["forking", "late", "scripted"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """An open sandbox of either kind."""
    if request.param == "scripted":
        async with ScriptedSandbox(SCRIPT) as scripted:
            yield scripted
    elif request.param == "late":
        async with SupervisedSandbox(make_forking) as late:
            yield late
    else:
        async with ForkingSandbox(SandboxConfig(num_slots=1, preload=False)) as forking:
            yield forking


async def make_forking() -> AbstractAsyncContextManager[Sandbox]:
    """The real one."""
    return ForkingSandbox(SandboxConfig(num_slots=1, preload=False))


@modes
async def test_a_good_program_is_ok(sandbox: Sandbox, mode: Mode) -> None:
    """Its output is what it printed, stripped."""
    async with sandbox.session(mode) as session:
        execution = await session.execute(GOOD, timeout_s=20)
    assert (execution.status, execution.output, execution.stdout) == (ExecutionStatus.OK, "42", "42\n")


@modes
async def test_a_bad_program_is_data(sandbox: Sandbox, mode: Mode) -> None:
    """A status and a text, no exception, and the next program runs."""
    async with sandbox.session(mode) as session:
        execution = await session.execute(BAD, timeout_s=20)
        assert execution.status is ExecutionStatus.ERROR
        assert execution.output.startswith("before\n")
        assert execution.output.endswith("ZeroDivisionError: division by zero")
        assert (await session.execute(GOOD, timeout_s=20)).output == "42"


@modes
async def test_an_endless_program_times_out(sandbox: Sandbox, mode: Mode) -> None:
    """The sentence names the limit, and the next program runs."""
    async with sandbox.session(mode) as session:
        execution = await session.execute(ENDLESS, timeout_s=0.2)
        assert (execution.status, execution.output) == (ExecutionStatus.TIMEOUT, "Timed out after 0.2 seconds.")
        assert execution.wall_s >= 0.2
        assert (await session.execute(GOOD, timeout_s=20)).output == "42"


@modes
async def test_a_cutoff_ends_an_endless_program(sandbox: Sandbox, mode: Mode) -> None:
    """A fixed one, one that is moved, and one that has passed already."""
    cutoff = Cutoff(math.inf)
    async with anyio.create_task_group() as tasks, sandbox.session(mode) as session:

        async def decide() -> None:
            cutoff.move(anyio.current_time() + 0.1, StopReason.DECIDED)

        soon = Cutoff(anyio.current_time() + 0.1)
        assert (await session.execute(ENDLESS, timeout_s=60, cutoff=soon)).status is ExecutionStatus.TIMEOUT
        tasks.start_soon(decide)
        assert (await session.execute(ENDLESS, timeout_s=60, cutoff=cutoff)).status is ExecutionStatus.TIMEOUT
        assert (await session.execute(GOOD, timeout_s=60, cutoff=cutoff)).status is ExecutionStatus.TIMEOUT


@modes
@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan, math.inf])
async def test_a_limit_that_is_none_is_refused(sandbox: Sandbox, mode: Mode, timeout_s: float) -> None:
    """The message names the value."""
    async with sandbox.session(mode) as session:
        with pytest.raises(ConfigError, match=str(timeout_s)):
            await session.execute(GOOD, timeout_s=timeout_s)


@modes
async def test_a_left_session_is_closed(sandbox: Sandbox, mode: Mode) -> None:
    """It takes no more programs."""
    async with sandbox.session(mode) as session:
        pass
    with pytest.raises(SandboxError, match="closed"):
        await session.execute(GOOD, timeout_s=20)


async def test_it_says_what_holds_programs_back(sandbox: Sandbox) -> None:
    """For the run log."""
    assert {"sandbox", "rung"} <= sandbox.describe().keys()


@pytest.mark.parametrize("closed", [ScriptedSandbox(SCRIPT), ForkingSandbox()])
async def test_one_that_is_not_open_says_so(closed: Sandbox) -> None:
    """Before it is opened."""
    with pytest.raises(SandboxError, match="async with"):
        async with closed.session() as session:
            await session.execute(GOOD, timeout_s=20)


async def test_one_that_was_closed_says_so() -> None:
    """After its block."""
    async with ForkingSandbox(SandboxConfig(num_slots=1, preload=False)) as forking:
        pass
    with pytest.raises(SandboxError, match="closed"):
        await forking.execute(GOOD, timeout_s=20)
