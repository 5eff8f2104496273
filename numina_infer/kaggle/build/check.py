"""`numina-infer kaggle check`: finds what is wrong with a built folder or a wheelhouse before it is uploaded.

Kaggle's client sends a kernel with internet on, without a GPU, or with a misspelt key without complaint. So a kernel
is checked by the client's rules, and by rules whose breach costs a submission.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from numina_infer.competitions.known import COMPETITIONS
from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.build.build import LIGHT, NOTEBOOK, OWN, find_shipped
from numina_infer.kaggle.build.metadata import MODEL_FILES, DatasetMetadata, Finding, KernelMetadata, Metadata
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.build.push import DATASET_SLUG, KNOWN_SHAPES, T4X2, machine_shape
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER, model_fault
from numina_infer.kaggle.place import LOCK
from numina_infer.kaggle.wheelhouse.offline_trial import OfflineTrial, try_wheelhouse
from numina_infer.kaggle.wheelhouse.resolution import Target, folder_fault
from numina_infer.models.model_folder import read_json

_BUILD = "build it again"


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check."""

    findings: tuple[Finding, ...]
    trial: OfflineTrial | None = None
    """Of the wheelhouse, where there was one."""


def check(root: Path, *, may_install: bool = True) -> Checked:
    """Check everything in `root` that is built for Kaggle.

    Args:
        root: what `kaggle build` or `kaggle wheelhouse` wrote, or one of its folders.
        may_install: whether a wheelhouse is installed where the right interpreter is here.

    Raises:
        ConfigError: nothing in it was built for Kaggle.
    """
    kernel, wheelhouse = _find(root, "kernel", KernelMetadata.FILE_NAME), _find(root, "wheelhouse", LOCK)
    dataset = _find(root, "dataset", DatasetMetadata.FILE_NAME)
    dataset = None if dataset == wheelhouse else dataset
    model = next(filter(None, (_find(root, "model", kind.FILE_NAME) for kind in MODEL_FILES)), None)
    if not any((kernel, dataset, model, wheelhouse)):
        raise ConfigError(f"{root} holds nothing that was built for Kaggle; see numina-infer kaggle build --help")

    found, trial = [], None
    if wheelhouse is not None:
        faults, trial = _check_wheelhouse(wheelhouse, may_install=may_install)
        found += _from_root(root, wheelhouse, lambda _: faults)
    for name, folder, kind in (("kernel", kernel, KernelMetadata), ("dataset", dataset, DatasetMetadata)):
        if folder is None and any((root / each).is_dir() for each in ("kernel", "dataset")):
            found.append(Finding(f"{name}/", f"there is no {kind.FILE_NAME}", _BUILD))
    ids = _dataset_id(dataset), _dataset_id(wheelhouse)
    found += _from_root(root, kernel, lambda folder: _kernel_findings(folder, *ids))
    found += _from_root(root, dataset, _dataset_findings)
    for file in MODEL_FILES:
        found += _from_root(root, model, partial(_metadata_findings, file))
    return Checked(tuple(found), trial)


def _from_root(root: Path, folder: Path | None, find: Callable[[Path], Iterable[Finding]]) -> list[Finding]:
    """The findings in `folder`, if that is there, with places relative to `root`."""
    if folder is None:
        return []
    return [finding.inside("" if folder == root else f"{folder.name}/") for finding in find(folder)]


def _find(root: Path, name: str, file: str) -> Path | None:
    return next((place for place in (root / name, root) if (place / file).is_file()), None)


def _dataset_id(folder: Path | None) -> str:
    try:
        content = read_json(folder / DatasetMetadata.FILE_NAME) if folder else {}
    except ConfigError:
        return ""
    return str(DatasetMetadata.sound(content).get("id") or "")


def _check_wheelhouse(folder: Path, *, may_install: bool) -> tuple[list[Finding], OfflineTrial | None]:
    findings = list(_metadata_findings(DatasetMetadata, folder))
    try:
        trial = try_wheelhouse(folder, may_install=may_install)
    except ConfigError as error:
        return [*findings, Finding(LOCK, str(error), "build the wheelhouse again")], None
    return [*findings, *trial.findings], trial


def _metadata_findings(kind: type[Metadata], folder: Path) -> Iterator[Finding]:
    """Find what the client or Kaggle would refuse or ignore in the metadata file of this kind."""
    name, known = kind.FILE_NAME, kind.field_names()
    try:
        content = read_json(folder / name)
    except ConfigError as error:
        yield Finding(name, str(error), _BUILD)
        return
    for key in content:
        if key not in known:
            yield Finding(name, f"{key!r} is no key that the client knows, and is passed over", "remove or correct it")
    for key in known:
        if key not in content:
            yield Finding(name, f"{key} isn't stated, and the client takes a default", "state it")
    yield from (replace(fault, place=name) for fault in kind.faults(content))
    sound = kind.sound(content)
    if (sound.get("id") or sound.get("ownerSlug") or "").partition("/")[0] == OWNER_PLACEHOLDER:
        yield Finding(name, f"the owner is still {OWNER_PLACEHOLDER}", "put your user name there: --owner NAME")


