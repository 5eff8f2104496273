"""What a user chooses, on the command line or in a notebook, and the preset that comes of it.

It stands in `run.json` as it was chosen, so that a run can be resumed from there alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from numina_infer.competitions.known import Api, get_competition
from numina_infer.competitions.relay_faults import RelayFault
from numina_infer.core.config import (
    BankConfig,
    ContestConfig,
    Policy,
    Rung,
    StopRule,
    VoteWeights,
    require,
    require_choice,
    require_whole,
)
from numina_infer.core.engine_config import LayoutName
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import Preset, get_preset
from numina_infer.core.records import AnswerRange
from numina_infer.formats.catalogue import require_format
from numina_infer.formats.numina import NUMINA, NUMINA_FEW_SHOT
from numina_infer.models.known_models import Profile
from numina_infer.models.profiles import PROFILES, find_profile

EMBEDDED_MODEL = "smollm2"
"""What runs when no model is named: SmolLM2-135M-Instruct out of a PyPI wheel."""


class EngineName(StrEnum):
    """The engines that can be named on the command line."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    """Servers that are started here, or endpoints that are named."""
    SCRIPTED = "scripted"
    SIMULATED = "simulated"
    """Recorded samples on a machine that isn't here, in virtual time."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a user may choose for solving; None leaves it to the preset."""

    engine: EngineName = EngineName.TRANSFORMERS
    model: str | None = None
    """None takes `smollm2`, or, with endpoints, what they serve."""
    endpoint: tuple[str, ...] = ()
    """Where OpenAI-compatible servers listen; none has vLLM started here."""
    vllm_python: str | None = None
    """The interpreter of vLLM's environment; None looks for one."""
    layout: LayoutName | None = None
    keep_server: bool = False
    """Leave vLLM running for the next run."""
    script: str | None = None
    """A file for the scripted engine; None takes its built-in script."""
    samples: str | None = None
    """A file of recorded samples for the simulated engine; None takes the fifty problems in the package."""
    probe: str | None = None
    """What `numina-infer probe` measured, for the simulated engine; None takes two T4s by arithmetic."""
    cache: str | None = None
    """A folder in which completions are kept and found again; None generates everything anew."""
    preset: str = "cpu"
    format: str | None = None
    paper: bool = False
    """Solve as NuminaMath's 2024 kernel did, in rounds and by its own rules, with the preset's numbers."""
    num_samples: int | None = None
    width: int | None = None
    epsilon: float | None = None
    vote_weights: Mapping[str, float] = field(default_factory=dict)
    """Fields of `VoteWeights` that aren't to stay as they are."""
    max_turns: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    code_timeout_s: float | None = None
    problem_time_s: float | None = None
    time_limit_s: float | None = None
    """Of the whole contest: gives it a time bank."""
    answer_range: AnswerRange | None = None
    competition: str | None = None
    """A known one, whose answer range and limits are taken where nothing else is chosen."""
    seed: int = 0
    allow_limits_only: bool = False
    """Run programs even where no lock-down holds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", require_choice("engine", self.engine, EngineName))
        given: object = self.endpoint
        endpoints = (given,) if isinstance(given, str) else self.endpoint
        object.__setattr__(self, "endpoint", tuple(map(_from_root, endpoints)))
        if self.layout is not None:
            object.__setattr__(self, "layout", require_choice("layout", self.layout, LayoutName))
        self._require_vllm_for_its_own()
        if self.answer_range is not None:
            answer_range = require_choice("answer_range", self.answer_range, AnswerRange)
            object.__setattr__(self, "answer_range", answer_range)
        # A run is resumed from wherever, so what it needs is named from the root.
        for name in ("script", "samples", "probe", "cache"):
            if (file := getattr(self, name)) is not None:
                object.__setattr__(self, name, str(Path(file).absolute()))
        if self.vllm_python:
            object.__setattr__(self, "vllm_python", str(Path(self.vllm_python).expanduser().absolute()))
        if self.model is not None and Path(self.model).is_dir():
            object.__setattr__(self, "model", str(Path(self.model).absolute()))
        require(
            self.script is None or self.engine is EngineName.SCRIPTED,
            f"script is {self.script!r} for engine {self.engine}; only the scripted engine takes one",
        )
        for name in ("samples", "probe"):
            file = getattr(self, name)
            require(
                file is None or self.engine is EngineName.SIMULATED,
                f"{name} is {file!r} for engine {self.engine}; only the simulated engine takes one",
            )

        require(
            self.cache is None or self.engine is not EngineName.SIMULATED,
            f"cache is {self.cache!r} for engine {self.engine}, whose texts take no time to generate; leave it out",
        )

    def _require_vllm_for_its_own(self) -> None:
        """Refuse what would be left unused without a word."""
        given = {
            "endpoint": self.endpoint,
            "vllm_python": self.vllm_python,
            "layout": self.layout,
            "keep_server": self.keep_server,
        }
        names = [name for name, value in given.items() if value]
        is_vllm = self.engine is EngineName.VLLM
        require(is_vllm or not names, f"{' and '.join(names)} means engine vllm, and the engine is {self.engine}")
        of_servers = [name for name in names if name != "endpoint"]
        require(
            not (self.endpoint and of_servers),
            f"{' and '.join(of_servers)} is for servers that are started here, and endpoints are named; leave one out",
        )

    @property
    def model_name(self) -> str:
        """The model that runs here."""
        return self.model or EMBEDDED_MODEL

    @property
    def _answer_range(self) -> AnswerRange | None:
        if self.answer_range is None and self.competition is not None:
            return get_competition(self.competition).answer_range
        return self.answer_range

    def resolve(self) -> Preset:
        """The preset with what was chosen put in.

        Raises:
            ConfigError: the preset is unknown or a value can't be used.
        """
        preset = replace(self._of_model(get_preset(self.preset)), **_given(format=self.format))
        require_format(preset.format)
        rollout = preset.rollout
        names = ("max_tokens", "temperature", "top_p", "top_k", "min_p")
        sampling = replace(rollout.sampling, **_given(**{name: getattr(self, name) for name in names}))
        chosen = _given(max_turns=self.max_turns, code_timeout_s=self.code_timeout_s, answer_range=self._answer_range)
        resolved = replace(
            preset,
            rollout=replace(rollout, sampling=sampling, **chosen),
            policy=self._policy(preset.policy),
            server=replace(preset.server, **_given(layout=self.layout)),
            client=replace(preset.client, max_num_seqs=preset.server.max_num_seqs),
            sandbox=replace(preset.sandbox, **_given(lowest_rung=Rung.LIMITS if self.allow_limits_only else None)),
            contest=self._contest(preset.contest),
        )
        return self._papers(resolved) if self.paper else resolved

    def _policy(self, policy: Policy) -> Policy:
        known = {field.name for field in fields(VoteWeights)}
        for name in self.vote_weights:
            require(name in known, f"no vote weight is called {name!r}; choose one of {', '.join(sorted(known))}")
        weights = replace(policy.weights, **self.vote_weights)  # type: ignore[arg-type] # VoteWeights looks at them
        chosen = _given(num_samples=self.num_samples, width=self.width, epsilon=self.epsilon)
        return replace(policy, weights=weights, **chosen)

    def _contest(self, contest: ContestConfig) -> ContestConfig:
        bank = contest.bank
        if self.competition is not None:
            bank = get_competition(self.competition).bank(self.time_limit_s)
        elif self.time_limit_s is not None:
            limited = BankConfig.of_limit(self.time_limit_s)
            bank = replace(bank or limited, time_limit_s=limited.time_limit_s, reserve_s=limited.reserve_s)
        return replace(contest, bank=bank, seed=self.seed, **_given(problem_time_s=self.problem_time_s))

    def _of_model(self, preset: Preset) -> Preset:
        """A preset of the winner's for the model that was chosen, where that is another known one or its fine-tune."""
        profile = self._known_profile()
        if profile is None or preset.format != NUMINA.name or profile.format == NUMINA.name:
            return preset
        return replace(
            preset,
            format=profile.format,
            rollout=replace(preset.rollout, sampling=profile.sampling),
            server=replace(preset.server, max_model_len=profile.max_model_len),
        )

    def _known_profile(self) -> Profile | None:
        if self.model is None or self.engine in {EngineName.SCRIPTED, EngineName.SIMULATED}:
            return None
        try:
            profile = find_profile(self.model)
        except ConfigError:  # whoever loads the model says what is wrong with it
            return None
        return profile if profile.base or profile in PROFILES.values() else None

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
        papers = (NUMINA.name, NUMINA_FEW_SHOT.name)
        require(
            preset.format in papers,
            f"format is {preset.format} with paper, which reads {' and '.join(papers)}; leave one of the two out",
        )
        require(not self.vote_weights, "vote_weights with paper, whose votes count alike; leave one of the two out")
        num_samples = self.num_samples or preset.policy.at_once
        return replace(preset, policy=Policy(num_samples, stop_rule=StopRule.NEVER))


