"""What goes wrong with the run log: the disk is full or hangs, nothing may be written, somebody removes it.

The kernel itself does it: the writer's descriptors are turned to a device that is full, to a file that is sealed, or
to a pipe that nobody reads, on which a write never returns.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drills.fault import Expected, Fault, LogState
from drills.scene import Moment, Scene

_DISK_PATIENCE_S = 2.0


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


def _hang_disk(scene: Scene, numbers: frozenset[int]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(65536))
    os.set_blocking(writer, True)

    @contextmanager
    def clogged() -> Iterator[None]:
        try:
            yield
        finally:
            os.close(writer)
            os.close(reader)  # a write that hangs ends in an error

    scene.around.append(clogged)
    scene.disk_patience_s = _DISK_PATIENCE_S
    scene.then(numbers, lambda moment: _turn(moment.folder, lambda: os.dup(writer)))


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
        "disk-hangs",
        "From half of the problems on a write to the disk never returns.",
        _hang_disk,
        Expected(says_once=("and the log is given up",), log=LogState.PART),
        at=(0.5,),
    ),
    Fault(
        "log-removed",
        "Somebody removes the run folder while the contest runs.",
        _remove_log,
        Expected(says_once=("was removed while the run went on",), log=LogState.GONE),
        at=(0.6,),
    ),
)
