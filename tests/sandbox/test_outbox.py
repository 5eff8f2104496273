"""Outbox to the zygote: more of them than its socket takes, and a zygote that doesn't carry them out."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from numina_infer.core.config import Mode
from numina_infer.sandbox import ExecutionStatus, Sandbox, SandboxConfig
from numina_infer.sandbox.child.channel import Channel, Signal
from numina_infer.sandbox.host.forking_sandbox import KeptSession
from numina_infer.sandbox.host.forkserver import Outbox
from tests.sandbox.limits_only import LIMITS_ONLY

pytestmark = pytest.mark.anyio
Eventually = Callable[[Callable[[], bool]], Awaitable[bool]]
MANY = 2000


@pytest.fixture
async def impatient() -> AsyncIterator[Sandbox]:
    """A sandbox whose kills have to be confirmed at once, but whose programs have all the time of the wall."""
    config = SandboxConfig(num_slots=2, preload=False, kill_grace_s=0.05, wall_factor=1000)
    async with Sandbox(config) as opened:
        yield opened


async def zygote(sandbox: Sandbox) -> int:
    """Its process."""
    return (await sandbox._opened().server())._zygote.pid


@contextmanager
def without_processor(pid: int) -> Iterator[None]:
    """Stop a process for the block's time, as a machine does that is busy elsewhere."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def pass_time(seconds: float) -> None:
    """Let timers go off."""
    with anyio.move_on_after(seconds):
        await anyio.Event().wait()


def open_descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number is enough


async def test_orders_beyond_what_a_socket_takes_come_in_order_with_their_descriptors(eventually: Eventually) -> None:
    """Also those whose sender closed its own copy meanwhile; none is left open here."""
    before = open_descriptors()
    ours, theirs = Channel.pair()
    with closing(ours), closing(theirs), Path(os.devnull).open("rb") as file:
        ours.set_nonblocking()
        theirs.set_nonblocking()
        outbox = Outbox(ours, lambda: None)
        for number in range(MANY):
            copy = os.dup(file.fileno())
            outbox.send(Signal(number, 9), [copy] if number % 100 == 99 else ())
            os.close(copy)
        received: list[tuple[int, int]] = []

        def has_all() -> bool:
            try:
                while (mail := theirs.receive()) is not None and isinstance(mail[0], Signal):
                    received.append((mail[0].number, len(mail[1])))
                    for fd in mail[1]:
                        os.close(fd)
            except BlockingIOError:
                pass
            return len(received) == MANY

        assert await eventually(has_all)
        assert received == [(number, int(number % 100 == 99)) for number in range(MANY)]
        outbox.close()
    assert open_descriptors() == before


async def test_orders_that_are_given_up_leave_no_descriptor() -> None:
    """Nor a timer that would send them."""
    before = open_descriptors()
    ours, theirs = Channel.pair()
    with closing(ours), closing(theirs):
        ours.set_nonblocking()
        outbox = Outbox(ours, lambda: None)
        for number in range(MANY):
            outbox.send(Signal(number, 9), [theirs.fileno()])
        outbox.close()
    assert open_descriptors() <= before


async def test_a_zygote_that_dies_with_orders_waiting_is_told_of(eventually: Eventually) -> None:
    """The next look at the queue finds it out."""
    lost: list[bool] = []
    ours, theirs = Channel.pair()
    with closing(ours):
        ours.set_nonblocking()
        outbox = Outbox(ours, lambda: lost.append(True))
        for number in range(MANY):
            outbox.send(Signal(number, 9))
        theirs.close()
        assert await eventually(lambda: lost == [True])
        with pytest.raises(ConnectionError):
            Outbox(ours, lambda: None).send(Signal(1, 9))


async def test_a_full_socket_is_not_the_zygotes_death(sandbox: Sandbox) -> None:
    """Thousands of orders wait for it while it gets no processor, and then it carries them out."""
    async with sandbox.session() as session:
        assert isinstance(session, KeptSession)
        await session.execute("x = 1", timeout_s=20)
        process, pid, num_told = session._process, await zygote(sandbox), len(sandbox.incidents)
        assert process is not None
        with without_processor(pid):
            for _ in range(MANY):
                process.pause()
        assert (await session.execute("x", timeout_s=20)).output == "1"
    assert await zygote(sandbox) == pid
    assert len(sandbox.incidents) == num_told


@pytest.mark.parametrize("num_sessions", [6])
async def test_sessions_at_rest_that_are_left_make_no_slot_stuck(impatient: Sandbox, num_sessions: int) -> None:
    """More of them than there are slots, and none confirmed in time."""
    pid = await zygote(impatient)
    async with impatient.session() as other:
        await other.execute("x = 1", timeout_s=20)
        async with AsyncExitStack() as stack:
            for _ in range(num_sessions):
                session = await stack.enter_async_context(impatient.session())
                await session.execute("1", timeout_s=20)
            os.kill(pid, signal.SIGSTOP)
        await pass_time(0.3)
        os.kill(pid, signal.SIGCONT)
        assert (await other.execute("x", timeout_s=20)).output == "1"
    assert await zygote(impatient) == pid
    assert impatient.incidents == ()


@pytest.mark.parametrize("earlier", [(), ("1",)], ids=["first", "later"])
@pytest.mark.parametrize("mode", list(Mode))
async def test_what_the_zygote_takes_is_not_the_programs_time(
    impatient: Sandbox, mode: Mode, earlier: tuple[str, ...]
) -> None:
    """A program that waits for it longer than it may run runs all the same."""
    outputs: list[str] = []

    async with impatient.session(mode) as session, anyio.create_task_group() as tasks:
        for code in earlier:
            await session.execute(code, timeout_s=20)

        async def run() -> None:
            outputs.append((await session.execute("print(6 * 7)", timeout_s=0.5)).output)

        with without_processor(await zygote(impatient)):
            tasks.start_soon(run)
            await pass_time(0.8)
            assert not outputs
    assert outputs == ["42"]


@pytest.mark.slow
async def test_a_zygote_that_hangs_is_replaced_and_its_programs_are_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is lost by it, also the variables of a session."""
    async with Sandbox(replace(LIMITS_ONLY, num_slots=2)) as sandbox, sandbox.session() as session:
        await session.execute("x = 1", timeout_s=20)
        monkeypatch.setattr("numina_infer.sandbox.host.forkserver._ANSWER_S", 0.2)
        os.kill(await zygote(sandbox), signal.SIGSTOP)
        monkeypatch.setattr("numina_infer.sandbox.host.forkserver._LEAVING_S", 0.2)
        execution = await session.execute("x", timeout_s=20)
        assert (execution.status, execution.output) == (ExecutionStatus.OK, "1")
        assert sandbox.incidents == ("the sandbox's zygote died; a new one is started",)
