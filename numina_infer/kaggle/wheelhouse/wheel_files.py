"""Reads wheels in a folder: which interpreters they are for, and which packages they need."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.parser import Parser
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.target import Target

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.tags import Tag
    from packaging.version import Version


@dataclass(frozen=True)
class WheelFile:
    """One wheel; its name follows PEP 427."""

    path: Path
    name: str
    """Normalised."""
    version: "Version"
    tags: "frozenset[Tag]"

    @classmethod
    def read(cls, path: Path) -> "WheelFile":
        """Read its name; `WheelError` where that isn't a wheel's."""
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename

        try:
            name, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise WheelError(f"{path.name} isn't a wheel's name: {error}") from error
        return cls(path, name, version, tags)

    def fits(self, target: Target) -> bool:
        """Whether it installs on `target`."""
        return target.rank(self.tags) is not None

    @cached_property
    def requires(self) -> "tuple[Requirement, ...]":
        """The packages that it needs, with markers; `WheelError` where the file can't be read."""
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            with zipfile.ZipFile(self.path) as wheel:
                name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
                headers = Parser().parsestr(wheel.read(name).decode("utf-8", errors="replace"), headersonly=True)
            return tuple(map(Requirement, headers.get_all("Requires-Dist", ())))
        except (OSError, zipfile.BadZipFile, StopIteration, InvalidRequirement) as error:
            raise WheelError(f"{self.path.name} can't be read as a wheel: {error!r}") from error


def lacks(wheels: Iterable[WheelFile], target: Target) -> Iterator[str]:
    """A sentence for each package that a wheel needs on `target` and that isn't there; with the extras asked for."""
    here = {wheel.name: wheel for wheel in wheels}
    to_ask = [(wheel, "") for wheel in here.values()]
    asked = set()
    while to_ask:
        wheel, extra = to_ask.pop()
        if (wheel.name, extra) in asked:
            continue
        asked.add((wheel.name, extra))
        for needed in (each for each in wheel.requires if target.needs(each, extra)):
            found = _find(needed, here)
            if found is None:
                yield f"{wheel.path.name} needs {needed.name}{needed.specifier}, and no wheel here is that"
            else:
                to_ask += [(found, each) for each in needed.extras]


def _find(needed: "Requirement", here: Mapping[str, WheelFile]) -> WheelFile | None:
    from packaging.utils import canonicalize_name

    found = here.get(canonicalize_name(needed.name))
    return found if found and needed.specifier.contains(found.version, prereleases=True) else None
