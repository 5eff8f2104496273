"""Kaggle's metadata files: records whose fields are the files' keys.

Kaggle's client takes a default for a field that is missing or false, such as internet on or a machine without a GPU,
ignores a key that it doesn't know, and fails over most wrong types in the middle of an upload. So every field is
written, and a file that is read is checked field by field. All faults are reported at once.

Keys and rules are the client's own (kaggle 2.2.4: `kernels_push`, `dataset_create_new`, `model_create_new`,
`model_instance_create`).
"""

import json
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from numina_infer.core.config import require
from numina_infer.kaggle.build.sources import ModelSource, dataset_fault, is_slug, kernel_fault, model_fault, slugify

APACHE = "Apache 2.0"
"""Kaggle's name for this package's licence."""
OTHER_LICENCE = "other"
"""Kaggle's name for a licence that the description explains."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, in one line."""

    place: str
    """The file or folder, relative to what was checked; a field's key among the faults of one metadata file."""
    what: str
    fix: str = "correct it"

    def inside(self, folder: str) -> "Finding":
        """The same, seen from outside: `folder` is empty or ends in a slash."""
        return replace(self, place=f"{folder}{self.place}" or ".")

    def __str__(self) -> str:
        return f"{self.place}: {self.what}; {self.fix}"


Rule = Callable[[str, Any], Iterable[str]]
"""Gets a field's key and its value, of the right type; returns what is wrong with it, or empty texts."""


class Metadata(ABC):
    """One file. A subclass is a frozen record.

    Raises:
        ConfigError: the client or Kaggle would refuse the file, with all that is wrong.
    """

    __slots__ = ()
    FILE_NAME: ClassVar[str]
    RULES: ClassVar[Mapping[str, Rule]]

    def __post_init__(self) -> None:
        faults = list(self.faults(self.content))
        require(not faults, f"{self.FILE_NAME}: {'; '.join(fault.what for fault in faults)}")

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Every key of the file, in order."""
        return tuple(field.name for field in fields(cls))  # type: ignore[arg-type] # subclasses are dataclasses

    @classmethod
    def faults(cls, content: Mapping[str, Any]) -> Iterator[Finding]:
        """Find what the client or Kaggle would refuse, or misread, in the fields of `content`."""
        yield from cls._type_faults(content)
        sound = cls.sound(content)
        for key, rule in cls.RULES.items():
            found = rule(key, sound[key]) if key in sound else ()
            yield from (Finding(key, fault) for fault in found if fault)
        yield from cls._joint_faults(sound)

    @classmethod
    def sound(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """`content` without the fields that hold a wrong type."""
        wrong = {fault.place for fault in cls._type_faults(content)}
        return {key: value for key, value in content.items() if key not in wrong}

    @classmethod
    def _type_faults(cls, content: Mapping[str, Any]) -> Iterator[Finding]:
        hints = get_type_hints(cls)
        for field in fields(cls):  # type: ignore[arg-type] # subclasses are dataclasses
            value = content.get(field.name)
            wanted, holds = _TYPES[hints[field.name]]
            if field.name in content and not holds(value):
                has_default = field.default is not MISSING
                fix = f"write for example {_as_json(field.default)}" if has_default else "correct it"
                yield Finding(field.name, f"{field.name} is {_as_json(value)}; it must be {wanted}", fix)

    @classmethod
    def _joint_faults(cls, sound: Mapping[str, Any]) -> Iterable[Finding]:  # noqa: ARG003 (for subclasses)
        """Find fields that don't agree; a subclass with such fields overrides this."""
        return ()

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object of the file."""
        return asdict(self)  # type: ignore[call-overload, no-any-return] # subclasses are dataclasses

    def write(self, folder: Path) -> Path:
        """Put the file into `folder`; returns its path."""
        path = folder / self.FILE_NAME
        path.write_text(json.dumps(self.content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def _satisfies(holds: Callable[[Any], bool], wanted: str) -> Rule:
    """`holds` is true of the field; `wanted` ends the message."""
    return lambda key, value: () if holds(value) else (f"{key} is {value!r}; {wanted}",)


def _one_of(*choices: str) -> Rule:
    return _satisfies(lambda value: value in choices, f"it must be one of {', '.join(choices)}")


def _length(least: int, most: int) -> Rule:
    return _satisfies(lambda text: least <= len(text) <= most, f"it must have {least} to {most} characters")


def _each(fault_of: Callable[[object], str]) -> Rule:
    """`fault_of` finds nothing in any entry of a list."""
    return lambda _, value: map(fault_of, value)


def _given(key: str, value: Any) -> Iterable[str]:
    return () if value else (f"{key} is missing",)


_SLUG = _satisfies(is_slug, "it must be a name without spaces or slashes")


def _unversioned(fault_of: Callable[[object], str], kind: str) -> Rule:
    """`owner/slug`, in which `fault_of` finds nothing."""
    no_version = _satisfies(lambda name: name.count("/") == 1, f"a {kind}'s id has no version")
    return lambda key, name: (fault,) if (fault := fault_of(name)) else no_version(key, name)


def _dataset_id(key: str, name: str) -> Iterable[str]:
    faults = tuple(_unversioned(dataset_fault, "dataset")(key, name))
    return faults or _length(6, 50)(key, name.partition("/")[2])


def _is_one_licence(licenses: Any) -> bool:
    name = licenses[0].get("name") if len(licenses) == 1 else None
    return isinstance(name, str) and bool(name)


@dataclass(frozen=True, slots=True)
class KernelMetadata(Metadata):
    """The file of a kernel, for `kaggle kernels push`."""

    FILE_NAME: ClassVar[str] = "kernel-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "id": _unversioned(kernel_fault, "kernel"),
        "title": _satisfies(lambda title: len(title) >= 5, "it must have five characters or more"),
        "code_file": lambda _, file: () if file else ("code_file is missing; it names the notebook",),
        "language": _one_of("python", "r", "rmarkdown"),
        "kernel_type": _one_of("script", "notebook"),
        "docker_image_pinning_type": _one_of("original", "latest"),
        "dataset_sources": _each(dataset_fault),
        "kernel_sources": _each(kernel_fault),
        "model_sources": _each(model_fault),
    }

    id: str
    """`owner/slug`, without a version."""
    title: str
    """Its slug must be that of `id`; with another, Kaggle makes a second kernel."""
    code_file: str = "submission.ipynb"
    """Relative to the folder."""
    language: str = "python"
    kernel_type: str = "notebook"
    is_private: bool = True
    enable_gpu: bool = True
    enable_tpu: bool = False
    enable_internet: bool = False
    """The client's default is on, with which a code competition takes no submission."""
    machine_shape: str = "NvidiaTeslaT4"
    """Two T4s; where it is left out, Kaggle may give a P100."""
    docker_image: str | None = None
    """None is Kaggle's newest when the kernel is first pushed."""
    docker_image_pinning_type: str = "original"
    """The image stays what it was when the kernel was first pushed, so that a new one breaks no rerun."""
    competition_sources: tuple[str, ...] = ()
    dataset_sources: tuple[str, ...] = ()
    kernel_sources: tuple[str, ...] = ()
    model_sources: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @classmethod
    def _joint_faults(cls, sound: Mapping[str, Any]) -> Iterable[Finding]:
        name, title = sound.get("id", ""), sound.get("title", "")
        slug = name.partition("/")[2]
        if len(title) >= 5 and not kernel_fault(name) and slugify(title) != slug.partition("/")[0]:
            yield Finding("title", f"title {title!r} becomes the slug {slugify(title)!r}, and id has {slug!r}")


