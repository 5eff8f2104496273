"""Presets: named bundles of all configs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from numina_infer.core.config import (
    BankConfig,
    ContestConfig,
    Policy,
    RolloutConfig,
    SamplingParams,
    SandboxConfig,
    StopRule,
    require,
)
from numina_infer.core.engine_config import ClientConfig, ServerConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """A named bundle: the prompt format, and the configs of attempts, votes, time, sandbox and engines."""

    format: str
    """A name in `formats.catalogue.FORMATS`."""
    rollout: RolloutConfig
    policy: Policy
    contest: ContestConfig = field(default_factory=ContestConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    """For vLLM servers that we start."""
    client: ClientConfig = field(default_factory=ClientConfig)
    """For engines behind an endpoint."""

    def for_problems(self, num_problems: int) -> "Preset":
        """The preset for a contest of `num_problems`, which its time bank then expects."""
        if self.contest.bank is None:
            return self
        bank = replace(self.contest.bank, num_problems=num_problems)
        return replace(self, contest=replace(self.contest, bank=bank))

    def without_bank(self) -> "Preset":
        """The preset without a limit for the whole contest."""
        return replace(self, contest=replace(self.contest, bank=None))


PRESETS: Mapping[str, Preset] = {
    # The winner's parameters on our rules: 48 wide, 4 deep, 50 problems in 9 hours.
    "numina": Preset(
        format="numina",
        rollout=RolloutConfig(),
        policy=Policy(num_samples=48),
        contest=ContestConfig(problem_time_s=630.0),
    ),
    # The default on Kaggle: the winner's sampling on two T4s with vLLM 0.19.1; problems stop when they are likely
    # decided, and hard ones get the time that this saves.
    "t4x2": Preset(
        format="numina",
        rollout=RolloutConfig(),
        policy=Policy(num_samples=192, width=48, epsilon=0.01),
        contest=ContestConfig(problem_time_s=1500.0, bank=BankConfig(time_limit_s=9 * 3600.0, num_problems=50)),
        server=ServerConfig(),  # its defaults are for this machine
    ),
    # Every attempt runs to its end, so that any other policy can be replayed on the log.
    "collect": Preset(
        format="numina",
        rollout=RolloutConfig(),
        policy=Policy(num_samples=48, stop_rule=StopRule.NEVER),
        contest=ContestConfig(problem_time_s=24 * 3600.0),
    ),
    # For a small untrained model on two cores: worked examples in front, short turns.
    "cpu": Preset(
        format="numina-few-shot",
        rollout=RolloutConfig(sampling=SamplingParams(temperature=0.6, max_tokens=100), max_turns=3),
        policy=Policy(num_samples=8),
        contest=ContestConfig(problem_time_s=120.0),
        server=ServerConfig(max_model_len=2048, max_num_seqs=16),
    ),
}


def get_preset(name: str) -> Preset:
    """The preset called `name`; `ConfigError` naming the known ones otherwise."""
    require(name in PRESETS, f"no preset is called {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
