"""Presets: named bundles of how to prompt, roll out, decide and serve."""

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
    """A named bundle: how to prompt, how to roll out, how to decide, how long."""

    format: str
    """A name in `formats.catalogue.FORMATS`."""
    rollout: RolloutConfig
    policy: Policy
    contest: ContestConfig = field(default_factory=ContestConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    """How vLLM is started, where it is."""
    client: ClientConfig = field(default_factory=ClientConfig)
    """How endpoints are spoken to, where there are any."""

    def for_problems(self, num_problems: int) -> "Preset":
        """The preset for a contest of so many problems, which only a time bank asks about."""
        if self.contest.bank is None:
            return self
        bank = replace(self.contest.bank, num_problems=num_problems)
        return replace(self, contest=replace(self.contest, bank=bank))

    def without_bank(self) -> "Preset":
        """The preset where nobody waits for the end of the whole."""
        return replace(self, contest=replace(self.contest, bank=None))


PRESETS: Mapping[str, Preset] = {
    # The winner's parameters on our rules: 48 wide, 4 deep, 50 problems in 9 hours.
    "numina": Preset(
        format="numina",
        rollout=RolloutConfig(),
        policy=Policy(num_samples=48),
        contest=ContestConfig(problem_time_s=630.0),
    ),
    # The default on Kaggle: the winner's sampling on two T4s with vLLM 0.19.1, whose arguments are `ServerConfig`'s
    # defaults; problems stop when they are likely decided, and what that saves buys samples for hard ones.
    "t4x2": Preset(
        format="numina",
        rollout=RolloutConfig(),
        policy=Policy(num_samples=192, width=48, epsilon=0.01),
        contest=ContestConfig(problem_time_s=1500.0, bank=BankConfig(time_limit_s=9 * 3600.0, num_problems=50)),
        server=ServerConfig(
            dtype="half",
            attention_backend="TRITON_ATTN",
            max_model_len=4096,
            max_num_seqs=48,
            max_num_batched_tokens=2048,
            gpu_memory_utilization=0.92,
            disable_custom_all_reduce=True,
        ),
    ),
    # Every sample to its end, so that any other policy can be replayed on the log.
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
