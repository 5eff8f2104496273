"""The self-test's program: it tries what no program may do, and imports what every program may need.

It runs as a program in a child, from its own text, with the host's particulars put in front; so it imports nothing of
ours. It prints one JSON object: what it tried → «done», or why it couldn't.
"""

import importlib
import json
import os
import resource
import socket
from collections.abc import Callable

MODULES = (
    "argparse",
    "array",
    "asyncio.tasks",
    "bz2",
    "calendar",
    "cmath",
    "colorsys",
    "concurrent.futures.thread",
    "configparser",
    "csv",
    "ctypes.util",
    "curses",
    "dbm",
    "difflib",
    "email.message",
    "encodings.idna",
    "encodings.utf_16",
    "html.parser",
    "imaplib",
    "lzma",
    "mailbox",
    "multiprocessing.pool",
    "numpy.polynomial.legendre",
    "plistlib",
    "pydoc",
    "scipy.spatial",
    "shelve",
    "sqlite3",
    "sympy.crypto",
    "sympy.diffgeom",
    "sympy.holonomic",
    "sympy.physics.units",
    "sympy.stats",
    "tomllib",
    "unittest.mock",
    "wave",
    "xml.dom.minidom",
    "zipfile",
)
"""What programs import now and then and the zygote hasn't loaded."""


def read_secret(secret: str) -> None:
    """Read a file that only the host's user may read."""
    with open(secret, "rb") as file:  # noqa: PTH123 - as a program would
        file.read()


def look_into_host(host: int) -> None:
    """Read the environment of the host's process."""
    with open(f"/proc/{host}/environ", "rb") as file:  # noqa: PTH123 - as a program would
        file.read()


def write_file() -> None:
    """Make a file wherever one can be made."""
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
    """Start a process, which leaves at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def signal_host(host: int) -> None:
    """Reach the host's process by a signal that does no harm."""
    os.kill(host, 0)


def raise_limit() -> None:
    """Lift the limit of memory."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def attempts(host: int, secret: str) -> dict[str, Callable[[], None]]:
    """What is tried, by its name."""
    return {
        "read a secret": lambda: read_secret(secret),
        "look into the host": lambda: look_into_host(host),
        "write a file": write_file,
        "open a socket": open_socket,
        "start a process": fork,
        "signal the host": lambda: signal_host(host),
        "lift a limit": raise_limit,
    }


def outcome(attempt: Callable[[], None]) -> str:
    """«done», or the error."""
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
    """All of it as JSON."""
    tried = {name: outcome(attempt) for name, attempt in attempts(host, secret).items()}
    return json.dumps({"tried": tried, "missing": missing_modules(installed)})
