"""The self-test: a program that tries what no program may do, and imports what programs may need.

ladder.py runs the text of this module as a program in a child, so it imports nothing of the package. `report` gives
one JSON object, in which each attempt → «done», or the error that stopped it.
"""

import importlib
import json
import os
import resource
import socket
from collections.abc import Callable

MODULES = (
    "argparse", "array", "asyncio.tasks", "bz2", "calendar", "cmath", "colorsys", "concurrent.futures.thread",
    "configparser", "csv", "ctypes.util", "curses", "dbm", "difflib", "email.message", "encodings.idna",
    "encodings.utf_16", "html.parser", "imaplib", "lzma", "mailbox", "multiprocessing.pool",
    "numpy.polynomial.legendre", "plistlib", "pydoc", "scipy.spatial", "shelve", "sqlite3", "sympy.crypto",
    "sympy.diffgeom", "sympy.holonomic", "sympy.physics.units", "sympy.stats", "tomllib", "unittest.mock", "wave",
    "xml.dom.minidom", "zipfile",
)  # fmt: skip
"""Modules that programs sometimes import and that the zygote hasn't loaded."""


def read(path: str) -> None:
    """Read a file."""
    with open(path, "rb") as file:  # noqa: PTH123 - as a program would
        file.read()


def write_file() -> None:
    """Make a file in any folder that allows it."""
    last: OSError | None = None
    for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - these are what is tried
        path = f"{folder}/numina-infer-probe"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except OSError as error:
            last = error
        else:
            os.unlink(path)  # noqa: PTH108 - as a program would
            return
    raise last or OSError("no folder")


def open_socket() -> None:
    """Open a socket of any family."""
    for family in (socket.AF_INET, socket.AF_UNIX):
        socket.socket(family).close()


def fork() -> None:
    """Start a process, which exits at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def attempts(host: int, secret: str) -> dict[str, Callable[[], None]]:
    """The attempts by name, on the host's process id and a file that only the host's user may read."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    return {
        "read a secret": lambda: read(secret),
        "look into the host": lambda: read(f"/proc/{host}/environ"),
        "write a file": write_file,
        "open a socket": open_socket,
        "start a process": fork,
        "signal the host": lambda: os.kill(host, 0),
        "lift a limit": lambda: resource.setrlimit(resource.RLIMIT_AS, unlimited),
    }


def outcome(attempt: Callable[[], None]) -> str:
    """«done» if `attempt` succeeds, otherwise its error."""
    try:
        attempt()
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def missing_modules(installed: list[str]) -> list[str]:
    """Those of `installed` that can't be imported here."""
    missing = []
    for name in installed:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            missing.append(f"{name} ({type(error).__name__})")
    return missing


def report(host: int, secret: str, installed: list[str]) -> str:
    """All results as JSON: `tried` by attempt, and the `missing` modules."""
    tried = {name: outcome(attempt) for name, attempt in attempts(host, secret).items()}
    return json.dumps({"tried": tried, "missing": missing_modules(installed)})