def _dataset_findings(folder: Path) -> Iterator[Finding]:
    yield from _metadata_findings(DatasetMetadata, folder)
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Finding(f"{path.name}/", "an upload skips folders", "move its files up, or remove it")
        elif path.suffix == ".whl" and not is_zipfile(path):  # the notebook unzips them all
            yield Finding(path.name, "it can't be unzipped, and the kernel would end there", _BUILD)
    target, here = Target(), version(OWN)
    if fault := folder_fault(folder, LIGHT, target):
        yield Finding("", f"its wheels don't install on Kaggle's image, {target}: {fault}", _BUILD)
    own = sorted(path.name for path in folder.glob("numina_infer-*.whl"))
    if not own:
        yield Finding("", f"the wheel of {OWN} is missing", _BUILD)
    for name in own:
        if (found := name.split("-")[1]) != here:
            yield Finding(name, f"it is version {found}, and {here} is installed here", _BUILD)


def _kernel_findings(folder: Path, own: str, wheelhouse: str) -> Iterator[Finding]:
    """Find what is wrong with a kernel; `own` and `wheelhouse` are ids of datasets built with it, or empty."""
    name = KernelMetadata.FILE_NAME
    yield from _metadata_findings(KernelMetadata, folder)
    try:
        content = read_json(folder / name)
    except ConfigError:
        return
    sound = KernelMetadata.sound(content)
    wrong = content.keys() - sound.keys()  # a wrong type is one finding, not two
    lost = (*_lost_submissions(sound), *_missing_datasets(sound, own, wheelhouse))
    yield from (replace(each, place=name) for each in lost if each.place not in wrong)
    yield from _notebook_findings(folder, sound.get("code_file") or "submission.ipynb", sound)


def _lost_submissions(content: Mapping[str, Any]) -> Iterator[Finding]:
    """Find the fields, each named as the place, with which a kernel isn't scored."""
    if content.get("enable_internet"):
        what = "internet is on, and a code competition takes no such kernel"
        yield Finding("enable_internet", what, "set enable_internet to false")
    if content.get("enable_gpu") is False:
        yield Finding("enable_gpu", "the GPU is off", "set enable_gpu to true")
    if content.get("enable_tpu"):
        yield Finding("enable_tpu", "a TPU is on, and vLLM here is for GPUs", "set enable_tpu to false")
    if content.get("is_private") is False:
        yield Finding("is_private", "the kernel is public", "set is_private to true")
    if not content.get("competition_sources"):
        yield Finding("competition_sources", "no competition is attached", "name it in competition_sources")
    if not content.get("model_sources"):
        fix = "name it in model_sources: OWNER/MODEL/FRAMEWORK/VARIATION/VERSION"
        yield Finding("model_sources", "no model is attached", fix)
    shape = content.get("machine_shape", T4X2)  # that it isn't stated is a finding already
    if shape not in KNOWN_SHAPES:
        fix = f"choose one of {', '.join(sorted(KNOWN_SHAPES))}"
        yield Finding("machine_shape", f"no machine with GPUs is called {shape!r}", fix)


def _missing_datasets(content: Mapping[str, Any], own: str, wheelhouse: str) -> Iterator[Finding]:
    key, name_it = "dataset_sources", "name it in dataset_sources"
    attached = {"/".join(source.split("/")[:2]) for source in content.get(key) or ()}
    ours = {own} if own else {source for source in attached if source.partition("/")[2] == DATASET_SLUG}
    if not ours & attached:
        what = f"the dataset with this package, {own or f'OWNER/{DATASET_SLUG}'}, isn't attached"
        yield Finding(key, what, name_it)
    if wheelhouse and wheelhouse not in attached:
        yield Finding(key, f"the wheelhouse {wheelhouse} isn't attached", name_it)
    elif not attached - ours and not content.get("kernel_sources"):
        what = "no wheelhouse is attached, and Kaggle's image has no vLLM"
        yield Finding(key, what, "name its dataset in dataset_sources")


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
    for what in _disagreements(settings, content):
        yield Finding(KernelMetadata.FILE_NAME, what, "make them agree")


def _disagreements(settings: Mapping[str, str], content: Mapping[str, Any]) -> Iterator[str]:
    """Where the notebook's settings and the kernel's metadata contradict each other."""
    model, competition = settings["MODEL"], COMPETITIONS.get(settings["COMPETITION"])
    models = content.get("model_sources") or []
    if models and model not in models and (len(models) > 1 or not model_fault(model)):
        yield f"the notebook's MODEL is {model!r}, and the models attached are {', '.join(models)}"
    if competition is None:
        yield f"the notebook's COMPETITION {settings['COMPETITION']!r} isn't known, as are {', '.join(COMPETITIONS)}"
        return
    sources, shape = content.get("competition_sources") or [], content.get("machine_shape")
    if sources and competition.slug not in sources:
        yield f"the notebook plays {competition.slug}, and {', '.join(sources)} is attached"
    wanted = machine_shape(competition, settings["PRESET"])
    if shape in KNOWN_SHAPES and shape != wanted:
        why = f"preset {settings['PRESET']}" if settings["PRESET"] else competition.name
        yield f"{why} is for {wanted}, and machine_shape is {shape}"
