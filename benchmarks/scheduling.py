"""What a schedule costs: real vLLM, the real sandbox, the same model, requests, programs and decision policy.

Three arms, one `Solver`:
- rounds with re-prefill: what NuminaMath's 2024 kernel does (see `lockstep.py`), on a server without prefix cache;
- rounds with prefix cache: the same on a server with one;
- ours: every trajectory moves alone.
All N trajectories run to their end (`StopRule.NEVER`): stopping early is measured elsewhere.
The tiny model's problems have 96 trajectories and 48 places, as the preset `t4x2` has more samples than places: rounds
take them in two waves of 48, ours refills each place as it comes free.

The tiny model stands for a GPU: a step of 48 requests takes two to three times as long as a step of one, so what a
round waits for is its slowest sample. Its turns are real and end by themselves, after 160 tokens in the mean and
with a nearly constant chance at each token; a 7B model's recorded turns (MathCoder) are about as long and spread
two thirds as much, without the few of the kernel's that loop up to its limit of 2,048. N, the temperature, the
number of turns and both limits are the kernel's (48, 0.8, 4, 2,048), the window is `t4x2`'s. Its programs sleep for
half a second to two (`drawn_programs.py`), about as long as a turn takes here.
A sleeping program takes no processor, so there are as many sandbox slots as trajectories: with a slot a core the queue
for slots would be what is measured. On Kaggle there are four cores, and most programs take milliseconds.
SmolLM2 has the preset `cpu`, its own programs, and the slots that the sandbox takes by itself. Its steps take longer
the more requests there are, as no GPU's do, so little is to be gained there: it shows that nothing is lost.

Both servers of a model run all the time and one of them idles, so that the arms can take turns, in another order each
time: a machine that is busy for a while disturbs all of them. Each run begins with an empty prefix cache.
A ratio is that of two arms on the same problem and seed; its median counts.
Floor: 1.6 times the votes a minute of rounds with re-prefill on the tiny model, no less than them on SmolLM2, nine
tenths of the cacheable tokens from the cache, and the same completions in all arms. Aim: 2.5, and 95 %.
"""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from benchmarks.compared import Arm, Case, Comparison
from benchmarks.drawn_programs import DrawnPrograms
from benchmarks.frame import Target, finish, name_machine, read_options
from benchmarks.lockstep import Barrier, LockstepEngine, LockstepSandbox
from benchmarks.prediction import predict
from benchmarks.step_times import time_steps, warm_up
from benchmarks.timed_run import Run, TimedEngine, run_problem
from numina_infer.core.config import Policy, RolloutConfig, SandboxConfig, StopRule
from numina_infer.core.engine_config import ServerConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Format
from numina_infer.core.presets import PRESETS, Preset
from numina_infer.core.records import Problem
from numina_infer.engines.local.models import find_folder
from numina_infer.engines.vllm.launch import Launch, find_vllm_python
from numina_infer.engines.vllm.vllm_engine import VllmEngine
from numina_infer.formats.catalogue import make_format
from numina_infer.runs.problems import example_problems_path, read_problems
from numina_infer.sandbox import Sandbox
from tests.tiny_model import make_tiny_model

WINDOW = 4096
_WHOLE_PROMPTS = ("--no-enable-chunked-prefill",)
"""No prompt is spread over two steps on any arm's server: of that vLLM 0.32.0 dies on a CPU if a request has a seed,
since it sets its generator back by an offset, and a CPU's has none. The kernel's vLLM spread no prompt either."""
_DEV_MODE = "VLLM_SERVER_DEV_MODE"
"""With it a vLLM server empties its prefix cache when asked to."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and what it is to solve."""

    name: str
    model: Path
    preset: Preset
    make_format: Callable[[Problem, Preset], Format]
    cases: Sequence[tuple[Problem, int]]
    """Problems with the seeds that they are solved with."""
    num_slots: int
    batches: Sequence[int]
    contexts: Sequence[int]
    prefills: Sequence[int]
    """What the steps of its server are timed at."""

    def launch(self, python: Path, *extra: str) -> Launch:
        """A server for it."""
        return Launch(python, self.model, self.preset.server, extra=(*_WHOLE_PROMPTS, *extra))


