"""The four files that Kaggle's client reads from the folders that it uploads.

Keys and rules are the client's own (kaggle 2.2.4: `kernels_push`, `dataset_create_new`, `model_create_new`,
`model_instance_create`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numina_infer.kaggle.build.findings import BadField
from numina_infer.kaggle.build.metadata_file import Metadata, Rule, each, given, length, one_of, satisfies
from numina_infer.kaggle.build.sources import ModelSource, dataset_fault, is_slug, kernel_fault, model_fault, slugify

APACHE = "Apache 2.0"
"""Kaggle's name for this package's licence."""
OTHER_LICENCE = "other"
"""Kaggle's name for a licence that the description explains."""


def _unversioned(fault_of: Callable[[object], str], kind: str) -> Rule:
    """`owner/slug`, in which `fault_of` finds nothing."""
    no_version = satisfies(lambda name: name.count("/") == 1, f"a {kind}'s id has no version")
    return lambda key, name: (fault,) if (fault := fault_of(name)) else no_version(key, name)


def _dataset_id(key: str, name: str) -> Iterable[str]:
    faults = tuple(_unversioned(dataset_fault, "dataset")(key, name))
    return faults or length(6, 50)(key, name.partition("/")[2])


_SLUG = satisfies(is_slug, "it must be a name without spaces or slashes")


@dataclass(frozen=True, slots=True)
class KernelMetadata(Metadata):
    """The file of a kernel, for `kaggle kernels push`."""

    FILE_NAME: ClassVar[str] = "kernel-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "id": _unversioned(kernel_fault, "kernel"),
        "title": satisfies(lambda title: len(title) >= 5, "it must have five characters or more"),
        "code_file": given("; it names the notebook"),
        "language": one_of("python", "r", "rmarkdown"),
        "kernel_type": one_of("script", "notebook"),
        "docker_image_pinning_type": one_of("original", "latest"),
        "dataset_sources": each(dataset_fault),
        "kernel_sources": each(kernel_fault),
        "model_sources": each(model_fault),
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
    def _joint_faults(cls, sound: Mapping[str, Any]) -> Iterable[BadField]:
        name, title = sound.get("id", ""), sound.get("title", "")
        slug = name.partition("/")[2]
        if len(title) >= 5 and not kernel_fault(name) and slugify(title) != slug.partition("/")[0]:
            yield BadField("title", f"title {title!r} becomes the slug {slugify(title)!r}, and id has {slug!r}")


@dataclass(frozen=True, slots=True)
class DatasetMetadata(Metadata):
    """The file of a dataset, for `kaggle datasets create` and `kaggle datasets version`."""

    FILE_NAME: ClassVar[str] = "dataset-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "id": _dataset_id,
        "title": length(6, 50),
        "subtitle": satisfies(lambda text: not text or 20 <= len(text) <= 80, "it must have 20 to 80 characters"),
        "licenses": satisfies(
            lambda licenses: len(licenses) == 1 and bool(licenses[0].get("name")),
            f"exactly one is wanted, such as {[{'name': APACHE}]}",
        ),
    }

    id: str
    """`owner/slug`; a slug of 6 to 50 characters."""
    title: str
    subtitle: str
    description: str
    licenses: tuple[Mapping[str, str], ...] = ({"name": APACHE},)
    keywords: tuple[str, ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelMetadata(Metadata):
    """The file of a model as a whole, for `kaggle models create`."""

    FILE_NAME: ClassVar[str] = "model-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ownerSlug": satisfies(is_slug, "it must be a user name on Kaggle"),
        "slug": satisfies(
            lambda slug: slug and slugify(slug) == slug, "small letters, digits and single hyphens are wanted"
        ),
        "title": given(),
    }

    ownerSlug: str  # noqa: N815 (the file's own keys)
    slug: str
    title: str
    description: str
    subtitle: str = ""
    isPrivate: bool = True  # noqa: N815
    publishTime: str = ""  # noqa: N815
    provenanceSources: str = ""  # noqa: N815


@dataclass(frozen=True, slots=True)
class ModelInstanceMetadata(Metadata):
    """The file of one variation of a model, for `kaggle models instances create`."""

    FILE_NAME: ClassVar[str] = "model-instance-metadata.json"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ownerSlug": _SLUG,
        "modelSlug": _SLUG,
        "instanceSlug": _SLUG,
        "framework": _SLUG,
        "licenseName": given(),
    }

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


def own_model(source: ModelSource) -> tuple[ModelMetadata, ModelInstanceMetadata]:
    """Templates for bringing one's own weights to Kaggle Models as `source`; they go into the weights' folder.

    `kaggle models create` makes the model once, `kaggle models instances create` uploads its variation, and
    `kaggle models instances versions create` a later version of that.
    """
    owner, model = source.owner, source.model
    return (
        ModelMetadata(ownerSlug=owner, slug=model, title=model, description="Weights for numina-infer."),
        ModelInstanceMetadata(owner, model, source.variation, source.framework),
    )
