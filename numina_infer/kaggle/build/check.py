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
from numina_infer.models.model_folder import read_json

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
    places = _Places.find(folder)
    trial: OfflineTrial | None = None
    findings: list[Finding] = []
    if places.wheelhouse:
        found, trial = _check_wheelhouse(places.wheelhouse, may_install=may_install)
        findings = places.from_root(places.wheelhouse, found)
    return Checked((*findings, *_folder_findings(places)), trial)


@dataclass(frozen=True, slots=True)
class _Places:
    """The built folders in `root`, or `root` itself; None for each that isn't there."""

    root: Path
    kernel: Path | None
    dataset: Path | None
    model: Path | None
    wheelhouse: Path | None

    @classmethod
    def find(cls, root: Path) -> "_Places":
        """Find them; `ConfigError` where there are none."""
        wheelhouse, dataset = _find(root, "wheelhouse", LOCK), _find(root, "dataset", DatasetMetadata.FILE_NAME)
        kernel = _find(root, "kernel", KernelMetadata.FILE_NAME)
        model = _find(root, "model", ModelInstanceMetadata.FILE_NAME)
        found = cls(root, kernel, None if dataset == wheelhouse else dataset, model, wheelhouse)
        if not any((found.kernel, found.dataset, found.model, found.wheelhouse)):
            raise ConfigError(f"{root} holds nothing that was built for Kaggle; see numina-infer kaggle build --help")
        return found

    def from_root(self, folder: Path, findings: Iterable[Finding]) -> list[Finding]:
        """The findings in `folder`, with places relative to the root."""
        return [finding.inside("" if folder == self.root else f"{folder.name}/") for finding in findings]


def _find(root: Path, name: str, file: str) -> Path | None:
    return next((place for place in (root / name, root) if (place / file).is_file()), None)


def _folder_findings(places: _Places) -> Iterator[Finding]:
    yield from _missing_files(places)
    if kernel := places.kernel:
        own, wheelhouse = _dataset_id(places.dataset), _dataset_id(places.wheelhouse)
        yield from places.from_root(kernel, kernel_findings(kernel, own=own, wheelhouse=wheelhouse))
    if dataset := places.dataset:
        yield from places.from_root(dataset, _dataset_findings(dataset))
    if model := places.model:
        for kind in (ModelMetadata, ModelInstanceMetadata):
            yield from places.from_root(model, _file_findings(kind, model))


def _missing_files(places: _Places) -> Iterator[Finding]:
    """The files that an upload reads first, where the root is what `kaggle build` writes."""
    if not any((places.root / name).is_dir() for name in ("kernel", "dataset")):
        return
    if places.kernel is None:
        yield Finding("kernel/", f"there is no {KernelMetadata.FILE_NAME}", _BUILD)
    if places.dataset is None:
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
