"""`numina-infer kaggle check`: finds what is wrong with a built folder or a wheelhouse before it is uploaded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from numina_infer.core.errors import ConfigError, WheelError
from numina_infer.kaggle.build.findings import Finding
from numina_infer.kaggle.build.kernel_check import kernel_findings, metadata_findings
from numina_infer.kaggle.build.metadata import (
    DatasetMetadata,
    KernelMetadata,
    ModelInstanceMetadata,
    ModelMetadata,
)
from numina_infer.kaggle.build.metadata_file import Metadata
from numina_infer.kaggle.build.own_wheels import LIGHT, OWN, needed_by
from numina_infer.kaggle.inputs import LOCK
from numina_infer.kaggle.wheelhouse.offline_trial import OfflineTrial, try_wheelhouse
from numina_infer.kaggle.wheelhouse.target import Target
from numina_infer.kaggle.wheelhouse.wheel_files import WheelFile
from numina_infer.models.json_file import read_json

_BUILD = "build it again"


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check."""

    findings: tuple[Finding, ...]
    trial: OfflineTrial | None = None
    """Of the wheelhouse, where there was one."""


def check(folder: Path, *, may_install: bool = True) -> Checked:
    """Check everything in `folder` that is built for Kaggle.

    Args:
        folder: what `kaggle build` or `kaggle wheelhouse` wrote, or one of its folders.
        may_install: whether a wheelhouse is installed where the right interpreter is here.

    Raises:
        ConfigError: nothing in it was built for Kaggle.
    """
    wheelhouse = _find(folder, "wheelhouse", LOCK)
    kernel = _find(folder, "kernel", KernelMetadata.FILE_NAME)
    model = _find(folder, "model", ModelInstanceMetadata.FILE_NAME)
    dataset = _find(folder, "dataset", DatasetMetadata.FILE_NAME)
    dataset = None if dataset == wheelhouse else dataset
    if not any((kernel, wheelhouse, model, dataset)):
        raise ConfigError(f"{folder} holds nothing that was built for Kaggle; see numina-infer kaggle build --help")
    trial: OfflineTrial | None = None
    findings: list[Finding] = []
    if wheelhouse:
        found, trial = _check_wheelhouse(wheelhouse, may_install=may_install)
        findings += _seen_from(folder, wheelhouse, found)
    findings += _missing_files(folder, kernel, dataset)
    if kernel:
        own, wheels = _dataset_id(dataset), _dataset_id(wheelhouse)
        findings += _seen_from(folder, kernel, kernel_findings(kernel, own=own, wheelhouse=wheels))
    if dataset:
        findings += _seen_from(folder, dataset, _dataset_findings(dataset))
    for kind in (ModelMetadata, ModelInstanceMetadata):
        findings += _seen_from(folder, model, _file_findings(kind, model)) if model else ()
    return Checked(tuple(findings), trial)


def _find(root: Path, name: str, file: str) -> Path | None:
    """The folder `name` in `root`, or `root` itself, whichever has `file`."""
    return next((place for place in (root / name, root) if (place / file).is_file()), None)


def _seen_from(root: Path, folder: Path, findings: Iterable[Finding]) -> list[Finding]:
    return [finding.inside("" if folder == root else f"{folder.name}/") for finding in findings]


def _missing_files(root: Path, kernel: Path | None, dataset: Path | None) -> Iterator[Finding]:
    """The files that an upload reads first, where `root` is what `kaggle build` writes."""
    if not any((root / name).is_dir() for name in ("kernel", "dataset")):
        return
    if kernel is None:
        yield Finding("kernel/", f"there is no {KernelMetadata.FILE_NAME}", _BUILD)
    if dataset is None:
        yield Finding("dataset/", f"there is no {DatasetMetadata.FILE_NAME}", _BUILD)


def _dataset_id(folder: Path | None) -> str:
    try:
        content = read_json(folder / DatasetMetadata.FILE_NAME) if folder else {}
    except ConfigError:
        return ""
    return str(DatasetMetadata.sound(content).get("id") or "")


def _file_findings(kind: type[Metadata], folder: Path) -> Iterator[Finding]:
    try:
        content = read_json(folder / kind.FILE_NAME)
    except ConfigError as error:
        yield Finding(kind.FILE_NAME, str(error), _BUILD)
        return
    yield from metadata_findings(kind, content)


def _check_wheelhouse(folder: Path, *, may_install: bool) -> tuple[list[Finding], OfflineTrial | None]:
    findings = list(_file_findings(DatasetMetadata, folder))
    try:
        trial = try_wheelhouse(folder, may_install=may_install)
    except ConfigError as error:
        return [*findings, Finding(LOCK, str(error), "build the wheelhouse again")], None
    return [*findings, *trial.findings], trial


def _dataset_findings(folder: Path) -> Iterator[Finding]:
    yield from _file_findings(DatasetMetadata, folder)
    wheels = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Finding(f"{path.name}/", "an upload skips folders", "move its files up, or remove it")
        elif path.suffix == ".whl":
            try:
                wheels.append(WheelFile.read(path))
            except WheelError as error:
                yield Finding(path.name, str(error), _BUILD)
    yield from _wheel_findings(wheels)


def _wheel_findings(wheels: list[WheelFile]) -> Iterator[Finding]:
    target = Target()
    for wheel in wheels:
        if not wheel.fits(target):
            yield Finding(wheel.path.name, f"it doesn't install on Kaggle's image, {target}", _BUILD)
    names = {wheel.name for wheel in wheels}
    for name in sorted({OWN, *needed_by(LIGHT, target)} - names):
        yield Finding("", f"the wheel of {name} is missing", _BUILD)
    for wheel in wheels:
        if wheel.name == OWN and str(wheel.version) != _own_version():
            what = f"it is version {wheel.version}, and {_own_version()} is installed here"
            yield Finding(wheel.path.name, what, _BUILD)


def _own_version() -> str:
    try:
        return version(OWN)
    except PackageNotFoundError:
        return "none"
