"""What a program costs in the sandbox, against a fresh `python3` with numpy and sympy imported, the reference way.

The same programs in one run: recorded code blocks, half of them with sympy. Processor time is summed over the child,
its share of the zygote and its share of the host. Floor: a sympy program takes at most 1/15 of the reference's, with
the same output; programs of more than half a second are counted apart, since they measure sympy. Aims: 1/25; on an
idle core a trivial program's median 10 ms and a sympy program's 50 ms, of which 3 ms for the lock-down; 300 in flight
all right.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import anyio

from benchmarks.frame import Target, finish, name_machine, pass_over, read_options, show
from benchmarks.recorded import NOT_HERE, data_folder, recorded_programs
from numina_infer.core.config import Rung, SandboxConfig
from numina_infer.sandbox import Sandbox
from numina_infer.sandbox.child.runner import compile_program

HEADER = "import math\nimport numpy as np\nimport sympy as sp\n"
TIMEOUT_S = 30.0
HEAVY_S = 0.5
"""Above it a program's own work is what is measured, and no overhead."""
IN_FLIGHT = 300
LIMITS = SandboxConfig(highest_rung=Rung.LIMITS, lowest_rung=Rung.LIMITS)


@dataclass(frozen=True)
class Cost:
    """Of one program."""

    output: str
    cpu_s: float
    wall_s: float


def fresh_python(code: str, folder: Path) -> Cost:
    """Run `code` in a new interpreter, with the reference's header."""
    file = folder / "program.py"
    file.write_text(HEADER + code, errors="replace")
    before, began = os.times(), time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, str(file)],
            capture_output=True,
            timeout=60,
            check=False,
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
        output = done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired:
        output = "time-out"
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(output.strip(), cpu_s, time.perf_counter() - began)


@contextmanager
def overhead(sandbox: Sandbox, shares: int, into: list[float]) -> Iterator[None]:
    """Append the processor time that host and zygote take in the block, by `shares`."""
    zygote = (~zygote_pid(sandbox) << 3) | 2
    before = time.process_time() + time.clock_gettime(zygote)
    yield
    into.append((time.process_time() + time.clock_gettime(zygote) - before) / shares)


def zygote_pid(sandbox: Sandbox) -> int:
    """Of the warm process."""
    server = sandbox._opened()._server  # noqa: SLF001 - a benchmark looks inside
    assert server is not None
    return server._zygote.pid  # noqa: SLF001


async def in_sandbox(sandbox: Sandbox, programs: Sequence[str]) -> list[Cost]:
    """One after the other."""
    costs, share = [], list[float]()
    with overhead(sandbox, len(programs), share):
        for code in programs:
            execution = await sandbox.execute(code, timeout_s=TIMEOUT_S)
            costs.append(Cost(execution.stdout.strip(), execution.cpu_s, execution.wall_s))
    return [replace(cost, cpu_s=cost.cpu_s + share[0]) for cost in costs]


async def lockdown_cost(num: int) -> dict[str, float]:
    """A trivial program on the highest rung and with limits alone, in turns: medians in ms."""
    async with Sandbox(SandboxConfig(num_slots=1)) as locked, Sandbox(replace(LIMITS, num_slots=1)) as unlocked:
        costs: dict[str, list[Cost]] = {"locked": [], "limits": []}
        for _ in range(num):
            costs["locked"] += await in_sandbox(locked, ["print(6 * 7)"])
            costs["limits"] += await in_sandbox(unlocked, ["print(6 * 7)"])
    medians = {
        f"{name}_{kind}_ms": 1000 * statistics.median(getattr(cost, f"{kind}_s") for cost in some)
        for name, some in costs.items()
        for kind in ("wall", "cpu")
    }
    return medians | {"lockdown_wall_ms": medians["locked_wall_ms"] - medians["limits_wall_ms"]}


async def in_flight(sandbox: Sandbox, num: int) -> tuple[int, float]:
    """How many of `num` programs at once are right, and how many a second."""
    right = [False] * num

    async def run(number: int) -> None:
        right[number] = (await sandbox.execute(f"print({number})", timeout_s=TIMEOUT_S)).output == str(number)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for number in range(num):
            tasks.start_soon(run, number)
    return sum(right), num / (time.perf_counter() - began)


