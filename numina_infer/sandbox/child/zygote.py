"""The zygote: a single-threaded process with the libraries loaded and no secrets, which forks a child per program.

As in Android's zygote, imports are paid for once and shared by copy-on-write; the Numina kernel spent half of its time
with programs on importing sympy again for every block. After that, most of a small program's time went into fork and
exit, which walk every page of the libraries: the zygote moves them into huge pages, which have few page tables.
It forks one child for each program or session, sends the signals that the host asks for, and tells the host how each
child ended, from `wait4`. A process below it that lost its own parent becomes its child, and it kills that one.
Run as `python -P -m numina_infer.sandbox.child.zygote FD HOST FOLDER PRELOAD`; it exits with the host.
"""

import gc
import importlib
import itertools
import mmap
import os
import platform
import re
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import PRELOADED
from numina_infer.sandbox.child import program_child as child
from numina_infer.sandbox.child.channel import Channel, ChildEnded, Message, OrderDone, Ready, Resume, Signal, Spawn
from numina_infer.sandbox.child.libc import madvise, prctl
from numina_infer.sandbox.child.lockdown import Lockdown, die_with_parent, offer
from numina_infer.sandbox.child.program_report import REPORT_BYTES, StartupStatus

_PR_SET_CHILD_SUBREAPER = 36
_LEAVING_S = 2.0
"""How long the last children may take to die when the zygote exits."""
_MODULES = (
    "bisect", "cmath", "collections", "copy", "decimal", "encodings.idna", "fractions", "functools", "glob",
    "heapq", "itertools", "math", "mmap", "operator", "queue", "random", "re", "secrets", "statistics", "string",
    "tempfile", "textwrap", "time", "typing", "networkx.algorithms", "scipy.integrate", "scipy.linalg",
    "scipy.optimize", "scipy.special", "sympy.combinatorics", "sympy.geometry", "sympy.ntheory",
    "sympy.parsing.sympy_parser", "sympy.solvers.diophantine",
)  # fmt: skip
_MADV_COLLAPSE = 25
_HUGE_BYTES = 2 * 1024**2
_PRIVATE_ANONYMOUS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0\s*(?:\[heap\]|\[anon:[^]]*\])?$")
_FORK_FAILED = 1 << 8
"""The wait status that the host gets for a child that could not be forked."""


@dataclass(frozen=True, slots=True)
class _Child:
    number: int
    place: int
    """The smallest number that no other living child has; it gives the child its user id."""
    report: mmap.mmap
    startup: StartupStatus


