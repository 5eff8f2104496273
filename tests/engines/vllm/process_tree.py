"""A process that starts a child and that one a grandchild, each in a session of its own and deaf to SIGTERM.

Run as `python process_tree.py FOLDER [ENDING]`: each puts a file with its pid for a name into FOLDER. The first one
then ends with exit code ENDING, if there is one, or stays; with `deaf` for an ending it is deaf as well.
"""

import os
import signal
import sys
from pathlib import Path


def main(folder: Path, ending: str = "") -> None:
    """Be the first of the three."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reading, writing = os.pipe()
    if os.fork() == 0:
        _leave()
        if os.fork() == 0:
            _leave()
        _stay(folder, writing)
    os.read(reading, 1)
    os.read(reading, 1)
    if ending != "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if ending.isdigit():
        (folder / str(os.getpid())).touch()
        sys.exit(int(ending))
    _stay(folder, writing)


def _leave() -> None:
    os.setsid()


def _stay(folder: Path, writing: int) -> None:
    (folder / str(os.getpid())).touch()
    os.write(writing, b".")
    while True:
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
