"""What a user chooses, on the command line or in a notebook, and the preset that results from it.

`Choices` joins three records, of the model, of sampling and of deciding, and each changes its own part of the preset.
Every field says in its annotation how the command line takes it, and `cli/parser.py` declares the options of a whole
record at once. All of them stand in `run.json`, so that a run can be resumed from there alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any

from numina_infer.competitions.known import get_competition
from numina_infer.core.config import (
    BankConfig,
    ContestConfig,
    Policy,
    Rung,
    StopRule,
    VoteWeights,
    require,
    require_choice,
)
from numina_infer.core.engine_config import LayoutName
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import PRESETS, Preset, get_preset
from numina_infer.core.records import AnswerRange
from numina_infer.formats.catalogue import FORMATS, require_format
from numina_infer.formats.numina import NUMINA, NUMINA_FEW_SHOT
from numina_infer.models.profiles import PROFILES, find_profile

EMBEDDED_MODEL = "smollm2"
"""SmolLM2-135M-Instruct out of a PyPI wheel, which runs when no model is named."""


class EngineName(StrEnum):
    """The engines that can be named on the command line."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    """Servers that are started here, or endpoints that are named."""
    SCRIPTED = "scripted"
    SIMULATED = "simulated"
    """Recorded samples on a machine that isn't here, in virtual time."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line, in a field's annotation: `Annotated[int, Option("trajectories", "N")]`."""

    meaning: str
    """Its line in the help."""
    metavar: str | None = None
    """How its value is shown; None takes the option's name in capitals."""
    flag: str = ""
    """How it is spelled, where that isn't the field's name."""


def own_options(record: type) -> Mapping[str, tuple[object, Option]]:
    """Type and option of each field that has one, by name, without those that `record` inherits."""
    return {
        name: (annotation.__origin__, annotation.__metadata__[0])
        for name, annotation in get_annotations(record).items()
        if hasattr(annotation, "__metadata__")
    }


_ONLY_WITH = {
    "endpoint": EngineName.VLLM,
    "vllm_python": EngineName.VLLM,
    "layout": EngineName.VLLM,
    "keep_server": EngineName.VLLM,
    "script": EngineName.SCRIPTED,
    "samples": EngineName.SIMULATED,
    "probe": EngineName.SIMULATED,
}
"""Choices that one engine alone takes."""


@dataclass(frozen=True)
class ModelChoices:
    """Which model runs, and on which engine."""

    engine: Annotated[
        EngineName,
        Option(
            "a model in this process, on vLLM's servers, or a script instead of one (default: transformers)",
            "|".join(EngineName),
        ),
    ] = EngineName.TRANSFORMERS
    model: Annotated[
        str | None, Option("a model folder, a hub id, or smollm2: fetched once, 93 MB (default: smollm2)")
    ] = None
    vllm_python: Annotated[
        str | None, Option("for vllm: the python of its environment (default: what `make vllm` built)", "FILE")
    ] = None
    layout: Annotated[LayoutName | None, Option("for vllm: of several GPUs (default: auto)", "|".join(LayoutName))] = (
        None
    )
    keep_server: Annotated[bool, Option("for vllm: leave it running for the next run")] = False
    endpoint: Annotated[
        tuple[str, ...],
        Option(
            "for vllm: speak to the OpenAI-compatible server there instead, https://host, or the path of a unix "
            "socket; may be repeated; its key is in NUMINA_INFER_API_KEY",
            "ADDRESS",
        ),
    ] = ()
    script: Annotated[
        str | None, Option("JSONL for the scripted engine (default: a script that adds up the numbers)", "FILE")
    ] = None
    samples: Annotated[
        str | None,
        Option(
            "for simulated: JSONL of recorded samples, problem, answers, tokens or chars (default: fifty problems)",
            "FILE",
        ),
    ] = None
    probe: Annotated[
        str | None,
        Option(
            "for simulated: the machine, as numina-infer probe measured it (default: two T4s by arithmetic)", "FILE"
        ),
    ] = None
    cache: Annotated[
        str | None,
        Option("keep completions in DIR and take those that are there, so that nothing is generated twice", "DIR"),
    ] = None

    def __post_init__(self) -> None:
        given: object = self.endpoint
        endpoints = (given,) if isinstance(given, str) else self.endpoint
        self._set("engine", require_choice("engine", self.engine, EngineName))
        self._set("endpoint", tuple(map(_from_root, endpoints)))
        if self.layout is not None:
            self._set("layout", require_choice("layout", self.layout, LayoutName))
        self._name_files_from_root()
        self._require_used()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _name_files_from_root(self) -> None:
        """A run may be resumed from any folder."""
        for name in ("script", "samples", "probe", "cache"):
            if (file := getattr(self, name)) is not None:
                self._set(name, str(Path(file).absolute()))
        if self.vllm_python:
            self._set("vllm_python", str(Path(self.vllm_python).expanduser().absolute()))
        if self.model is not None and Path(self.model).is_dir():
            self._set("model", str(Path(self.model).absolute()))

    def _require_used(self) -> None:
        """Reject choices that the engine would silently ignore."""
        given = [name for name in _ONLY_WITH if getattr(self, name)]
        for name in given:
            wanted, value = _ONLY_WITH[name], getattr(self, name)
            require(
                self.engine is wanted,
                f"{name} means engine {wanted}, and the engine is {self.engine}; only the {wanted} engine takes one, "
                f"and {name} is {'given' if name == 'endpoint' else repr(value)}",  # an address may hold a password
            )
        of_servers = [name for name in given if name in {"vllm_python", "layout", "keep_server"}]
        require(
            not (self.endpoint and of_servers),
            f"{' and '.join(of_servers)} is for servers that are started here, and endpoints are named; leave one out",
        )
        require(
            self.cache is None or self.engine is not EngineName.SIMULATED,
            f"cache is {self.cache!r} for engine {self.engine}, whose texts take no time to generate; leave it out",
        )

    @property
    def model_name(self) -> str:
        """The model that runs here."""
        return self.model or EMBEDDED_MODEL

    def with_model(self, preset: Preset) -> Preset:
        """`preset` for this model and its servers; the winner's format gives way to that of another known model."""
        server = replace(preset.server, **_chosen(self, "layout"))
        client = replace(preset.client, max_num_seqs=preset.server.max_num_seqs)
        preset = replace(preset, server=server, client=client)
        if self.model is None or self.engine in {EngineName.SCRIPTED, EngineName.SIMULATED}:
            return preset
        try:
            profile = find_profile(self.model)
        except ConfigError:  # loading the model says what is wrong with it
            return preset
        is_known = profile.base or profile in PROFILES.values()
        if not is_known or preset.format != NUMINA.name or profile.format == NUMINA.name:
            return preset
        rollout = replace(preset.rollout, sampling=profile.sampling)
        server = replace(server, max_model_len=profile.max_model_len)
        return replace(preset, format=profile.format, rollout=rollout, server=server)


