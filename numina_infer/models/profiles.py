"""The models that are known: their text format, sampling, context length and weights; and a user's own fine-tunes.

A profile is found by hub id, by alias, or by a folder. A folder whose shapes are those of a known model, but for the
vocabulary, to which fine-tunes add, is taken for a fine-tune of it: it has the base's format and its own weights.
Where several known models share their shapes, the chat template decides, then the name of the model it was made from,
then the order below. A folder whose context length isn't the base's must have a template or an origin that says so.

Sources: the models' config.json, cards and file lists on the hub. NuminaMath: project-numina/aimo-progress-prize
(kaggle-solution.ipynb, training/quantization.py). DeepSeekMath: arXiv 2402.03300. Qwen2.5-Math: arXiv 2409.12122.
OpenMath-Nemotron: arXiv 2504.16891.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import ConfigError
from numina_infer.models.fit import Layout
from numina_infer.models.model_folder import ModelFolder, read_model_folder
from numina_infer.models.weights import Architecture, Quantisation, Weights

GENERIC_FORMAT = "chat"
_GENERIC_MODEL_LEN = 4096


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a model before it is loaded."""

    model: str
    """The hub id, or the folder."""
    alias: str
    format: str
    """The text format it was trained on; the sandbox's mode follows from that."""
    weights: Weights
    max_model_len: int
    """Tokens of a full-length sample that it is meant to be run with."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    licence: str = ""
    """As the hub names it; empty where it isn't known."""
    other_ids: tuple[str, ...] = ()
    template_mark: str = ""
    """What only its chat template holds, of the known models with these shapes."""
    base: str = ""
    """Of a user's folder: the known model that it is taken for a fine-tune of."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called."""
        return (self.model, self.alias, *self.other_ids)

    def warnings(self, layout: Layout) -> tuple[str, ...]:
        """What to know before it is loaded in that layout, a sentence or two each."""
        packed = self.weights.quantisation
        if packed is None or not packed.desc_act or not layout.is_split:
            return ()
        return (
            f"{self.alias} was quantised with desc_act: tensor parallel, its inputs are out of order on every GPU, "
            "which is slow. Quantise it again with desc_act=False, or run one replica a GPU where it fits.",
        )


_DEEPSEEK_MATH_7B = Architecture(
    model_type="llama",
    num_hidden_layers=30,
    hidden_size=4096,
    intermediate_size=11008,
    num_attention_heads=32,
    num_key_value_heads=32,
    head_dim=128,
    vocab_size=102400,
    max_position_embeddings=4096,
)
_QWEN25_MATH_7B = Architecture(
    model_type="qwen2",
    num_hidden_layers=28,
    hidden_size=3584,
    intermediate_size=18944,
    num_attention_heads=28,
    num_key_value_heads=4,
    head_dim=128,
    vocab_size=152064,
    max_position_embeddings=4096,
    attention_bias=True,
)
_NUMINA_GPTQ = Quantisation("gptq", bits=8, group_size=128, desc_act=True)

_NUMINA_7B = Profile(
    model="AI-MO/NuminaMath-7B-TIR",
    alias="numina-7b",
    other_ids=("project-numina/NuminaMath-7B-TIR",),
    format="numina",
    weights=Weights.computed(_DEEPSEEK_MATH_7B),
    max_model_len=4096,
    sampling=SamplingParams(temperature=0.8, max_tokens=2048),
    licence="apache-2.0",
    template_mark="### Problem",
)

