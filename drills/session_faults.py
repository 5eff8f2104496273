"""What goes wrong with sessions of the real sandbox: no descriptor for a block, and a thousand that end at once.

Sessions keep their variables here whatever the format asks for, since that is where these faults strike.
"""

import os
import re
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio

from drills.contest_plan import right_answer
from drills.fault import Expected, Fault, Place, nothing
from drills.model import program
from drills.real_faults import in_real_time
from drills.scene import Scene
from drills.wrapped import WrappedSandbox
from numina_infer.core.config import Mode, SandboxConfig
from numina_infer.core.ports import Cutoff, Session
from numina_infer.core.ports import Sandbox as OpenSandbox
from numina_infer.core.records import Execution
from numina_infer.sandbox import Sandbox

FEWEST_SESSIONS, MOST_SESSIONS = 320, 1000
"""In the crowd: more than the zygote's socket takes packets, and as many as come to rest in a few seconds."""
_OPENING_S = 8.0
_BATCH = 20
_BYTES_A_SESSION = 16 * 1024**2
"""Memory that has to be free for each, or fewer are opened; one at rest takes about half of it."""
_PATIENCE_S = 60.0
_GRACE_S = 0.05
"""For kills, so short that those of the crowd can't all be confirmed in it."""
_KEEP, _TELL = "kept_sum = {}", "print(kept_sum)"


class KeptSandbox(WrappedSandbox):
    """A sandbox all of whose sessions keep their variables."""

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:  # noqa: ARG002 - the port has it
        """One that does."""
        async with super().session(Mode.SESSION) as session:
            yield session


class StarvedSandbox(KeptSandbox):
    """A sandbox whose process has no descriptor for a session's second block, as often as it is told to."""

    def __init__(self, sandbox: OpenSandbox, num_left: list[int]) -> None:
        super().__init__(sandbox)
        self._num_left = num_left

    async def execute(self, session: Session, code: str, *, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        """Run it, or try to."""
        if self._num_left[0] == 0 or code.strip() != _TELL:
            return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)
        self._num_left[0] -= 1
        with no_descriptor_left():
            return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)


@contextmanager
def no_descriptor_left(spare: int = 0) -> Iterator[None]:
    """Take all but `spare` of the descriptors that this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def _in_two_blocks(numbers: frozenset[int], number: int, text: str, _seed: int) -> str | None:
    """On these problems a first block keeps the sum, and a second one tells it."""
    if number not in numbers or _TELL in text:
        return None
    keep = _KEEP.format(right_answer(number))
    return program(_TELL if keep in text else keep)


def _no_descriptor(scene: Scene, numbers: frozenset[int]) -> None:
    num_left = [0]
    in_real_time(scene)
    scene.says.append(partial(_in_two_blocks, numbers))
    scene.around_sandbox.append(lambda sandbox: StarvedSandbox(sandbox, num_left))
    scene.then(numbers, lambda _moment: num_left.__setitem__(0, 1))


class CrowdedSandbox(KeptSandbox):
    """A sandbox in which a crowd of sessions is at rest, until all of them are left before a program."""

    def __init__(self, sandbox: OpenSandbox, crowd: AsyncExitStack, leaves: list[bool]) -> None:
        super().__init__(sandbox)
        self._crowd, self._leaves = crowd, leaves

    async def execute(self, session: Session, code: str, *, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        """Run it, behind what happens first."""
        if self._leaves[0]:
            self._leaves[0] = False
            await self._leave()
        return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)

    async def _leave(self) -> None:
        """Leave them while the zygote gets no processor, so that every order for their ends has to wait."""
        async with self._sandbox.session(Mode.FRESH) as fresh:
            zygote = int((await fresh.execute("import os\nos.getppid()", timeout_s=_PATIENCE_S)).output)
        os.kill(zygote, signal.SIGSTOP)
        try:
            await self._crowd.aclose()
        finally:
            os.kill(zygote, signal.SIGCONT)


@asynccontextmanager
async def _crowded(leaves: list[bool]) -> AsyncIterator[OpenSandbox]:
    """The real sandbox, opened when the crowd is at rest in it."""
    async with Sandbox(SandboxConfig(kill_grace_s=_GRACE_S)) as sandbox, AsyncExitStack() as crowd:
        until, num_opened, most = anyio.current_time() + _OPENING_S, 0, _as_many_as_fit()
        while num_opened < most and (num_opened < FEWEST_SESSIONS or anyio.current_time() < until):
            await _open_some(sandbox, crowd)
            num_opened += _BATCH
        yield CrowdedSandbox(sandbox, crowd, leaves)


async def _open_some(sandbox: Sandbox, crowd: AsyncExitStack) -> None:
    sessions = [await crowd.enter_async_context(sandbox.session(Mode.SESSION)) for _ in range(_BATCH)]
    async with anyio.create_task_group() as tasks:
        for session in sessions:
            tasks.start_soon(partial(session.execute, _KEEP.format(0), timeout_s=_PATIENCE_S))


def _as_many_as_fit() -> int:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    return MOST_SESSIONS if found is None else min(MOST_SESSIONS, int(found[1]) * 1024 // _BYTES_A_SESSION)


@contextmanager
def _many_descriptors() -> Iterator[None]:
    """A session at rest has three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _left_at_once(scene: Scene, numbers: frozenset[int]) -> None:
    leaves = [False]
    in_real_time(scene)
    scene.says.append(partial(_in_two_blocks, numbers))
    scene.open_sandbox = lambda: _crowded(leaves)
    scene.around.append(_many_descriptors)
    scene.then(numbers, lambda _moment: leaves.__setitem__(0, True))


SESSION_FAULTS = (
    Fault(
        "session-no-descriptor",
        "On three problems the process has no descriptor left for a session's second block, in the real sandbox.",
        _no_descriptor,
        Expected(nothing, 0, says=("this process can not open what a program needs",)),
        at=(0.2, 0.5, 0.8),
        place=Place.REAL,
    ),
    Fault(
        "sessions-left-at-once",
        "Up to a thousand sessions at rest are left at once, while the real sandbox's zygote gets no processor.",
        _left_at_once,
        Expected(nothing, 0, never_says=("zygote died",)),
        at=(0.5,),
        place=Place.REAL,
    ),
)
