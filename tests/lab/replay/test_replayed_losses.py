"""Lost attempts in a replay: what another horizon would have had in their place."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import ContestConfig, Policy, RolloutConfig, SamplingParams, StopRule
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Cutoff, Decoder
from numina_infer.core.presets import Preset
from numina_infer.core.records import Completion, FinishReason, Part, Problem, Solution
from numina_infer.formats.numina import NUMINA
from numina_infer.lab.evaluate.marking import samples_of
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.replay.replay import replay_run
from numina_infer.lab.replay.variant import Change
from numina_infer.runs.log import RunLog
from numina_infer.solving.contest import Contest, Parts
from tests.mischief import BadEngine, BadSandbox, Mischief
from tests.run_folders import described

NO_MISCHIEF = Mischief(random.Random(0), ("writes",))  # noqa: S311 (a test's luck)


class UnluckyEngine(BadEngine):
    """Loses two attempts of five; which ones, their answers and times depend on their numbers alone."""

    def __init__(self, seed: int) -> None:
        super().__init__(NO_MISCHIEF)
        self.seed = seed

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place."""
        yield _Unlucky(random.Random(f"{self.seed} {ticket}"))  # noqa: S311 (a test's luck)


@dataclass
class _Unlucky:
    luck: random.Random

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        await anyio.sleep(self.luck.uniform(1.0, 40.0))
        if self.luck.random() < 0.4:
            raise EngineError("no luck")
        return Completion(f"\\boxed{{{self.luck.randint(1, 3)}}}", (), FinishReason.EOS, num_tokens=9)


def play(folder: Path, seed: int, num_samples: int) -> Solution:
    """The verdict of a live contest of one problem, every sample to its end."""
    policy = Policy(num_samples=num_samples, stop_rule=StopRule.NEVER)
    preset = Preset("numina", RolloutConfig(), policy, ContestConfig(problem_time_s=10_000.0))
    parts = Parts(preset, NUMINA, UnluckyEngine(seed), BadSandbox(NO_MISCHIEF), clock=virtual_clock())
    with RunLog(described(folder, preset), resume=True) as log, Contest(parts, log) as contest:
        return contest.solve(Problem("a", "?"))


@given(seed=st.integers(0, 10**6), horizons=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_a_smaller_horizon_has_lost_attempts_replaced_by_the_next(seed: int, horizons: tuple[int, int]) -> None:
    """They are what a run of that horizon would have started in their place, so its votes are the same."""
    with TemporaryDirectory() as name:
        whole, part = Path(name) / "whole", Path(name) / "part"
        play(whole, seed, max(horizons))
        live = play(part, seed, min(horizons))
        (one,) = replay_run(read_recording(whole), Change(num_samples=min(horizons))).problems
        (own,) = replay_run(read_recording(part)).problems
    assert own.is_as_recorded
    assert one.solution is not None
    assert one.solution.votes == live.votes
    assert one.solution.num_ended == live.num_ended


@given(seed=st.integers(0, 10**6), num_samples=st.integers(1, 12))
def test_a_lost_attempt_and_its_replacement_are_one_sample(seed: int, num_samples: int) -> None:
    """Or an engine that was ill for a moment would lower every figure of the model."""
    with TemporaryDirectory() as name:
        solution = play(Path(name) / "run", seed, num_samples)
        (recorded,) = read_recording(Path(name) / "run").problems
    samples = samples_of(recorded)
    assert len(samples) == num_samples
    assert sum(sample.answer.value is not None for sample in samples) * 1000 == sum(solution.votes.values())
