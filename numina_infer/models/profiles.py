"""The models that are known by name, one `Profile` each, and folders, such as a user's own fine-tune.

Shapes and lengths are those of the models' config.json, cards and file lists on the hub. NuminaMath:
project-numina/aimo-progress-prize (kaggle-solution.ipynb, training/quantization.py). DeepSeekMath: arXiv 2402.03300.
Qwen2.5-Math: arXiv 2409.12122. OpenMath-Nemotron: arXiv 2504.16891.

A folder with the shapes of a known model, except for the vocabulary, to which fine-tunes add, is taken for a
fine-tune of it: it has the base's format and its own weights. Where several known models share their shapes, the chat
template decides, then the name of the model it was made from, then the order in `PROFILES`. A folder whose context
length isn't the base's needs such a template or name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import ConfigError
from numina_infer.models.fit import Layout
from numina_infer.models.model_folder import ModelFolder, read_model_folder
from numina_infer.models.weights import Architecture, Quantisation, Weights


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's text format, limits and weights, known before it is loaded."""

    model: str
    """The hub id, or the folder."""
    alias: str
    format: str
    """The text format it was trained on, by its name in `formats`."""
    weights: Weights
    max_model_len: int
    """Tokens of a full-length sample that it should be run with."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    other_ids: tuple[str, ...] = ()
    template_mark: str = ""
    """A text in its chat template, and in no other known model's of these shapes."""
    base: str = ""
    """The hub id of the known model that a user's folder is taken for a fine-tune of; empty for all others."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names that find it."""
        return (self.model, self.alias, *self.other_ids)

    def warnings(self, layout: Layout) -> tuple[str, ...]:
        """Warnings for the user before the model is loaded in that layout."""
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

_NUMINA_7B = Profile(
    model="AI-MO/NuminaMath-7B-TIR",
    alias="numina-7b",
    other_ids=("project-numina/NuminaMath-7B-TIR",),
    format="numina",
    weights=Weights.computed(_DEEPSEEK_MATH_7B),
    max_model_len=4096,
    sampling=SamplingParams(temperature=0.8, max_tokens=2048),
    template_mark="### Problem",
)

PROFILES: Mapping[str, Profile] = {
    profile.alias: profile
    for profile in (
        _NUMINA_7B,
        # The winner's own: its file is 7.9 GB, of which vLLM drops the zero points of a symmetric quantisation.
        replace(
            _NUMINA_7B,
            model="AI-MO/NuminaMath-7B-TIR-GPTQ",
            alias="numina-7b-gptq",
            other_ids=("project-numina/NuminaMath-7B-TIR-GPTQ",),
            weights=Weights.computed(_DEEPSEEK_MATH_7B, Quantisation("gptq", 8, 128, desc_act=True)),
        ),
        Profile(
            model="deepseek-ai/deepseek-math-7b-rl",
            alias="deepseek-math-7b",
            format="deepseek-math",
            weights=Weights.computed(_DEEPSEEK_MATH_7B),
            max_model_len=4096,
            sampling=SamplingParams(temperature=0.7, max_tokens=2048),
            template_mark="User: ",
        ),
        Profile(
            model="Qwen/Qwen2.5-Math-7B-Instruct",
            alias="qwen2.5-math-7b",
            format="qwen2.5-math",
            weights=Weights.computed(_QWEN25_MATH_7B),
            max_model_len=4096,
            # Sampling as in generation_config.json of Qwen2.5's instruct models.
            sampling=SamplingParams(temperature=0.7, top_p=0.8, top_k=20, max_tokens=2048),
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
        ),
    )
}
"""The known models by alias; where a folder could be several of them, the earlier one is taken."""


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
    """The profile of a user's folder: that of the known model it is a fine-tune of, else a generic one."""
    base = _base(folder) or Profile("", "", "chat", folder.weights, max_model_len=4096)
    return replace(
        base,
        model=str(folder.path),
        alias=folder.path.name,
        other_ids=(),
        weights=folder.weights,
        max_model_len=min(folder.weights.architecture.max_position_embeddings, base.max_model_len),
        sampling=replace(base.sampling, **folder.sampling),  # type: ignore[arg-type] # SamplingParams looks at them
        base=base.model,
    )


def _base(folder: ModelFolder) -> Profile | None:
    shapes = folder.weights.architecture
    same = [p for p in PROFILES.values() if _but_for_lengths(p.weights.architecture) == _but_for_lengths(shapes)]
    alike = [p for p in same if p.weights.architecture.max_position_embeddings == shapes.max_position_embeddings]
    likely = _pointed_to_by(folder, alike) or alike or _pointed_to_by(folder, same)
    packed_alike = [p for p in likely if p.weights.quantisation == folder.weights.quantisation]
    return next(iter(packed_alike or likely), None)


def _but_for_lengths(shapes: Architecture) -> Architecture:
    return replace(shapes, vocab_size=1, max_position_embeddings=1)


def _pointed_to_by(folder: ModelFolder, profiles: Sequence[Profile]) -> list[Profile]:
    """Those of `profiles` that the folder's template, or else the name of its origin, points to."""
    by_template = [p for p in profiles if p.template_mark and p.template_mark in folder.chat_template]
    origin = folder.made_from.casefold()
    return by_template or [p for p in profiles if p.model.partition("/")[2].casefold() in origin]
