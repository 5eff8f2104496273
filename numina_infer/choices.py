"""What a user chooses, on the command line or in a notebook, and the preset that comes of it.

It stands in `run.json` as it was chosen, so that a run can be resumed from there alone.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from numina_infer.config import Policy, Preset, Rung, StopRule, get_preset, require, require_choice
from numina_infer.tir import get_format
from numina_infer.trajectory import AnswerRange


class EngineName(StrEnum):
    """The engines that can be named on the command line."""

    TRANSFORMERS = "transformers"
    SCRIPTED = "scripted"


class Api(StrEnum):
    """The competition APIs that have a mock."""

    AIMO = "aimo"
    """2024: iterate and predict."""
    KAGGLE_EVALUATION = "kaggle-evaluation"
    """2025 on: an inference server whose `predict` is called."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a user may choose for solving; None leaves it to the preset."""

    engine: EngineName = EngineName.TRANSFORMERS
    model: str = "smollm2"
    script: str | None = None
    """A file for the scripted engine; None takes its built-in script."""
    preset: str = "cpu"
    paper: bool = False
    """Solve as NuminaMath's 2024 kernel did, in rounds and by its own rules, with the preset's numbers."""
    num_samples: int | None = None
    epsilon: float | None = None
    max_turns: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    code_timeout_s: float | None = None
    problem_time_s: float | None = None
    answer_range: AnswerRange | None = None
    seed: int = 0
    allow_limits_only: bool = False
    """Run programs even where no lock-down holds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", require_choice("engine", self.engine, EngineName))
        if self.answer_range is not None:
            answer_range = require_choice("answer_range", self.answer_range, AnswerRange)
            object.__setattr__(self, "answer_range", answer_range)
        # A run is resumed from wherever, so what it needs is named from the root.
        if self.script is not None:
            object.__setattr__(self, "script", str(Path(self.script).absolute()))
        if Path(self.model).is_dir():
            object.__setattr__(self, "model", str(Path(self.model).absolute()))
        require(
            self.script is None or self.engine is EngineName.SCRIPTED,
            f"script is {self.script!r} for engine {self.engine}; only the scripted engine takes one",
        )

    def resolve(self) -> Preset:
        """The preset with what was chosen put in.

        Raises:
            ConfigError: the preset is unknown or a value can't be used.
        """
        preset = get_preset(self.preset)
        get_format(preset.format)
        rollout = preset.rollout
        sampling = replace(rollout.sampling, **_given(max_tokens=self.max_tokens, temperature=self.temperature))
        chosen = _given(max_turns=self.max_turns, code_timeout_s=self.code_timeout_s, answer_range=self.answer_range)
        resolved = replace(
            preset,
            rollout=replace(rollout, sampling=sampling, **chosen),
            policy=replace(preset.policy, **_given(num_samples=self.num_samples, epsilon=self.epsilon)),
            sandbox=replace(preset.sandbox, **_given(lowest_rung=Rung.LIMITS if self.allow_limits_only else None)),
            contest=replace(preset.contest, seed=self.seed, **_given(problem_time_s=self.problem_time_s)),
        )
        return self._papers(resolved) if self.paper else resolved

    def _papers(self, preset: Preset) -> Preset:
        """`preset` with what the paper's way leaves no choice of.

        Raises:
            ConfigError: something else was chosen.
        """
        answer_range = preset.rollout.answer_range
        require(
            answer_range is AnswerRange.MOD_1000,
            f"answer_range is {answer_range} with paper, which votes modulo 1000; leave one of the two out",
        )
        require(
            self.epsilon is None,
            f"epsilon is {self.epsilon} with paper, which never stops early; leave one of the two out",
        )
        return replace(preset, policy=Policy(preset.policy.num_samples, stop_rule=StopRule.NEVER))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Everything that defines a rehearsal, as it stands in `run.json`."""

    problems: str | None = None
    """Path of the problems file; None for the ten examples in the package."""
    choices: Choices = field(default_factory=Choices)
    api: Api = Api.AIMO

    def __post_init__(self) -> None:
        require(self.problems != "", "problems is empty; name a problems file, or leave it out for the examples")
        object.__setattr__(self, "api", require_choice("api", self.api, Api))
        if self.problems is not None:
            object.__setattr__(self, "problems", str(Path(self.problems).absolute()))
