"""The self-test: a program that tries what no program may do, and imports what programs may need.

ladder.py runs the text of this module as a program in a child, so it imports nothing of the package. `report` gives
one JSON object, in which each attempt → «done», or the error that stopped it.
"""

import importlib
import json
import os
import resource
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

MODULES = (
    "argparse", "array", "asyncio.tasks", "bz2", "calendar", "cmath", "colorsys", "concurrent.futures.thread",
    "configparser", "csv", "ctypes.util", "curses", "dbm", "difflib", "email.message", "encodings.idna",
    "encodings.utf_16", "html.parser", "imaplib", "lzma", "mailbox", "multiprocessing.pool",
    "numpy.polynomial.legendre", "plistlib", "pydoc", "scipy.spatial", "shelve", "sqlite3", "sympy.crypto",
    "sympy.diffgeom", "sympy.holonomic", "sympy.physics.units", "sympy.stats", "tomllib", "unittest.mock", "wave",
    "xml.dom.minidom", "zipfile",
)  # fmt: skip
"""Modules that programs sometimes import and that the zygote hasn't loaded."""
FOLDERS = (".", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - these are what is tried


def fork() -> None:
    """Start a process, which exits at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def attempts(host: int, secret: str) -> dict[str, Callable[[], object]]:
    """The attempts by name, on the host's process id and a file that only the host's user may read."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    return {
        "read a secret": Path(secret).read_bytes,
        "look into the host": Path(f"/proc/{host}/environ").read_bytes,
        **{f"write a file in {folder}": partial(tempfile.TemporaryFile, dir=folder) for folder in FOLDERS},
        "open an Internet socket": lambda: socket.socket(socket.AF_INET).close(),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "start a process": fork,
        "signal the host": lambda: os.kill(host, 0),
        "lift a limit": lambda: resource.setrlimit(resource.RLIMIT_AS, unlimited),
    }


def outcome(attempt: Callable[[], object]) -> str:
    """«done» if `attempt` succeeds, otherwise its error."""
    try:
        attempt()
    except (OSError, ValueError, ImportError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def report(host: int, secret: str, installed: list[str]) -> str:
    """All results as JSON: `tried` by attempt, and the modules of `installed` that can't be imported as `missing`."""
    tried = {name: outcome(attempt) for name, attempt in attempts(host, secret).items()}
    imported = {name: outcome(partial(importlib.import_module, name)) for name in installed}
    missing = [f"{name} ({result.partition(':')[0]})" for name, result in imported.items() if result != "done"]
    return json.dumps({"tried": tried, "missing": missing})