def tiny_workload(folder: Path, num_cases: int) -> Workload:
    """The tiny model, as wide, as deep and as hot as the winning kernel; two of the example problems in turns."""
    num_samples = 2 * 48
    preset = Preset(
        format="drawn",
        # No program is to run into its limit, however busy the machine is: completions would differ.
        rollout=RolloutConfig(code_timeout_s=60.0),
        policy=Policy(num_samples=num_samples, width=48, stop_rule=StopRule.NEVER),
        server=ServerConfig(max_model_len=WINDOW, max_num_batched_tokens=WINDOW, max_num_seqs=48, cpu_kv_cache_gib=1),
    )

    def drawn(problem: Problem, seeded: Preset) -> Format:
        return DrawnPrograms.of(problem.statement, seeded.contest.seed, num_samples, seeded.rollout)

    problems = _examples()[-2:]
    cases = [(problems[number % 2], number) for number in range(num_cases)]
    model = make_tiny_model(folder, window=WINDOW)
    return Workload("tiny model", model, preset, drawn, cases, 48, (1, 8, 16, 32, 48), (256, 768), (256, 1024))


def smollm2_workload(num_cases: int) -> Workload:
    """SmolLM2 as the preset `cpu` has it, on the first of the example problems."""
    cpu = PRESETS["cpu"]
    preset = replace(cpu, policy=replace(cpu.policy, stop_rule=StopRule.NEVER))
    cases = [(problem, 0) for problem in _examples()[:num_cases]]
    model = find_folder("smollm2", print)
    return Workload("SmolLM2", model, preset, lambda *_: make_format(cpu.format), cases, 0, (1, 4, 8), (512,), (256,))


def _examples() -> tuple[Problem, ...]:
    return read_problems(example_problems_path()).problems


@dataclass(frozen=True, slots=True)
class Bench:
    """A workload on its two servers."""

    workload: Workload
    engines: Mapping[Arm, VllmEngine]
    sandbox: Sandbox

    async def cases(self) -> list[Case]:
        """All cases, each in all arms, in an order that moves on by one from case to case."""
        arms = list(Arm)
        cases = []
        for number, (problem, seed) in enumerate(self.workload.cases):
            shift = number % len(arms)
            runs = {arm: await self._run(arm, problem, seed) for arm in arms[shift:] + arms[:shift]}
            cases.append(Case(problem.id, seed, {arm: runs[arm] for arm in arms}))
            print(_case_line(self.workload, cases[-1]), flush=True)
        return cases

    async def _run(self, arm: Arm, problem: Problem, seed: int) -> Run:
        preset = self.workload.preset
        seeded = replace(preset, contest=replace(preset.contest, seed=seed))
        fmt, timed = self.workload.make_format(problem, seeded), TimedEngine(self.engines[arm])
        await _empty_prefix_cache(self.engines[arm])
        if not arm.has_rounds:
            return await run_problem(problem, fmt, seeded, timed, self.sandbox, timed)
        seeded = replace(seeded, policy=replace(preset.policy, width=0))  # the barrier lets waves in, not the referee
        width = preset.policy.at_once
        barrier = Barrier(width, preset.policy.num_samples - width)
        engine, sandbox = LockstepEngine(timed, barrier), LockstepSandbox(self.sandbox, barrier)
        return await run_problem(problem, fmt, seeded, engine, sandbox, timed)


def _case_line(workload: Workload, case: Case) -> str:
    arms = ", ".join(f"{arm} {run.wall_s:.1f} s" for arm, run in case.runs.items())
    return f"{workload.name}, {case.problem_id}, seed {case.seed}: {arms} (load {os.getloadavg()[0]:.1f})"