def _from_root(endpoint: str) -> str:
    """A socket's path named from the root; an address on the network as it is."""
    path = endpoint.removeprefix("unix:")
    is_path = path != endpoint or path.startswith(("/", ".", "~"))
    return str(Path(path).expanduser().absolute()) if is_path else endpoint


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Task:
    """Which problems are solved, and how, as it stands in `run.json`."""

    problems: str | None = None
    """Path of the problems file; None for the ten examples in the package."""
    choices: Choices = field(default_factory=Choices)

    def __post_init__(self) -> None:
        require(self.problems != "", "problems is empty; name a problems file, or leave it out for the examples")
        if self.problems is not None:
            object.__setattr__(self, "problems", str(Path(self.problems).absolute()))


@dataclass(frozen=True, slots=True)
class Rehearsal(Task):
    """Everything that defines a rehearsal."""

    api: Api = Api.AIMO
    separate: bool = False
    """Kaggle's side is a process of its own that calls over gRPC and in a random order, as in a rerun."""
    nasty: tuple[RelayFault, ...] = ()
    """What that process does on purpose."""

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        object.__setattr__(self, "api", require_choice("api", self.api, Api))
        object.__setattr__(self, "nasty", tuple(require_choice("nasty", name, RelayFault) for name in self.nasty))
        require(
            not self.separate or self.api is Api.KAGGLE_EVALUATION,
            f"separate means api {Api.KAGGLE_EVALUATION}, and the api is {self.api}; leave one of the two out",
        )
        require(
            self.separate or not self.nasty,
            f"nasty is {', '.join(self.nasty)} for a relay in this process; only a separate one can be so",
        )

    @property
    def api_version(self) -> str:
        """Of kaggle_evaluation: the competition's, else the newest that a competition came with."""
        name = self.choices.competition
        return API_VERSION if name is None else get_competition(name).api_version

    @property
    def relay(self) -> Mapping[str, object]:
        """How Kaggle's side stands in `run.json`."""
        return {"api": self.api, "separate": self.separate, "nasty": self.nasty}


API_VERSION = "0.9.0"
"""What a rehearsal speaks where no competition is named: AIMO-3's."""

COLLECT = "collect"
"""The preset that a collection takes by default."""


@dataclass(frozen=True, slots=True)
class Collection(Task):
    """Everything that defines a collection."""

    choices: Choices = field(default_factory=lambda: Choices(preset=COLLECT))
    concurrent_problems: int = 4
    """Problems in work at once."""

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        require_whole("concurrent_problems", self.concurrent_problems, 1)
        limit = self.choices.time_limit_s
        require(
            limit is None,
            f"time_limit_s is {limit} for a collection, which has no contest clock; leave it out, or give "
            "problem_time_s to limit each problem",
        )
