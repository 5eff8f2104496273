"""What a replay changes: values of the run's policy, its answer range, or its time bank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from numina_infer.core.config import BankConfig, Policy, StopRule, require, require_choice
from numina_infer.core.presets import get_preset
from numina_infer.core.records import AnswerRange
from numina_infer.lab.replay.recording import Recording


@dataclass(frozen=True, slots=True)
class Change:
    """Values that differ from the run's own; None keeps what the run had."""

    policy: str | None = None
    """A preset, whose policy takes the place of the run's; the rest changes single values of it."""
    num_samples: int | None = None
    epsilon: float | None = None
    """Given, it takes the rule `decided` with it, unless `stop_rule` says otherwise."""
    stop_rule: StopRule | None = None
    vote_weights: Mapping[str, float] = field(default_factory=dict)
    """By name, as `config.VoteWeights` has them."""
    answer_range: AnswerRange | None = None
    time_limit_s: float | None = None
    """A time bank over the whole run, in seconds; without it problems keep the deadlines that they had."""

    def __post_init__(self) -> None:
        if self.stop_rule is not None:
            object.__setattr__(self, "stop_rule", require_choice("stop_rule", self.stop_rule, StopRule))
        if self.answer_range is not None:
            object.__setattr__(self, "answer_range", require_choice("answer_range", self.answer_range, AnswerRange))

    @property
    def is_nothing(self) -> bool:
        """Whether the run is replayed as it was."""
        return self == Change()

    @property
    def name(self) -> str:
        """What is changed, in words for a table."""
        plain = ("policy", "num_samples", "epsilon", "stop_rule", "answer_range", "time_limit_s")
        parts = [f"{name} {value}" for name in plain if (value := getattr(self, name)) is not None]
        parts += [f"{name} {value:g}" for name, value in self.vote_weights.items()]
        return ", ".join(parts) or "as it was"


@dataclass(frozen=True, slots=True)
class Variant:
    """The policy, range and bank that a replay decides by."""

    policy: Policy
    answer_range: AnswerRange
    bank: BankConfig | None = None
    """Shares the time out anew; None keeps every problem's deadline."""


def make_variant(recording: Recording, change: Change) -> Variant:
    """The run's own policy, range and bank, with `change` applied.

    Raises:
        ConfigError: a value can't be used, or the run was made the paper's way, which has rules of its own.
    """
    require(
        change.is_nothing or not recording.is_papers,
        f"{change.name} for a run of the paper's way, which has the kernel's rules alone; replay it as it was",
    )
    policy = recording.preset.policy if change.policy is None else get_preset(change.policy).policy
    known = ", ".join(field.name for field in fields(policy.weights))
    for name in change.vote_weights:
        require(hasattr(policy.weights, name), f"no vote weight is called {name!r}; choose one of {known}")
    weights = replace(policy.weights, **change.vote_weights)  # type: ignore[arg-type] # VoteWeights looks at them
    values = {name: getattr(change, name) for name in ("num_samples", "epsilon", "stop_rule")}
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if change.epsilon is not None:
        given.setdefault("stop_rule", StopRule.DECIDED)
    answer_range = change.answer_range or recording.preset.rollout.answer_range
    return Variant(replace(policy, weights=weights, **given), answer_range, _bank(recording, change))


def _bank(recording: Recording, change: Change) -> BankConfig | None:
    if change.time_limit_s is None:
        return None
    own = recording.preset.contest.bank
    bank = BankConfig.of_limit(change.time_limit_s) if own is None else replace(own, time_limit_s=change.time_limit_s)
    return replace(bank, num_problems=bank.num_problems or len(recording.problems))


def sweep(
    *,
    num_samples: Sequence[int] = (),
    epsilon: Sequence[float] = (),
    answer_range: Sequence[AnswerRange] = (),
    base: Change | None = None,
) -> list[Change]:
    """Every combination of the values given, on top of `base`; what has no values is left as it is there."""
    changes = [base or Change()]
    given: Mapping[str, Sequence[Any]] = {"num_samples": num_samples, "epsilon": epsilon, "answer_range": answer_range}
    for name, values in given.items():
        changes = [replace(change, **{name: value}) for change in changes for value in values] or changes
    return changes