async def _empty_prefix_cache(engine: VllmEngine) -> None:
    async with engine.servers[0].address.client() as client:
        response = await client.post("/reset_prefix_cache")
    if response.status_code != 200 or not response.json().get("success", True):
        raise EngineError(f"the server didn't empty its prefix cache: {response.text[:200]}")


@asynccontextmanager
async def open_bench(workload: Workload, python: Path) -> AsyncIterator[Bench]:
    """Two servers, started one after the other, and the sandbox."""
    client = workload.preset.client
    plain = VllmEngine([workload.launch(python, "--no-enable-prefix-caching")], client, report=print)
    cached = VllmEngine([workload.launch(python)], client, report=print)
    sandbox = Sandbox(SandboxConfig(num_slots=workload.num_slots))
    async with plain, cached, sandbox:
        yield Bench(workload, {Arm.REPREFILL: plain, Arm.CACHED: cached, Arm.OURS: cached}, sandbox)


async def measure(workload: Workload, python: Path) -> tuple[Comparison, dict[str, Any]]:
    """All cases, and the times of single steps."""
    async with open_bench(workload, python) as bench:
        plain, cached = (bench.engines[arm].servers[0] for arm in (Arm.REPREFILL, Arm.CACHED))
        await warm_up(plain, workload.batches[-1], workload.contexts[0])
        layout = await time_steps(cached, workload.batches, workload.contexts, workload.prefills)
        cases = await bench.cases()
        incidents = [incident for engine in bench.engines.values() for incident in engine.stats.incidents]
    for incident in incidents:
        print(f"{workload.name}: {incident}")
    return Comparison(cases, block_size(workload.launch(python))), layout


def block_size(launch: Launch) -> int:
    """Tokens of a block of the server's prefix cache."""
    return int(launch.arguments[launch.arguments.index("--block-size") + 1])


def targets(tiny: Comparison, smollm2: Comparison) -> list[Target]:
    """What the figures should be."""
    return [
        Target("tiny model: votes a minute, ours to rounds with re-prefill", tiny.ratio(Arm.REPREFILL), 1.6, 2.5),
        Target("SmolLM2: votes a minute, ours to rounds with re-prefill", smollm2.ratio(Arm.REPREFILL), 1.0),
        Target("SmolLM2: votes a minute, ours to rounds with prefix cache", smollm2.ratio(Arm.CACHED), 1.0),
        *(
            target
            for name, found in (("tiny model", tiny), ("SmolLM2", smollm2))
            for target in (
                Target(f"{name}: cacheable tokens from cache", found.share_cached, 90, 95, " %"),
                Target(f"{name}: the same completions in all arms", found.share_same, 100, unit=" %"),
            )
        ),
    ]


def main() -> int:
    """Measure, print, and write the figures if asked; 0 whether targets are met or not."""
    options = read_options(__doc__, "two cases of the tiny model and one of SmolLM2 instead of six and four")
    print(name_machine())
    try:
        python = find_vllm_python()
    except EngineError as error:
        print(f"nothing is measured: {error}")
        finish(options, {})
        return 0
    os.environ[_DEV_MODE] = "1"
    figures: dict[str, Any] = {}
    found: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder:
        num_tiny, num_smollm2 = (2, 1) if options.short else (6, 4)
        for workload in (tiny_workload(Path(folder), num_tiny), smollm2_workload(num_smollm2)):
            comparison, layout = anyio.run(measure, workload, python)
            print(f"\n{workload.name}\n{comparison.table()}\n", flush=True)
            slots = workload.num_slots or len(os.sched_getaffinity(0))
            simulated = predict(comparison, layout, num_slots=slots, width=workload.preset.policy.at_once)
            rows = {"simulated": simulated, "layout": layout, "runs": comparison.rows()}
            figures[workload.name] = {**comparison.summary(), **rows}
            found.append(comparison)
    finish(options, figures, targets(*found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
