"""Finds the profile of a model: by hub id or alias, or of a folder, such as a user's own fine-tune.

A folder with the shapes of a known model, except for the vocabulary, to which fine-tunes add, is taken for a
fine-tune of it: it has the base's format and its own weights. Where several known models share their shapes, the chat
template decides, then the name of the model it was made from, then the order in `known_models`. A folder whose context
length isn't the base's needs such a template or name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from numina_infer.core.errors import ConfigError
from numina_infer.models.known_models import KNOWN_MODELS, Profile
from numina_infer.models.model_folder import ModelFolder, read_model_folder
from numina_infer.models.weights import Architecture

GENERIC_FORMAT = "chat"
_GENERIC_MODEL_LEN = 4096

PROFILES: Mapping[str, Profile] = {profile.alias: profile for profile in KNOWN_MODELS}
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
    """The profile of a user's folder: that of the known model it is a fine-tune of, else a generic one."""
    base = _base(folder) or Profile("", "", GENERIC_FORMAT, folder.weights, _GENERIC_MODEL_LEN)
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
    same = [profile for profile in KNOWN_MODELS if _has_shapes(profile, shapes)]
    alike = [p for p in same if p.weights.architecture.max_position_embeddings == shapes.max_position_embeddings]
    likely = _pointed_to_by(folder, alike) or alike or _pointed_to_by(folder, same)
    packed_alike = [p for p in likely if p.weights.quantisation == folder.weights.quantisation]
    return next(iter(packed_alike or likely), None)


def _has_shapes(profile: Profile, shapes: Architecture) -> bool:
    own = profile.weights.architecture
    return own == replace(shapes, vocab_size=own.vocab_size, max_position_embeddings=own.max_position_embeddings)


def _pointed_to_by(folder: ModelFolder, profiles: Sequence[Profile]) -> list[Profile]:
    """Those of `profiles` that the folder's template, or else the name of its origin, points to."""
    by_template = [p for p in profiles if p.template_mark and p.template_mark in folder.chat_template]
    origin = folder.made_from.casefold()
    return by_template or [p for p in profiles if p.model.partition("/")[2].casefold() in origin]