class Zygote:
    """The living children, and the loop that serves the host."""

    def __init__(self, control: Channel, lockdown: Lockdown) -> None:
        self._control = control
        self._lockdown = lockdown
        self._children: dict[int, _Child] = {}
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(signum, lambda _signum, _frame: None)  # the loop reads the number from the socket

    def serve(self) -> child.Job | None:
        """Serve until the host is gone, and return None; in a forked child, return its job at once.

        The child returns from here before it runs, so that few frames of ours lie below its program.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        job = None
        while job is None:
            ready = {fd for fd, _ in poll.poll()}
            if self._wakeup.fileno() in ready:
                signals = self._wakeup.recv(4096)
                self._reap()
                if signal.SIGTERM in signals:
                    break
            if self._control.fileno() in ready:
                mail = self._control.receive()
                if mail is None:
                    break
                job = self._obey(*mail)
        if job is None:
            self._kill_all()
        return job

    def _obey(self, message: Message, fds: list[int]) -> child.Job | None:
        if isinstance(message, Spawn):
            return self._fork(message, fds)
        if isinstance(message, Signal):
            self._signal(message.number, message.signum)
        if isinstance(message, Resume):
            pid = self._signal(message.number, signal.SIGCONT)
            _hand_over(message, *fds)
            self._control.send(OrderDone(message.number, pid))
        return None

    def _signal(self, number: int, signum: int) -> int:
        """Send `signum` to that child; returns its process id, or 0 if it is gone."""
        pid = next((pid for pid, known in self._children.items() if known.number == number), 0)
        if pid:
            _signal_group(pid, signum)
            if signum in (signal.SIGSTOP, signal.SIGCONT):
                offer(pid, is_at_rest=signum == signal.SIGSTOP)
        return pid

    def _fork(self, spawn: Spawn, fds: list[int]) -> child.Job | None:
        zygote, report, startup = os.getpid(), mmap.mmap(-1, REPORT_BYTES), StartupStatus()
        taken = {known.place for known in self._children.values()}
        place = next(number for number in itertools.count() if number not in taken)
        try:
            pid = os.fork()
        except OSError as error:
            self._control.send(ChildEnded(spawn.number, _FORK_FAILED, 0.0, "", f"it could not be forked: {error}"))
            pid = -1
        if pid == 0:
            return child.Job(spawn, zygote, self._lockdown, place, report, startup, *fds)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            report.madvise(mmap.MADV_DONTFORK)  # so that no later child can write into it
            startup.hide()
            self._children[pid] = _Child(spawn.number, place, report, startup)
            self._control.send(OrderDone(spawn.number, pid))
        return None

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                break
            known = self._children.pop(pid, None)
            if known is not None:
                report = known.report[:].rstrip(b"\0").decode("utf-8", "replace")
                known.report.close()
                cpu_s, trouble = usage.ru_utime + usage.ru_stime, known.startup.close()
                with suppress(OSError):  # if the host is gone, the loop is about to notice
                    self._control.send(ChildEnded(known.number, status, cpu_s, report, trouble))
        self._sweep()

    def _sweep(self) -> None:
        """Kill every child that wasn't forked here: an orphan that some program left.

        When it dies, its own children become children of this process, and its death brings the next sweep.
        """
        for pid in _own_children() - self._children.keys():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        """Kill everything below this process, and wait until it is gone."""
        for pid in self._children:
            _signal_group(pid, signal.SIGKILL)
        self._children.clear()
        deadline = time.monotonic() + _LEAVING_S
        while time.monotonic() < deadline and _own_children():
            self._sweep()
            self._reap()
            select.select([self._wakeup], [], [], 0.01)


def _hand_over(resume: Resume, control: int, program: int) -> None:
    host_end = Channel.adopt(control)
    with suppress(OSError):  # if the child is gone, the host hears of that too
        host_end.send(resume, [program])
    host_end.close()
    os.close(program)


def _signal_group(pid: int, signum: int) -> None:
    for send in (os.killpg, os.kill):  # a new child may not have made its group yet
        with suppress(ProcessLookupError, PermissionError):  # the self-test checks that other users' can be signalled
            send(pid, signum)


def _own_children() -> set[int]:
    pid = os.getpid()
    try:
        return {int(entry) for entry in Path(f"/proc/self/task/{pid}/children").read_text().split()}
    except FileNotFoundError:  # a kernel without this list
        return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(entry) == pid}


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _load_libraries() -> dict[str, str]:
    """Import what is installed and exercise sympy; returns the versions found, by name."""
    versions = {}
    for name in (*PRELOADED, *_MODULES):
        with suppress(ImportError):
            module = importlib.import_module(name)
            if name in PRELOADED:
                versions[name] = str(module.__version__)
    _exercise_sympy()
    return versions


def _exercise_sympy() -> None:
    """Fill sympy's tables and caches, since the first call of each kind is slow."""
    import numpy as np
    import sympy as sp

    x, y = sp.symbols("x y")
    sp.solve([x + y - 3, x * y - 2], [x, y])
    sp.solve(x**3 - 6 * x**2 + 11 * x - 6, x)
    sp.factorint(360)
    sp.simplify(sp.sin(x) ** 2 + sp.cos(x) ** 2 + sp.sqrt(8) / (x + 1))
    sp.integrate(x * sp.exp(x) + 1 / (1 + x**2), x)
    sp.diff(sp.log(x), x)
    sp.factor(sp.expand((x + y) ** 3))
    sp.summation(x**2, (x, 1, y))
    sp.limit(sp.sin(x) / x, x, 0)
    sp.lambdify(x, x**2, "numpy")(np.arange(3))
    str(sp.Matrix([[1, 2], [3, 4]]).inv() * sp.N(sp.pi, 30))


def _collapse_heap() -> None:
    """Move the parts of the heap that fill whole huge pages into such.

    MADV_COLLAPSE works whatever the system's setting is; kernels before Linux 6.1 refuse, and nothing is lost.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        if found := _PRIVATE_ANONYMOUS.match(line):
            start, end = (int(number, 16) for number in found.groups())
            for address in range(-(-start // _HUGE_BYTES) * _HUGE_BYTES, end - _HUGE_BYTES + 1, _HUGE_BYTES):
                with suppress(OSError):
                    madvise(address, _HUGE_BYTES, _MADV_COLLAPSE)


def main() -> None:
    """Load the libraries, tell the host, serve it; in a fork, run the child's job."""
    control = Channel.adopt(int(sys.argv[1]))
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # so that it becomes the parent of orphans
    die_with_parent(int(sys.argv[2]), signal.SIGTERM)
    os.environ.pop("PYTHONPATH", None)
    gc.disable()
    libraries = _load_libraries() if sys.argv[4] else {}
    gc.freeze()
    _collapse_heap()
    gc.enable()
    zygote = Zygote(control, Lockdown(Path(sys.argv[3])))
    control.send(Ready({"python": platform.python_version()} | libraries))
    job = zygote.serve()
    del zygote, control
    if job is not None:
        child.run(job)


if __name__ == "__main__":
    main()
