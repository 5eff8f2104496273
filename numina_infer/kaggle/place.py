"""Where a run takes place, on a laptop or in one of Kaggle's three ways, and what is attached to its notebook.

The variables are Kaggle's own. Its kaggle_evaluation tests only whether KAGGLE_IS_COMPETITION_RERUN is set, so an
empty value means a rerun as well; testing for truth would rehearse where the run is scored.

Two layouts have been seen under /kaggle/input: the older `SLUG/…`, and the newer `competitions/SLUG/…`,
`datasets/OWNER/SLUG/…` and `models/OWNER/MODEL/…`. In both a model's files are in `MODEL/FRAMEWORK/VARIATION/VERSION`.
So a folder is recognised by its contents, and no path is fixed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path

from numina_infer.core.config import require

RERUN_VARIABLE = "KAGGLE_IS_COMPETITION_RERUN"
RUN_TYPE_VARIABLE = "KAGGLE_KERNEL_RUN_TYPE"


class Place(StrEnum):
    """Where a run takes place."""

    LAPTOP = "laptop"
    """Anywhere but on Kaggle."""
    INTERACTIVE = "interactive"
    """Kaggle's editor, where a person sees every cell."""
    COMMIT = "commit"
    """"Save and run all": every cell runs with nobody there, and the output is kept."""
    RERUN = "rerun"
    """The run that is scored; only its submission is ever seen."""

    @property
    def is_kaggle(self) -> bool:
        """False on a laptop."""
        return self is not Place.LAPTOP

    @property
    def is_watched(self) -> bool:
        """True where somebody can read an error and start again."""
        return self is not Place.RERUN


_RUN_TYPES: Mapping[str, Place] = {"Interactive": Place.INTERACTIVE, "Batch": Place.COMMIT}


def find_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Where the process with this `environment` runs."""
    if RERUN_VARIABLE in environment:
        return Place.RERUN
    return _RUN_TYPES.get(environment.get(RUN_TYPE_VARIABLE, ""), Place.LAPTOP)


LOCK = "requirements.lock"
"""The file that marks a wheelhouse: its wheels' names, versions and hashes."""
_PARTS_BEHIND_OWNER = 4
"""The parts of a model's name after its owner: MODEL/FRAMEWORK/VARIATION/VERSION."""
_DEPTH = 8
"""Levels below the root that are searched; a model is six deep in the newer layout, and some have one more inside."""
_MOST_ENTRIES = 2000
"""Entries of one folder that are read; a data set may have a million files in a folder that holds nothing of ours."""
_MOST_FOLDERS = 2000
"""Folders that are entered, those with few siblings first: models and wheels have few, images have many."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The attached inputs, below one folder."""

    root: Path = Path("/kaggle/input")

    def competition(self, slug: str) -> Path | None:
        """The folder of the competition that Kaggle calls `slug`; None where it isn't attached."""
        require(bool(slug), "the competition's slug is empty; give Kaggle's name for it, as in its address")
        return next((place for place in (self.root / slug, self.root / "competitions" / slug) if place.is_dir()), None)

    def problems(self, slug: str) -> Path | None:
        """The competition's own problems, its test.csv; None where there are none."""
        folder = self.competition(slug)
        return folder / "test.csv" if folder is not None and (folder / "test.csv").is_file() else None

    def models(self) -> tuple[Path, ...]:
        """Every folder with a config.json, sorted by path; folders inside one belong to it."""
        return self._find(lambda folder: (folder / "config.json").is_file())

    def model(self, name: str = "") -> Path:
        """The only model, or the one whose path contains `name`, in any case of letters.

        Where `name` is whole folders of a path, such as `7b/1`, paths that only contain its text don't match. Kaggle's
        own name, `OWNER/MODEL/FRAMEWORK/VARIATION/VERSION`, matches in the older layout too, which has no owner.

        Raises:
            ConfigError: none or several match; the text lists what is there.
        """
        there = self.models()
        found = _named(name, there, self.root) or _named(_without_owner(name), there, self.root)
        require(bool(there), f"no model is attached: no folder in {self.root} has a config.json; add one as an input")
        named = f"named like {name!r}" if name else "attached"
        listed = f"there are {_list(there, self.root)}"
        require(bool(found), f"no model is {named} in {self.root}; {listed}")
        several = f"{len(found)} models are {named}; give more of one's path: {_list(found, self.root)}"
        require(len(found) == 1, several)
        return found[0]

    def wheelhouse(self) -> Path | None:
        """The folder with a lock and vLLM's wheel; None where there is none.

        Raises:
            ConfigError: there are several; the text lists them.
        """
        found = self._find(_is_wheelhouse)
        require(len(found) < 2, f"{len(found)} wheelhouses are attached; leave one of them: {_list(found, self.root)}")
        return found[0] if found else None

    def _find(self, is_wanted: Callable[[Path], bool]) -> tuple[Path, ...]:
        return tuple(sorted(folder for folder in _folders(self.root, is_wanted) if is_wanted(folder)))


def _is_wheelhouse(folder: Path) -> bool:
    return (folder / LOCK).is_file() and any(folder.glob("vllm-*.whl"))


def _named(name: str, paths: Iterable[Path], root: Path) -> list[Path]:
    """Those of `paths` that `name` picks."""
    wanted = name.strip("/").casefold()
    said = {path: f"/{path.relative_to(root).as_posix().casefold()}/" for path in paths}
    exact = [path for path, words in said.items() if wanted and f"/{wanted}/" in words]
    return exact or [path for path, words in said.items() if wanted in words]


def _without_owner(name: str) -> str:
    owner, _, rest = name.partition("/")
    return rest if owner and rest.count("/") == _PARTS_BEHIND_OWNER - 1 else name


def _list(paths: Iterable[Path], root: Path) -> str:
    return ", ".join(path.relative_to(root).as_posix() for path in paths)


def _folders(root: Path, is_leaf: Callable[[Path], bool]) -> Iterator[Path]:
    """The folders below `root`, none twice; those that `is_leaf` accepts aren't entered."""
    seen: set[tuple[int, int]] = set()
    waiting = [(1, 0, root)]
    while waiting and len(seen) < _MOST_FOLDERS:
        crowd, depth, folder = heappop(waiting)
        try:
            status = folder.stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:  # the same for all links to a folder
            continue
        seen.add((status.st_dev, status.st_ino))
        if depth:
            yield folder
        if depth < _DEPTH and not (depth and is_leaf(folder)):
            inner = _inner(folder)
            for each in inner:
                heappush(waiting, (crowd * len(inner), depth + 1, each))


def _inner(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in islice(entries, _MOST_ENTRIES) if entry.is_dir()]
    except OSError:
        return []
