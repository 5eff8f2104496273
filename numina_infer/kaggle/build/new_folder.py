"""Makes a folder completely or not at all: a build that fails leaves nothing behind and removes nothing else."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def made_whole(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Make `folder`, in which the block makes `names`; if the block raises, all of that is removed again.

    Everything that was there before stays, and so does a parent that another program has put something into.
    """
    new_names = [folder / name for name in names if not (folder / name).exists()]
    new_folders = [each for each in (folder, *folder.parents) if not each.exists()]
    with ExitStack() as undoing:
        undoing.callback(_remove, new_names, new_folders)
        folder.mkdir(parents=True, exist_ok=True)
        yield
        undoing.pop_all()


def _remove(paths: Iterable[Path], folders: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for folder in folders:
        with suppress(OSError):  # one that isn't empty has another's files
            folder.rmdir()
