"""A process that keeps one server and everything it starts, and ends all of it for certain.

Run as a script of its own, with the standard library alone: `python -I keeper.py [--attached] LOG -- COMMAND …`.
It ends the server on a signal (`_ENDS`) and, attached, when the process that started it is gone: its standard input
is a pipe from there, which the kernel closes however that process died.
As child subreaper (prctl(2)) it inherits whatever the server's own children leave behind, so nothing gets away.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

GRACE_S = 10.0
"""From the request to end until everything that is left is killed."""
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(arguments: list[str]) -> int:
    """Start the command, keep it, end it; returns its exit code, or 0 when it was ended on request."""
    is_attached = arguments[0] == "--attached"
    log, _, *command = arguments[is_attached:]
    if not is_attached and (child := _leave_parent()):
        print(child, flush=True)  # noqa: T201 (the process that started us reads it)
        return 0
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signals = _wake_on_signals()
    if not is_attached:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may close
    with Path(log).open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 2)  # our own errors are written there too
        server = subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 (one thread)
        )
    code = _keep(server, [signals, 0] if is_attached else [signals])
    if code is None:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    _kill_children()
    return code or 0


def _leave_parent() -> int:
    """Fork, so that no closing terminal ends us; returns the child's pid in the parent and 0 in the child."""
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
    return child


def _keep(server: "subprocess.Popen[bytes]", ends: list[int]) -> int | None:
    """The exit code of the server once it ends; None when one of `ends` asks to end it."""
    while True:
        ready, _, _ = select.select(ends, [], [], 1.0)
        if (code := server.poll()) is not None:
            return code
        if any(_is_end(descriptor) for descriptor in ready):
            return None
        _reap_orphans(server.pid)


def _is_end(descriptor: int) -> bool:
    """Whether `descriptor` asks to end: a closed pipe, or a signal other than a child's."""
    data = os.read(descriptor, 64)
    return not data or any(number in _ENDS for number in data)


def _wake_on_signals() -> int:
    """A descriptor that becomes readable with each signal, as a byte with its number."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (*_ENDS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reading


def _reap_orphans(server_pid: int) -> None:
    """Reap orphans that ended; `Popen` reaps the server itself."""
    for pid in _children(os.getpid()):
        if pid != server_pid:
            _wait_for(pid)


def _kill_children() -> None:
    """Kill until nothing is left; children of the killed become ours."""
    while pids := _children(os.getpid()):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _wait_for(pid)
        time.sleep(0.01)


def _wait_for(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _children(parent: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(entry) == parent]


def _parent(entry: Path) -> int:
    """The parent of the process whose folder in /proc is `entry`; its name may hold spaces and brackets."""
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
