"""`numina-infer kaggle check`: a built folder, a kernel's alone, or a wheelhouse, before it is uploaded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from numina_infer.core.errors import ConfigError, WheelError
from numina_infer.kaggle.wheelhouse import lock as lock_file
from numina_infer.kaggle.build.findings import Finding
from numina_infer.kaggle.build.kernel_check import kernel_findings, metadata_findings
from numina_infer.kaggle.build.metadata import (
    DatasetMetadata,
    KernelMetadata,
    Metadata,
    ModelInstanceMetadata,
    ModelMetadata,
    read_content,
)
from numina_infer.kaggle.build.own_wheels import LIGHT, OWN, needed_by
from numina_infer.kaggle.wheelhouse.target import Target
from numina_infer.kaggle.wheelhouse.offline_trial import OfflineTrial, try_wheelhouse
from numina_infer.kaggle.wheelhouse.wheel_files import WheelFile

_BUILD = "build it again"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check."""

    findings: tuple[Finding, ...]
    trial: OfflineTrial | None = None
    """Of the wheelhouse, where there was one."""


def check(folder: Path, *, may_install: bool = True) -> Checked:
    """Look at everything in `folder` that is built for Kaggle.

    Args:
        folder: what `kaggle build` or `kaggle wheelhouse` wrote, or one of its folders.
        may_install: whether a wheelhouse is installed where the right interpreter is here.

    Raises:
        ConfigError: nothing in it is.
    """
    places = _Places(folder)
    trial: OfflineTrial | None = None
    findings: list[Finding] = []
    if places.wheelhouse:
        findings, trial = _check_wheelhouse(places.wheelhouse, places.name(places.wheelhouse), may_install=may_install)
    findings += _folder_findings(places)
    return Checked(tuple(findings), trial)


class _Places:
    """Where things lie below a folder; a thing that isn't there is None."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kernel = self._find("kernel", KernelMetadata.FILE_NAME)
        self.wheelhouse = self._find("wheelhouse", lock_file.FILE_NAME)
        self.model = self._find("model", ModelInstanceMetadata.FILE_NAME)
        dataset = self._find("dataset", DatasetMetadata.FILE_NAME)
        self.dataset = None if dataset == self.wheelhouse else dataset
        if not any((self.kernel, self.wheelhouse, self.model, self.dataset)):
            raise ConfigError(f"{root} holds nothing that was built for Kaggle; see numina-infer kaggle build --help")

    def _find(self, name: str, file: str) -> Path | None:
        return next((place for place in (self.root / name, self.root) if (place / file).is_file()), None)

    @property
    def is_built(self) -> bool:
        """Whether it is what `kaggle build` writes, or what is left of that."""
        return any((self.root / name).is_dir() for name in ("kernel", "dataset"))

    def name(self, folder: Path) -> str:
        """What a folder is called in a finding."""
        return "" if folder == self.root else f"{folder.name}/"


def _folder_findings(places: _Places) -> Iterator[Finding]:
    if places.is_built and places.kernel is None:
        yield Finding("kernel/", f"there is no {KernelMetadata.FILE_NAME}", _BUILD)
    if places.is_built and places.dataset is None:
        yield Finding("dataset/", f"there is no {DatasetMetadata.FILE_NAME}", _BUILD)
    if places.kernel:
        own, wheelhouse = _dataset_id(places.dataset), _dataset_id(places.wheelhouse)
        yield from kernel_findings(places.kernel, places.name(places.kernel), own=own, wheelhouse=wheelhouse)
    if places.dataset:
        yield from _dataset_findings(places.dataset, places.name(places.dataset))
    if places.model:
        for kind in (ModelMetadata, ModelInstanceMetadata):
            yield from _file_findings(kind, places.model, places.name(places.model))


def _dataset_id(folder: Path | None) -> str:
    try:
        content = read_content(folder / DatasetMetadata.FILE_NAME) if folder else {}
    except ConfigError:
        return ""
    return str(DatasetMetadata.sound(content).get("id") or "")


def _file_findings(kind: type[Metadata], folder: Path, place: str) -> Iterator[Finding]:
    try:
        content = read_content(folder / kind.FILE_NAME)
    except ConfigError as error:
        yield Finding(f"{place}{kind.FILE_NAME}", str(error), _BUILD)
        return
    yield from metadata_findings(kind, content, f"{place}{kind.FILE_NAME}")


def _check_wheelhouse(folder: Path, place: str, *, may_install: bool) -> tuple[list[Finding], OfflineTrial | None]:
    findings = list(_file_findings(DatasetMetadata, folder, place))
    try:
        trial = try_wheelhouse(folder, may_install=may_install)
    except ConfigError as error:
        return [*findings, Finding(f"{place}{lock_file.FILE_NAME}", str(error), "build the wheelhouse again")], None
    return [*findings, *(replace(finding, place=f"{place}{finding.place}") for finding in trial.findings)], trial


def _dataset_findings(folder: Path, place: str) -> Iterator[Finding]:
    yield from _file_findings(DatasetMetadata, folder, place)
    wheels = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Finding(f"{place}{path.name}/", "an upload skips folders", "move its files up, or remove it")
        elif path.suffix == ".whl":
            try:
                wheels.append(WheelFile.read(path))
            except WheelError as error:
                yield Finding(f"{place}{path.name}", str(error), _BUILD)
    yield from _wheel_findings(wheels, place)


def _wheel_findings(wheels: list[WheelFile], place: str) -> Iterator[Finding]:
    target = Target()
    for wheel in wheels:
        if not wheel.fits(target):
            yield Finding(f"{place}{wheel.path.name}", f"it doesn't install on Kaggle's image, {target}", _BUILD)
    names = {wheel.name for wheel in wheels}
    for name in sorted({OWN, *needed_by(LIGHT, target)} - names):
        yield Finding(place or ".", f"the wheel of {name} is missing", _BUILD)
    for wheel in wheels:
        if wheel.name == OWN and str(wheel.version) != _own_version():
            what = f"it is version {wheel.version}, and {_own_version()} is installed here"
            yield Finding(f"{place}{wheel.path.name}", what, _BUILD)


def _own_version() -> str:
    try:
        return version(OWN)
    except PackageNotFoundError:
        return "none"