@dataclass(frozen=True, slots=True)
class DatasetMetadata(Metadata):
    """The file of a dataset, for `kaggle datasets create` and `kaggle datasets version`."""

    FILE_NAME: ClassVar[str] = "dataset-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "id": _dataset_id,
        "title": _length(6, 50),
        "subtitle": _satisfies(lambda text: not text or 20 <= len(text) <= 80, "it must have 20 to 80 characters"),
        "licenses": _satisfies(_is_one_licence, f"it must be exactly one, such as {[{'name': APACHE}]}"),
    }

    id: str
    """`owner/slug`; a slug of 6 to 50 characters."""
    title: str
    subtitle: str
    description: str
    licenses: tuple[Mapping[str, Any], ...] = ({"name": APACHE},)
    keywords: tuple[str, ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelMetadata(Metadata):
    """The file of a model as a whole, for `kaggle models create`."""

    FILE_NAME: ClassVar[str] = "model-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ownerSlug": _SLUG,
        "slug": _satisfies(
            lambda slug: slug and slugify(slug) == slug, "it must be small letters, digits and hyphens"
        ),
        "title": _given,
    }

    ownerSlug: str  # noqa: N815 (the file's own keys)
    slug: str
    title: str
    description: str = "Weights for numina-infer."
    subtitle: str = ""
    isPrivate: bool = True  # noqa: N815
    publishTime: str = ""  # noqa: N815
    provenanceSources: str = ""  # noqa: N815


@dataclass(frozen=True, slots=True)
class ModelInstanceMetadata(Metadata):
    """The file of one variation of a model, for `kaggle models instances create`."""

    FILE_NAME: ClassVar[str] = "model-instance-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        **dict.fromkeys(("ownerSlug", "modelSlug", "instanceSlug", "framework"), _SLUG),
        "licenseName": _given,
    }

    ownerSlug: str  # noqa: N815 (the file's own keys)
    modelSlug: str  # noqa: N815
    instanceSlug: str  # noqa: N815
    """The variation."""
    framework: str
    overview: str = ""
    usage: str = ""
    licenseName: str = APACHE  # noqa: N815
    """That of the weights, which may be another than this package's."""
    fineTunable: bool = False  # noqa: N815
    trainingData: tuple[str, ...] = ()  # noqa: N815
    modelInstanceType: str = "Unspecified"  # noqa: N815
    baseModelInstance: str = ""  # noqa: N815
    """`OWNER/MODEL/FRAMEWORK/VARIATION` on Kaggle, of what was fine-tuned."""
    externalBaseModelUrl: str = ""  # noqa: N815


MODEL_FILES = (ModelMetadata, ModelInstanceMetadata)


def own_model(source: ModelSource) -> tuple[ModelMetadata, ModelInstanceMetadata]:
    """Templates for bringing one's own weights to Kaggle Models as `source`; they go into the weights' folder."""
    owner, model = source.owner, source.model
    return ModelMetadata(owner, model, model), ModelInstanceMetadata(owner, model, source.variation, source.framework)


def _is_text(value: object) -> bool:
    """Whether `value` is a text that a file in UTF-8 can hold: half a surrogate pair isn't."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode("utf-8")


def _list_of(holds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(holds, value))


_TYPES: Mapping[Any, tuple[str, Callable[[object], bool]]] = {
    str: ("a text", _is_text),
    str | None: ("a text or null", lambda value: value is None or _is_text(value)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    tuple[str, ...]: ("a list of texts", _list_of(_is_text)),
    tuple[Mapping[str, Any], ...]: ("a list of objects", _list_of(lambda entry: isinstance(entry, Mapping))),
}
"""By a field's declared type: the words for it, and whether a value is of it."""


def _as_json(value: object) -> str:
    """The beginning of `value` as the file spells it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
