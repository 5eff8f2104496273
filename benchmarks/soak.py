"""Ten thousand programs through one sandbox, then five hundred kills at the deadline: nothing grows, nothing is lost.

Watched: memory and descriptors of host and zygote, zombies, kernel keys, shared memory. Kills: programs that never end
and programs that end just when their time does; every kill must be confirmed, and none may delay its caller.
Floors: nothing wrong, lost, late or unconfirmed, no restart, no descriptor, zombie, key or segment more than before.
"""

import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio

from benchmarks.frame import Target, finish, name_machine, read_options, show
from numina_infer.core.config import SandboxConfig
from numina_infer.sandbox import ExecutionStatus, Sandbox

NUM_TASKS = 8
KILL_TIMEOUT_S = 0.05
LATE_S = 2.0


@dataclass(frozen=True)
class Use:
    """What host and zygote hold."""

    host_mb: float
    zygote_mb: float
    host_fds: int
    zygote_fds: int
    zombies: int
    keys: int
    shared_segments: int


def zygote_pid(sandbox: Sandbox) -> int:
    """Of the warm process."""
    server = sandbox._opened()._server  # noqa: SLF001 - a benchmark looks inside
    assert server is not None
    return server._zygote.pid  # noqa: SLF001


def overdue(sandbox: Sandbox) -> int:
    """Kills that nobody confirmed."""
    pool = sandbox._opened()  # noqa: SLF001
    assert pool._server is not None  # noqa: SLF001
    return len(pool._overdue) + len(pool._server._children)  # noqa: SLF001


def use(sandbox: Sandbox) -> Use:
    """Right now."""
    zygote = zygote_pid(sandbox)
    return Use(
        _resident_mb(os.getpid()),
        _resident_mb(zygote),
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - one call less in the count
        len(list(Path(f"/proc/{zygote}/fd").iterdir())),
        sum(_is_zombie(entry, zygote) for entry in Path("/proc").glob("[0-9]*")),
        _lines("/proc/keys"),
        _lines("/proc/sysvipc/shm"),
    )


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _lines(path: str) -> int:
    try:
        return len(Path(path).read_text().splitlines())
    except OSError:
        return 0


def _is_zombie(entry: Path, zygote: int) -> bool:
    try:
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return state == "Z" and int(parent) in {zygote, os.getpid()}


async def many(sandbox: Sandbox, num: int) -> int:
    """Run `num` programs, some at once; how many results are wrong or lost."""
    numbers, wrong = iter(range(num)), [0]

    async def work() -> None:
        for number in numbers:
            kind = number % 10
            code = f"print({number})" if kind else f"x = sp.Symbol('x')\nprint(sp.solve(x - {number}, x)[0])"
            execution = await sandbox.execute(code, timeout_s=20)
            wrong[0] += execution.output != str(number)

    async with anyio.create_task_group() as tasks:
        for _ in range(NUM_TASKS):
            tasks.start_soon(work)
    return wrong[0]


@dataclass
class Kills:
    """What came of programs at their deadline."""

    timeouts: int = 0
    ended: int = 0
    """In time, with their whole output."""
    lost: int = 0
    """Neither: a good end without the output."""
    late: int = 0
    longest_s: float = 0.0
    median_s: float = 0.0


async def at_the_deadline(sandbox: Sandbox, num: int) -> Kills:
    """Half of the programs never end; the others end within a hair of their time."""
    kills, took, numbers = Kills(), list[float](), iter(range(num))

    async def work() -> None:
        for number in numbers:
            hair = (number % 41 - 20) / 2000
            near = f"import time\nwhile time.process_time() < {KILL_TIMEOUT_S + hair - 0.004}: pass\nprint('end')"
            began = time.monotonic()
            execution = await sandbox.execute("while True: pass" if number % 2 else near, timeout_s=KILL_TIMEOUT_S)
            took.append(time.monotonic() - began)
            kills.timeouts += execution.status is ExecutionStatus.TIMEOUT
            kills.ended += execution.status is ExecutionStatus.OK and execution.stdout == "end\n"
            kills.lost += execution.status is ExecutionStatus.OK and execution.stdout != "end\n"

    async with anyio.create_task_group() as tasks:
        for _ in range(os.cpu_count() or 1):
            tasks.start_soon(work)
    kills.late = sum(one > LATE_S for one in took)
    kills.longest_s, kills.median_s = max(took), statistics.median(took)
    return kills


@dataclass(frozen=True)
class Soaked:
    """What came of all of it."""

    rung: str
    programs: int
    wrong_or_lost: int
    programs_a_second: float
    kills: int
    unconfirmed: int
    at_the_deadline: Kills
    zygote_restarts: int
    before: Use
    after: Use


async def soak(num_programs: int, num_kills: int) -> Soaked:
    """All of it in one sandbox."""
    async with Sandbox(SandboxConfig()) as sandbox:
        await many(sandbox, 100)
        before, began, zygote = use(sandbox), time.monotonic(), zygote_pid(sandbox)
        wrong = await many(sandbox, num_programs)
        seconds = time.monotonic() - began
        kills = await at_the_deadline(sandbox, num_kills)
        with anyio.move_on_after(3):
            while overdue(sandbox):
                await anyio.sleep(0.01)
        return Soaked(
            rung=str(sandbox.standing.rung),
            programs=num_programs,
            wrong_or_lost=wrong,
            programs_a_second=num_programs / seconds,
            kills=num_kills,
            unconfirmed=overdue(sandbox),
            at_the_deadline=kills,
            zygote_restarts=int(zygote != zygote_pid(sandbox)),
            before=before,
            after=use(sandbox),
        )


def targets(soaked: Soaked) -> list[Target]:
    """Nothing lost, and nothing that grows; memory is only shown, since Python's own comes and goes."""
    kills, before, after = soaked.at_the_deadline, asdict(soaked.before), asdict(soaked.after)
    gained = [after[name] - before[name] for name in before if not name.endswith("_mb")]
    counts = {
        "programs wrong or lost": soaked.wrong_or_lost,
        "outputs lost at the deadline": kills.lost,
        "programs late": kills.late,
        "kills unconfirmed": soaked.unconfirmed,
        "zygote restarts": soaked.zygote_restarts,
        "descriptors, zombies, keys or segments gained": max(gained),
    }
    return [Target(name, count, 0, at_most=True) for name, count in counts.items()]


def main() -> None:
    """Soak, print, and write the figures if asked."""
    options = read_options(__doc__, "300 programs and 40 kills")
    print(name_machine())
    soaked = anyio.run(soak, *((300, 40) if options.short else (10_000, 500)))
    before, after, kills = asdict(soaked.before), asdict(soaked.after), soaked.at_the_deadline
    show(["what", "before", "after"], [(name, before[name], after[name]) for name in before])
    print(f"\n{soaked.programs} programs on rung {soaked.rung}, {soaked.programs_a_second:.0f} a second")
    print(f"{soaked.kills} kills: {kills.timeouts} time-outs, {kills.ended} whole results", end=", ")
    print(f"{kills.median_s:.3f} s in the median, {kills.longest_s:.3f} s at most")
    finish(options, asdict(soaked), targets(soaked))


if __name__ == "__main__":
    main()
