"""What goes wrong with the run log: the disk is full, nothing may be written, somebody removes it.

The kernel itself does it: the writer's descriptors are turned to a device that is full, or to a file that is sealed.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from numina_infer.drill.fault import Expected, Fault, LogState
from numina_infer.drill.scene import Moment, Scene


def _turn(folder: Path, open_instead: Callable[[], int]) -> None:
    """Turn every descriptor of this process on a file in `folder` to another one."""
    instead = open_instead()
    try:
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if entry.readlink().parent == folder:
                    os.dup2(instead, int(entry.name), inheritable=False)
    finally:
        os.close(instead)


def _full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def _sealed() -> int:
    file = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    return file


def _fill_disk(scene: Scene, numbers: frozenset[int]) -> None:
    scene.then(numbers, lambda moment: _turn(moment.folder, _full))


def _refuse_writes(scene: Scene, numbers: frozenset[int]) -> None:
    scene.then(numbers, lambda moment: _turn(moment.folder, _sealed))


def _remove(moment: Moment) -> None:
    shutil.rmtree(moment.folder, ignore_errors=True)


def _remove_log(scene: Scene, numbers: frozenset[int]) -> None:
    scene.then(numbers, _remove)


DISK_FAULTS = (
    Fault(
        "disk-full",
        "The disk is full when the log has half of the problems.",
        _fill_disk,
        Expected(says_once=("No space left on device",), log=LogState.PART),
        at=(0.5,),
    ),
    Fault(
        "read-only-folder",
        "The output folder takes no more writes from early on.",
        _refuse_writes,
        Expected(says_once=("Operation not permitted",), log=LogState.PART),
        at=(0.2,),
    ),
    Fault(
        "log-removed",
        "Somebody removes the run folder while the contest runs.",
        _remove_log,
        Expected(says_once=("was removed while the run went on",), log=LogState.GONE),
        at=(0.6,),
    ),
)
