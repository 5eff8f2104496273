"""Contests of one engine that box the same answer for every problem."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from numina_infer.core.clock import Clock
from numina_infer.core.config import ContestConfig, Policy, RolloutConfig, SamplingParams
from numina_infer.core.ports import Engine
from numina_infer.core.presets import Preset
from numina_infer.core.records import Execution, ExecutionStatus, Problem, Solution
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.log import RunLog
from numina_infer.runs.observers import Observer
from numina_infer.solving.contest import Contest, Parts
from tests.scripted_sandbox import ScriptedSandbox

PRESET = Preset(
    "numina",
    RolloutConfig(sampling=SamplingParams(max_tokens=10**8)),
    Policy(num_samples=3, fallback_answer=7),
    ContestConfig(problem_time_s=30.0, reply_grace_s=0.05),
)


def two(code: str) -> Execution:
    """Every program prints 2."""
    return Execution(ExecutionStatus.OK, "2")


@contextmanager
def contest_in(
    folder: Path,
    engine: AbstractAsyncContextManager[Engine],
    preset: Preset = PRESET,
    solved: dict[Problem, Solution] | None = None,
    observers: tuple[Observer, ...] = (),
    clock: Clock | None = None,
    began_at: float | None = None,
) -> Iterator[Contest]:
    """A contest that logs to `folder`."""
    with RunLog(folder) as log:
        log.describe({})
        parts = Parts(preset, NUMINA, engine, ScriptedSandbox(two), clock=clock or Clock(), began_at=began_at)
        contest = Contest(parts, log, solved=solved, observers=observers)
        with contest:
            yield contest


def boxing(answer: int) -> ScriptedEngine:
    """An engine whose every trajectory answers `answer`."""
    return ScriptedEngine([[f"The answer is $\\boxed{{{answer}}}$."]])