@dataclass(frozen=True)
class SamplingChoices:
    """How a trajectory is written; None leaves it to the preset."""

    format: Annotated[
        str | None,
        Option(
            f"what the model was trained on: one of {', '.join(FORMATS)}; chat is for any model with a chat template "
            "(default: the preset's)",
            "NAME",
        ),
    ] = None
    max_turns: Annotated[int | None, Option("completions a trajectory", "M")] = None
    max_tokens: Annotated[int | None, Option("tokens a turn", "N")] = None
    temperature: Annotated[float | None, Option("0 is greedy", "T")] = None
    top_p: Annotated[float | None, Option("draw from the likeliest tokens with this probability", "P")] = None
    top_k: Annotated[int | None, Option("draw from so many likeliest tokens; 0 takes all", "K")] = None
    min_p: Annotated[float | None, Option("leave out tokens below this share of the likeliest", "P")] = None
    code_timeout_s: Annotated[float | None, Option("for one program", "SECONDS")] = None

    def with_sampling(self, preset: Preset) -> Preset:
        """`preset` with the chosen format, sampling and limits of a trajectory; `ConfigError` if a value is unfit."""
        fmt = preset.format if self.format is None else self.format
        require_format(fmt)
        parameters = _chosen(self, "max_tokens", "temperature", "top_p", "top_k", "min_p")
        sampling = replace(preset.rollout.sampling, **parameters)
        rollout = replace(preset.rollout, sampling=sampling, **_chosen(self, "max_turns", "code_timeout_s"))
        return replace(preset, format=fmt, rollout=rollout)


