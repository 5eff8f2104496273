"""Checks a kernel's folder by the client's rules, and by rules whose breach costs a submission.

The client sends a kernel with internet on, without a GPU, or with a misspelt key without complaint.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numina_infer.competitions.known import COMPETITIONS
from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.build.build import NOTEBOOK
from numina_infer.kaggle.build.findings import BadField, Finding
from numina_infer.kaggle.build.metadata import KernelMetadata
from numina_infer.kaggle.build.metadata_file import Metadata
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.build.push import DATASET_SLUG, KNOWN_SHAPES, T4X2, machine_shape
from numina_infer.kaggle.build.shipped import find_shipped
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER, model_fault
from numina_infer.models.model_folder import read_json

_BUILD = "build the kernel again"


def kernel_findings(folder: Path, *, own: str = "", wheelhouse: str = "") -> Iterator[Finding]:
    """Find what is wrong with the kernel in `folder`.

    Args:
        folder: with kernel-metadata.json.
        own: `owner/slug` of the dataset with this package, where that was built with it.
        wheelhouse: the same of the wheelhouse.
    """
    name = KernelMetadata.FILE_NAME
    try:
        content = read_json(folder / name)
    except ConfigError as error:
        yield Finding(name, str(error), _BUILD)
        return
    yield from metadata_findings(KernelMetadata, content)
    sound = KernelMetadata.sound(content)
    wrong = content.keys() - sound.keys()  # a wrong type is one finding, not two
    lost = (*_lost_submissions(sound), *_missing_datasets(sound, own, wheelhouse))
    yield from (Finding(name, each.what, each.fix) for each in lost if each.key not in wrong)
    yield from _notebook_findings(folder, sound.get("code_file") or "submission.ipynb", sound)


def metadata_findings(kind: type[Metadata], content: Mapping[str, Any]) -> Iterator[Finding]:
    """Find what the client or Kaggle would refuse or ignore in a metadata file of this kind."""
    name, known = kind.FILE_NAME, kind.field_names()
    for key in content:
        if key not in known:
            yield Finding(name, f"{key!r} is no key that the client knows, and is passed over", "remove or correct it")
    for key in known:
        if key not in content:
            yield Finding(name, f"{key} isn't stated, and the client takes a default", "state it")
    yield from (Finding(name, fault.what, fault.fix) for fault in kind.faults(content))
    sound = kind.sound(content)
    owner = (sound.get("id") or sound.get("ownerSlug") or "").partition("/")[0]
    if owner == OWNER_PLACEHOLDER:
        yield Finding(name, f"the owner is still {OWNER_PLACEHOLDER}", "put your user name there: --owner NAME")


def _lost_submissions(content: Mapping[str, Any]) -> Iterator[BadField]:
    if content.get("enable_internet"):
        what = "internet is on, and a code competition takes no such kernel"
        yield BadField("enable_internet", what, "set enable_internet to false")
    if content.get("enable_gpu") is False:
        yield BadField("enable_gpu", "the GPU is off", "set enable_gpu to true")
    if content.get("enable_tpu"):
        yield BadField("enable_tpu", "a TPU is on, and vLLM here is for GPUs", "set enable_tpu to false")
    if content.get("is_private") is False:
        yield BadField("is_private", "the kernel is public", "set is_private to true")
    if not content.get("competition_sources"):
        yield BadField("competition_sources", "no competition is attached", "name it in competition_sources")
    if not content.get("model_sources"):
        fix = "name it in model_sources: OWNER/MODEL/FRAMEWORK/VARIATION/VERSION"
        yield BadField("model_sources", "no model is attached", fix)
    shape = content.get("machine_shape", T4X2)  # that it isn't stated is a finding already
    if shape not in KNOWN_SHAPES:
        fix = f"choose one of {', '.join(sorted(KNOWN_SHAPES))}"
        yield BadField("machine_shape", f"no machine with GPUs is called {shape!r}", fix)


def _missing_datasets(content: Mapping[str, Any], own: str, wheelhouse: str) -> Iterator[BadField]:
    key, name_it = "dataset_sources", "name it in dataset_sources"
    attached = {"/".join(source.split("/")[:2]) for source in content.get(key) or ()}
    ours = {own} if own else {source for source in attached if source.partition("/")[2] == DATASET_SLUG}
    if not ours & attached:
        what = f"the dataset with this package, {own or f'OWNER/{DATASET_SLUG}'}, isn't attached"
        yield BadField(key, what, name_it)
    if wheelhouse and wheelhouse not in attached:
        yield BadField(key, f"the wheelhouse {wheelhouse} isn't attached", name_it)
    elif not attached - ours and not content.get("kernel_sources"):
        what = "no wheelhouse is attached, and Kaggle's image has no vLLM"
        yield BadField(key, what, "name its dataset in dataset_sources")


def _notebook_findings(folder: Path, place: str, content: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        notebook = Notebook.read(folder / place)
        settings = notebook.settings
        is_ours = notebook.cells_without_settings == Notebook.read(find_shipped(NOTEBOOK)).cells_without_settings
    except ConfigError as error:
        yield Finding(place, str(error), _BUILD)
        return
    if not is_ours:
        yield Finding(place, "its cells aren't those of this version of numina-infer", f"{_BUILD}, or install its own")
    if notebook.has_outputs:
        yield Finding(place, "it has outputs", "clear them")
    for what, fix in _disagreements(settings, content):
        yield Finding(KernelMetadata.FILE_NAME, what, fix)


def _disagreements(settings: Mapping[str, str], content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    model, competition = settings["MODEL"], COMPETITIONS.get(settings["COMPETITION"])
    models = content.get("model_sources") or []
    if models and model not in models and (len(models) > 1 or not model_fault(model)):
        yield f"the notebook's MODEL is {model!r}, and the models attached are {', '.join(models)}", "make them agree"
    if competition is None:
        yield f"the notebook's COMPETITION {settings['COMPETITION']!r} isn't known", "name one that numina-infer knows"
        return
    sources, shape = content.get("competition_sources") or [], content.get("machine_shape")
    if sources and competition.slug not in sources:
        yield f"the notebook plays {competition.slug}, and {', '.join(sources)} is attached", "make them agree"
    wanted = machine_shape(competition, settings["PRESET"])
    if shape in KNOWN_SHAPES and shape != wanted:
        why = f"preset {settings['PRESET']}" if settings["PRESET"] else competition.name
        yield f"{why} is for {wanted}, and machine_shape is {shape}", "make them agree"