def choose(num: int) -> tuple[list[str], list[str]]:
    """As many blocks without sympy as with it: such as print their result, and print the same twice."""
    plain, symbolic = list[str](), list[str]()
    for code in recorded_programs():
        kind = symbolic if "sympy" in code else plain
        if len(kind) < num and _is_comparable(code):
            kind.append(code)
    return plain, symbolic


def _is_comparable(code: str) -> bool:
    try:
        return compile_program(code, "<program>")[1] is None and "print" in code and "input(" not in code
    except (SyntaxError, ValueError):
        return False


@dataclass(frozen=True)
class Figures:
    """All that is measured."""

    rung: str
    plain: dict[str, float]
    sympy: dict[str, float]
    trivial: dict[str, float]
    in_flight: int
    in_flight_right: int
    in_flight_a_second: float


async def measure(num: int) -> Figures:
    """All figures."""
    plain, symbolic = choose(num)
    async with Sandbox(SandboxConfig(num_slots=1)) as sandbox:
        rung = str(sandbox.standing.rung)
        ours = {"plain": await in_sandbox(sandbox, plain), "sympy": await in_sandbox(sandbox, symbolic)}
    with tempfile.TemporaryDirectory() as folder:
        theirs = {
            kind: [fresh_python(code, Path(folder)) for code in codes]
            for kind, codes in (("plain", plain), ("sympy", symbolic))
        }
    compared = {kind: compare(costs, theirs[kind]) for kind, costs in ours.items()}
    trivial = await lockdown_cost(num)
    async with Sandbox() as sandbox:
        right, a_second = await in_flight(sandbox, IN_FLIGHT)
    return Figures(rung, compared["plain"], compared["sympy"], trivial, IN_FLIGHT, right, a_second)


def compare(ours: Sequence[Cost], theirs: Sequence[Cost]) -> dict[str, float]:
    """Medians and sums of both, and how many outputs are the same."""
    light = [(o, t) for o, t in zip(ours, theirs, strict=True) if o.cpu_s < HEAVY_S]
    ratio = sum(t.cpu_s for _, t in light) / sum(o.cpu_s for o, _ in light)
    median = {name: statistics.median(cost.cpu_s for cost in costs) for name, costs in (("o", ours), ("t", theirs))}
    return {
        "same_output": sum(o.output == t.output for o, t in zip(ours, theirs, strict=True)),
        "programs": len(ours),
        "heavy": len(ours) - len(light),
        "cpu_ms": 1000 * statistics.fmean(o.cpu_s for o, _ in light),
        "reference_cpu_ms": 1000 * statistics.fmean(t.cpu_s for _, t in light),
        "cpu_ratio": ratio,
        "cpu_ratio_of_medians": median["t"] / median["o"],
        "wall_median_ms": 1000 * statistics.median(cost.wall_s for cost in ours),
        "reference_wall_median_ms": 1000 * statistics.median(cost.wall_s for cost in theirs),
    }


def targets(figures: Figures) -> list[Target]:
    """Floor and aims; those in milliseconds of wall time are for an idle core."""
    sympy, trivial = figures.sympy, figures.trivial
    same = sum(kind["same_output"] for kind in (figures.plain, sympy))
    return [
        Target("CPU of a fresh python3 against a sympy program's here", sympy["cpu_ratio"], 15, 25, " times"),
        Target("outputs the same", same, sympy["programs"] + figures.plain["programs"]),
        Target("in flight, right", figures.in_flight_right, figures.in_flight),
        Target("trivial program, wall", trivial["locked_wall_ms"], None, 10, " ms", at_most=True),
        Target("sympy program, wall", sympy["wall_median_ms"], None, 50, " ms", at_most=True),
        Target("lock-down, wall", trivial["lockdown_wall_ms"], None, 3, " ms", at_most=True),
    ]


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = read_options(__doc__, "five programs of each kind instead of fifty")
    if data_folder() is None:  # too few programs of the package's own use sympy
        pass_over(options, NOT_HERE)
    print(name_machine())
    figures = anyio.run(measure, 5 if options.short else 50)
    show(
        ["recorded", "without sympy", "with sympy"],
        [(name, figures.plain[name], figures.sympy[name]) for name in figures.plain],
    )
    print()
    show(["trivial program", "ms"], figures.trivial.items())
    print(f"\nrung {figures.rung}; {figures.in_flight} in flight: {figures.in_flight_a_second:.0f} a second")
    finish(options, asdict(figures), targets(figures))


if __name__ == "__main__":
    main()
