"""The files that Kaggle's client reads beside what it uploads, with every field stated.

kernel-metadata.json, dataset-metadata.json, model-metadata.json and model-instance-metadata.json, with the client's
own names and rules (kaggle 2.2.4: `kernels_push`, `dataset_create_new`, `model_create_new`, `model_instance_create`).
The client takes a default for a field that is missing, such as internet on, and ignores a field that it doesn't know;
so here every field is written, and a file that is read is held to all of them.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_type_hints

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.build.field_types import as_json, wanted_type
from numina_infer.kaggle.build.sources import ModelSource, dataset_fault, is_slug, kernel_fault, model_fault, slugify

APACHE = "Apache 2.0"
"""Kaggle's name for this package's licence."""
OTHER_LICENCE = "other"
"""Kaggle's name for a licence that the description tells."""


class BadField(NamedTuple):
    """What is wrong with a file's field."""

    key: str
    message: str
    fix: str = "correct it"


class Metadata(ABC):
    """One file. A subclass is a frozen record whose fields are the file's keys."""

    __slots__ = ()
    FILE_NAME: ClassVar[str]

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Every key of the file, in order."""
        return tuple(field.name for field in fields(cls))  # type: ignore[arg-type] # subclasses are dataclasses

    @classmethod
    def faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        """What the client or Kaggle would refuse, or take for something else, in the fields that `content` has."""
        yield from cls.type_faults(content)
        sound = cls.sound(content)
        yield from (fault for fault in cls._rule_faults(sound) if fault.key in sound)

    @classmethod
    def sound(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of `content` that are of the type that is due, and those that the file doesn't know."""
        wrong = {fault.key for fault in cls.type_faults(content)}
        return {key: value for key, value in content.items() if key not in wrong}

    @classmethod
    def type_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        """Fields that hold another type than their own."""
        hints = get_type_hints(cls)
        for field in fields(cls):  # type: ignore[arg-type] # subclasses are dataclasses
            if field.name not in content:
                continue
            value, wanted = content[field.name], wanted_type(content[field.name], hints[field.name])
            if wanted:
                fix = (
                    "correct it" if field.default is MISSING else f"write for example {as_json(_plain(field.default))}"
                )
                yield BadField(field.name, f"{field.name} is {as_json(value)}; it must be {wanted}", fix)

    @classmethod
    @abstractmethod
    def _rule_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        """What is wrong with values of the right types; a fault of a field that isn't there is left out."""

    @property
    def content(self) -> dict[str, Any]:
        """As the file has it."""
        return {key: _plain(getattr(self, key)) for key in self.field_names()}

    def write(self, folder: Path) -> Path:
        """Put the file into `folder`; returns its path."""
        path = folder / self.FILE_NAME
        path.write_text(json.dumps(self.content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def _refuse_faults(self) -> None:
        faults = list(self.faults(self.content))
        require(not faults, f"{self.FILE_NAME}: {'; '.join(fault.message for fault in faults)}")


def read_content(path: Path) -> dict[str, Any]:
    """A metadata file as it stands.

    Raises:
        ConfigError: it isn't there, or holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} holds no JSON: {error}") from error
    require(isinstance(content, dict), f"{path} holds no JSON object")
    return dict(content)


@dataclass(frozen=True, slots=True)
class KernelMetadata(Metadata):
    """What `kaggle kernels push` reads.

    Raises:
        ConfigError: the client or Kaggle would refuse it, with all that is wrong.
    """

    FILE_NAME: ClassVar[str] = "kernel-metadata.json"

    id: str
    """`owner/slug`, without a version."""
    title: str
    """One that becomes the slug; with another, Kaggle makes a second kernel."""
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

    def __post_init__(self) -> None:
        self._refuse_faults()

    @classmethod
    def _rule_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        yield from _name_faults(content)
        yield from _choice_faults(content, "language", ("python", "r", "rmarkdown"))
        yield from _choice_faults(content, "kernel_type", ("script", "notebook"))
        yield from _choice_faults(content, "docker_image_pinning_type", ("original", "latest"))
        if not content.get("code_file"):
            yield BadField("code_file", "code_file is missing; it names the notebook")
        checks = {"dataset_sources": dataset_fault, "kernel_sources": kernel_fault, "model_sources": model_fault}
        for key, fault_of in checks.items():
            yield from (BadField(key, fault) for source in content.get(key) or () if (fault := fault_of(source)))


@dataclass(frozen=True, slots=True)
class DatasetMetadata(Metadata):
    """What `kaggle datasets create` and `kaggle datasets version` read.

    Raises:
        ConfigError: the client or Kaggle would refuse it, with all that is wrong.
    """

    FILE_NAME: ClassVar[str] = "dataset-metadata.json"

    id: str
    """`owner/slug`; a slug of 6 to 50 characters."""
    title: str
    """6 to 50 characters."""
    subtitle: str
    """20 to 80 characters."""
    description: str
    licenses: tuple[Mapping[str, str], ...] = ({"name": APACHE},)
    """Exactly one."""
    keywords: tuple[str, ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        self._refuse_faults()

    @classmethod
    def _rule_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        name = content.get("id")
        fault = dataset_fault(name)
        if fault or str(name).count("/") != 1:
            yield BadField("id", fault or f"id is {name!r}; a dataset's id has no version")
        else:
            yield from _length_faults("id", str(name).partition("/")[2], 6, 50)
        yield from _length_faults("title", content.get("title"), 6, 50)
        if content.get("subtitle"):
            yield from _length_faults("subtitle", content["subtitle"], 20, 80)
        licenses: Sequence[Any] = content.get("licenses") or ()
        if len(licenses) != 1 or not licenses[0].get("name"):
            yield BadField("licenses", f"licenses is {licenses!r}; exactly one is wanted, such as {[{'name': APACHE}]}")


@dataclass(frozen=True, slots=True)
class ModelMetadata(Metadata):
    """What `kaggle models create` reads: the model as a whole, before its first variation.

    Raises:
        ConfigError: the client or Kaggle would refuse it, with all that is wrong.
    """

    FILE_NAME: ClassVar[str] = "model-metadata.json"

    ownerSlug: str  # noqa: N815 (the file's own keys)
    slug: str
    """Small letters, digits and single hyphens."""
    title: str
    description: str
    subtitle: str = ""
    isPrivate: bool = True  # noqa: N815
    publishTime: str = ""  # noqa: N815
    provenanceSources: str = ""  # noqa: N815

    def __post_init__(self) -> None:
        self._refuse_faults()

    @classmethod
    def _rule_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        if not is_slug(str(content.get("ownerSlug"))):
            yield BadField("ownerSlug", f"ownerSlug is {content.get('ownerSlug')!r}; it must be a user name on Kaggle")
        slug = content.get("slug")
        if not slug or slugify(str(slug)) != slug:
            yield BadField("slug", f"slug is {slug!r}; small letters, digits and single hyphens are wanted")
        if not content.get("title"):
            yield BadField("title", "title is missing")


@dataclass(frozen=True, slots=True)
class ModelInstanceMetadata(Metadata):
    """What `kaggle models instances create` reads: one variation of a model, such as one's own fine-tune.

    Raises:
        ConfigError: the client or Kaggle would refuse it, with all that is wrong.
    """

    FILE_NAME: ClassVar[str] = "model-instance-metadata.json"

    ownerSlug: str  # noqa: N815 (the file's own keys)
    modelSlug: str  # noqa: N815
    instanceSlug: str  # noqa: N815
    """The variation."""
    framework: str = "transformers"
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

    def __post_init__(self) -> None:
        self._refuse_faults()

    @classmethod
    def _rule_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        for key in ("ownerSlug", "modelSlug", "instanceSlug", "framework"):
            if not is_slug(str(content.get(key) or "")):
                yield BadField(key, f"{key} is {content.get(key)!r}; it must be a name without spaces or slashes")
        if not content.get("licenseName"):
            yield BadField("licenseName", "licenseName is missing")


def own_model(source: ModelSource) -> tuple[ModelMetadata, ModelInstanceMetadata]:
    """Templates for bringing weights of one's own to Kaggle Models under the name of `source`.

    They lie beside the weights: `kaggle models create` makes the model once, `kaggle models instances create` uploads
    its variation, and `kaggle models instances versions create` a later version of that.
    """
    model = ModelMetadata(
        ownerSlug=source.owner,
        slug=source.model,
        title=source.model,
        description="Weights for numina-infer.",
    )
    instance = ModelInstanceMetadata(
        ownerSlug=source.owner,
        modelSlug=source.model,
        instanceSlug=source.variation,
        framework=source.framework,
    )
    return model, instance


def _name_faults(content: Mapping[str, Any]) -> Iterator[BadField]:
    name, title = content.get("id"), content.get("title")
    fault = kernel_fault(name)
    if fault or str(name).count("/") != 1:
        yield BadField("id", fault or f"id is {name!r}; a kernel's id has no version")
    if not isinstance(title, str) or len(title) < 5:
        yield BadField("title", f"title is {title!r}; it must have five characters or more")
    elif not fault and slugify(title) != str(name).split("/")[1]:
        yield BadField(
            "title", f"title {title!r} becomes the slug {slugify(title)!r}, and id has {str(name).split('/')[1]!r}"
        )


def _choice_faults(content: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> Iterator[BadField]:
    if content.get(key) not in choices:
        yield BadField(key, f"{key} is {content.get(key)!r}; it must be one of {', '.join(choices)}")


def _length_faults(key: str, text: object, least: int, most: int) -> Iterator[BadField]:
    if not isinstance(text, str) or not least <= len(text) <= most:
        yield BadField(key, f"{key} is {text!r}; it must have {least} to {most} characters")


def _plain(value: Any) -> Any:
    return (
        [dict(entry) if isinstance(entry, Mapping) else entry for entry in value]
        if isinstance(value, tuple)
        else value
    )
