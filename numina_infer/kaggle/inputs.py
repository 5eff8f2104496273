"""What is attached to a Kaggle notebook, wherever Kaggle puts it.

Two layouts have been seen under /kaggle/input. The older has everything side by side, `SLUG/…`; the newer sorts it,
`competitions/SLUG/…`, `datasets/OWNER/SLUG/…` and `models/OWNER/MODEL/…`. In both a model's files lie in
`MODEL/FRAMEWORK/VARIATION/VERSION`. So folders are known by what is in them, and no path is written down anywhere.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path

from numina_infer.core.config import require

LOCK = "requirements.lock"
"""What a wheelhouse is known by: its wheels' names, versions and hashes, beside the wheels."""
_PARTS_BEHIND_OWNER = 4
"""Of a model's name: MODEL/FRAMEWORK/VARIATION/VERSION."""
_DEPTH = 8
"""Folders below the root; a model's are six deep in the newer layout, and some have one more inside."""
_MOST_ENTRIES = 2000
"""Looked at of one folder: data sets of a million files have them in folders that nothing of ours is below."""
_MOST_FOLDERS = 2000
"""Entered in all, those with few others beside them first: models and wheels lie there, images don't."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is attached."""

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
        """Every folder with a config.json, in the order of their paths; what lies inside one belongs to it."""
        return self._find(_is_model)

    def model(self, name: str = "") -> Path:
        """The only model, or the one that `name` picks: part of its path, in any case of letters.

        Where `name` is whole folders of some paths, such as `7b/1`, it doesn't pick others that only contain it.
        `OWNER/MODEL/FRAMEWORK/VARIATION/VERSION`, Kaggle's own name, does without its owner in the older layout.

        Raises:
            ConfigError: none or several match; the text lists what is there.
        """
        there = self.models()
        found = _named(name, there, self.root) or _named(_without_owner(name), there, self.root)
        require(bool(there), f"no model is attached: no folder in {self.root} has a config.json; add one as an input")
        named = f"named like {name!r}" if name else "attached"
        listed = f"there are {_list(there, self.root)}"
        require(bool(found), f"no model is {named} in {self.root}; {listed}")
        require(
            len(found) == 1, f"{len(found)} models are {named}; give more of one's path: {_list(found, self.root)}"
        )
        return found[0]

    def wheelhouse(self) -> Path | None:
        """The folder of wheels, with a lock, that has vLLM; None where there is none.

        Raises:
            ConfigError: there are several; the text lists them.
        """
        found = self._find(_is_wheelhouse)
        require(len(found) < 2, f"{len(found)} wheelhouses are attached; leave one of them: {_list(found, self.root)}")
        return found[0] if found else None

    def _find(self, is_wanted: Callable[[Path], bool]) -> tuple[Path, ...]:
        return tuple(sorted(folder for folder in _folders(self.root, is_wanted) if is_wanted(folder)))


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


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
    """The folders below `root`, none twice; what `is_leaf` holds for isn't entered."""
    seen: set[tuple[int, int]] = set()
    waiting = [(1, 0, root)]
    while waiting and len(seen) < _MOST_FOLDERS:
        crowd, depth, folder = heappop(waiting)
        identity = _identity(folder)
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        if depth:
            yield folder
        if depth < _DEPTH and not (depth and is_leaf(folder)):
            inner = _inner(folder)
            for each in inner:
                heappush(waiting, (crowd * len(inner), depth + 1, each))


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from others, by whatever links it is reached; None where it can't be looked at."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _inner(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in islice(entries, _MOST_ENTRIES) if entry.is_dir()]
    except OSError:
        return []