_KNOWN = (
    _NUMINA_7B,
    # The winner's own: its file is 7.9 GB, of which vLLM drops the zero points, since the quantisation is symmetric.
    replace(
        _NUMINA_7B,
        model="AI-MO/NuminaMath-7B-TIR-GPTQ",
        alias="numina-7b-gptq",
        other_ids=("project-numina/NuminaMath-7B-TIR-GPTQ",),
        weights=Weights.computed(_DEEPSEEK_MATH_7B, _NUMINA_GPTQ),
    ),
    Profile(
        model="deepseek-ai/deepseek-math-7b-rl",
        alias="deepseek-math-7b",
        format="deepseek-math",
        weights=Weights.computed(_DEEPSEEK_MATH_7B),
        max_model_len=4096,
        sampling=SamplingParams(temperature=0.7, max_tokens=2048),
        licence="deepseek",
        template_mark="User: ",
    ),
    Profile(
        model="Qwen/Qwen2.5-Math-7B-Instruct",
        alias="qwen2.5-math-7b",
        format="qwen2.5-math",
        weights=Weights.computed(_QWEN25_MATH_7B),
        max_model_len=4096,
        # What Qwen2.5's instruct models have in their generation_config.json.
        sampling=SamplingParams(temperature=0.7, top_p=0.8, top_k=20, max_tokens=2048),
        licence="apache-2.0",
        template_mark="reason step by step",
    ),
    Profile(
        model="nvidia/OpenMath-Nemotron-7B",
        alias="openmath-7b",
        format="openmath",
        weights=Weights.computed(replace(_QWEN25_MATH_7B, max_position_embeddings=131072)),
        # It reads 131,072 tokens, of which two T4s hold one sample and a half.
        max_model_len=16384,
        sampling=SamplingParams(temperature=0.7, top_p=0.95, max_tokens=8192),
        licence="cc-by-4.0",
    ),
)
PROFILES: Mapping[str, Profile] = {profile.alias: profile for profile in _KNOWN}
"""The known models by alias."""


def find_profile(model: str) -> Profile:
    """The profile of a hub id, an alias, or a folder.

    Raises:
        ConfigError: the name is none of these, or the folder can't be read; see `read_model_folder`.
    """
    for profile in PROFILES.values():
        if model.casefold() in {name.casefold() for name in profile.names}:
            return profile
    path = Path(model).expanduser()
    if path.is_dir():
        return profile_of(read_model_folder(path))
    known = ", ".join(f"{profile.alias} ({profile.model})" for profile in PROFILES.values())
    raise ConfigError(f"model {model!r} is no folder here and none of the known models; those are {known}")


def profile_of(folder: ModelFolder) -> Profile:
    """The profile of a user's own model: the known model's that it is a fine-tune of, else a generic one."""
    base = _base(folder)
    own = folder.weights.architecture.max_position_embeddings
    if base is None:
        return Profile(
            model=str(folder.path),
            alias=folder.path.name,
            format=GENERIC_FORMAT,
            weights=folder.weights,
            max_model_len=min(own, _GENERIC_MODEL_LEN),
            sampling=replace(SamplingParams(), **folder.sampling),  # type: ignore[arg-type] # SamplingParams looks at them
        )
    return replace(
        base,
        model=str(folder.path),
        alias=folder.path.name,
        other_ids=(),
        weights=folder.weights,
        max_model_len=min(own, base.max_model_len),
        sampling=replace(base.sampling, **folder.sampling),  # type: ignore[arg-type] # SamplingParams looks at them
        licence="",
        base=base.model,
    )


def _base(folder: ModelFolder) -> Profile | None:
    shapes = folder.weights.architecture
    same = [profile for profile in _KNOWN if _has_shapes(profile, shapes)]
    alike = [p for p in same if p.weights.architecture.max_position_embeddings == shapes.max_position_embeddings]
    likely = _told_by(folder, alike) or alike or _told_by(folder, same)
    packed_alike = [p for p in likely if p.weights.quantisation == folder.weights.quantisation]
    return next(iter(packed_alike or likely), None)


def _has_shapes(profile: Profile, shapes: Architecture) -> bool:
    own = profile.weights.architecture
    return own == replace(shapes, vocab_size=own.vocab_size, max_position_embeddings=own.max_position_embeddings)


def _told_by(folder: ModelFolder, profiles: Sequence[Profile]) -> list[Profile]:
    """Those of `profiles` that the folder's template, or else the name of its origin, speaks of."""
    by_template = [p for p in profiles if p.template_mark and p.template_mark in folder.chat_template]
    origin = folder.made_from.casefold()
    return by_template or [p for p in profiles if p.model.partition("/")[2].casefold() in origin]