@dataclass(frozen=True)
class DecidingChoices:
    """How many trajectories vote, what a vote counts, and when a problem is decided; None leaves it to the preset."""

    paper: Annotated[
        bool,
        Option("as the winner's 2024 kernel did: rounds, its own rules, all samples; --preset numina has its numbers"),
    ] = False
    num_samples: Annotated[int | None, Option("trajectories a problem at most: the horizon", "N")] = None
    width: Annotated[int | None, Option("trajectories a problem at once; 0 starts all", "N")] = None
    epsilon: Annotated[
        float | None, Option("stop when the winner changes with a smaller chance; 0 never errs", "E")
    ] = None
    vote_weights: Annotated[
        Mapping[str, float],
        Option(
            "what a vote counts, of a plain one; may be repeated: unconfirmed, no_code, suspicious, partial "
            "(0 doesn't count them), length_tokens, logprob; docs/voting.md says when (default: all votes alike)",
            "NAME=SHARE",
            flag="--vote-weight",
        ),
    ] = field(default_factory=dict)
    problem_time_s: Annotated[float | None, Option("for one problem, at most", "SECONDS")] = None
    time_limit_s: Annotated[
        float | None,
        Option(
            "for the whole contest: a bank then says what each problem may take (default: the preset's)", "SECONDS"
        ),
    ] = None
    answer_range: Annotated[
        AnswerRange | None, Option("AIMO-1's, -2's or -3's (default: mod-1000)", "|".join(AnswerRange))
    ] = None
    competition: str | None = None
    """A known one, whose answer range and limits are taken where nothing else is chosen."""

    def __post_init__(self) -> None:
        if self.answer_range is not None:
            answer_range = require_choice("answer_range", self.answer_range, AnswerRange)
            object.__setattr__(self, "answer_range", answer_range)

    def with_deciding(self, preset: Preset) -> Preset:
        """`preset` with the chosen policy, bank and answer range; `ConfigError` if a value is unfit."""
        rollout = replace(preset.rollout, **_chosen(self, "answer_range"))
        if self.answer_range is None and self.competition is not None:
            rollout = replace(rollout, answer_range=get_competition(self.competition).answer_range)
        contest, policy = self._contest(preset.contest), self._policy(preset.policy)
        decided = replace(preset, rollout=rollout, policy=policy, contest=contest)
        return self._as_in_paper(decided) if self.paper else decided

    def _policy(self, policy: Policy) -> Policy:
        known = {weight.name for weight in fields(VoteWeights)}
        for name in self.vote_weights:
            require(name in known, f"no vote weight is called {name!r}; choose one of {', '.join(sorted(known))}")
        weights = replace(policy.weights, **self.vote_weights)  # type: ignore[arg-type] # VoteWeights looks at them
        return replace(policy, weights=weights, **_chosen(self, "num_samples", "width", "epsilon"))

    def _contest(self, contest: ContestConfig) -> ContestConfig:
        bank = contest.bank
        if self.competition is not None:
            bank = get_competition(self.competition).bank(self.time_limit_s)
        elif self.time_limit_s is not None:
            limited = BankConfig.of_limit(self.time_limit_s)
            bank = replace(bank or limited, time_limit_s=limited.time_limit_s, reserve_s=limited.reserve_s)
        return replace(contest, bank=bank, **_chosen(self, "problem_time_s"))

    def _as_in_paper(self, preset: Preset) -> Preset:
        """`preset` with what the paper's way prescribes; `ConfigError` where something else was chosen."""
        answer_range, papers = preset.rollout.answer_range, (NUMINA.name, NUMINA_FEW_SHOT.name)
        require(
            answer_range is AnswerRange.MOD_1000,
            f"answer_range is {answer_range} with paper, which votes modulo 1000; leave one of the two out",
        )
        require(
            self.epsilon is None,
            f"epsilon is {self.epsilon} with paper, which never stops early; leave one of the two out",
        )
        require(
            preset.format in papers,
            f"format is {preset.format} with paper, which reads {' and '.join(papers)}; leave one of the two out",
        )
        require(not self.vote_weights, "vote_weights with paper, whose votes count alike; leave one of the two out")
        num_samples = self.num_samples or preset.policy.at_once
        return replace(preset, policy=Policy(num_samples, stop_rule=StopRule.NEVER))


@dataclass(frozen=True)
class Choices(DecidingChoices, SamplingChoices, ModelChoices):
    """What a user may choose for solving: `Choices(model="./my-7b", num_samples=8)`; None leaves it to the preset."""

    preset: Annotated[
        str, Option(f"one of {', '.join(PRESETS)}; the rest changes single values of it (default: cpu)")
    ] = "cpu"
    seed: Annotated[int, Option("all other seeds derive from it (default: 0)", "N")] = 0
    allow_limits_only: Annotated[
        bool, Option("run programs even where no lock-down holds: they may do what you may")
    ] = False

    def __post_init__(self) -> None:
        ModelChoices.__post_init__(self)
        DecidingChoices.__post_init__(self)

    def resolve(self) -> Preset:
        """The preset with everything that was chosen; `ConfigError` if it is unknown or a value can't be used."""
        preset = self.with_deciding(self.with_sampling(self.with_model(get_preset(self.preset))))
        lowest_rung = Rung.LIMITS if self.allow_limits_only else preset.sandbox.lowest_rung
        return replace(
            preset,
            sandbox=replace(preset.sandbox, lowest_rung=lowest_rung),
            contest=replace(preset.contest, seed=self.seed),
        )


def _from_root(endpoint: str) -> str:
    """A socket's path named from the root; an address on the network as it is."""
    path = endpoint.removeprefix("unix:")
    is_path = path != endpoint or path.startswith(("/", ".", "~"))
    return str(Path(path).expanduser().absolute()) if is_path else endpoint


def _chosen(choices: object, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(choices, name)) is not None}
