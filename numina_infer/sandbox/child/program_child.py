"""A forked child: it confines itself, runs its programs or a session's blocks, and exits.

It confines itself in this order: own session and process group, death with the zygote, pipes as stdout and stderr
(stdin is /dev/null already), all other descriptors closed, an empty working directory, kernel limits, lock-down.
It exits by `os._exit`, so that no atexit handler runs and no thread is waited for.
"""

import fcntl
import mmap
import os
import resource
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from numina_infer.core.config import Rung
from numina_infer.core.records import ExecutionStatus
from numina_infer.sandbox.child.channel import Channel, Resume, Spawn, read_programs
from numina_infer.sandbox.child.lockdown import Lockdown, die_with_parent, limit_block, limit_resources
from numina_infer.sandbox.child.program_report import ProgramReport, StartupStatus
from numina_infer.sandbox.child.runner import Runner

_FIRST_HIGH_FD = 1024
"""Descriptors that a program shouldn't touch move up to here, since programs close and duplicate low ones."""
_NO_FD_LEFT = ProgramReport(ExecutionStatus.ERROR, "OSError: [Errno 24] Too many open files")


@dataclass(frozen=True, slots=True)
class Job:
    """The task of one child."""

    spawn: Spawn
    zygote: int
    """Process id of the parent."""
    lockdown: Lockdown
    place: int
    """The child's number among the living ones."""
    report: mmap.mmap
    """Shared with the zygote: a child that exits leaves its report here."""
    startup: StartupStatus
    """Shared with the zygote until a program begins."""
    stdout: int
    stderr: int
    program: int
    """The programs' file, or the session's socket."""


def run(job: Job) -> NoReturn:
    """Do `job` and exit: with 0 if its program ended well, else with 1 after a report, or after a failed start."""
    code = 1
    try:
        report = _run(job)
        packed = report.pack()
        job.report[: len(packed)] = packed
        code = 0 if report.status is ExecutionStatus.OK else 1
    finally:
        os._exit(code)


def _run(job: Job) -> ProgramReport:
    try:
        programs = [] if job.spawn.is_session else read_programs(job.program)
        kept = _confine(job, is_silent=len(programs) > 1)
    except OSError as error:
        job.startup.fail(str(error))
        raise
    if job.spawn.is_session:
        return _serve(Channel.adopt(kept[0]), job.startup)
    return _run_last(programs, kept, job.startup)


def _run_last(programs: Sequence[str], streams: Sequence[int], startup: StartupStatus) -> ProgramReport:
    """Run all `programs` but the last in silence, then the last with `streams` as its stdout and stderr."""
    runner = Runner()
    startup.begin()
    for earlier in programs[:-1]:
        runner.run(earlier)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    return runner.run(programs[-1])


def _confine(job: Job, *, is_silent: bool) -> list[int]:
    """Become a process in which untrusted code may run.

    Returns the descriptors kept beyond the first three: a session's socket, or the pipes that the last program gets as
    stdout and stderr after silent ones, whose own are /dev/null.
    """
    spawn = job.spawn
    os.setsid()
    die_with_parent(job.zygote)  # again in the lock-down, since a change of user clears it
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kept = _move_up([job.program] if spawn.is_session else [job.stdout, job.stderr] if is_silent else [])
    os.dup2(0 if is_silent else job.stdout, 1)
    os.dup2(0 if is_silent else job.stderr, 2)
    _close_all_but([*kept, *job.lockdown.kept_fds])
    Path(spawn.directory).mkdir(mode=0o755, parents=True)
    os.chdir(spawn.directory)
    os.environ.update(HOME=spawn.directory, TMPDIR=spawn.directory)
    limit_resources(spawn.memory_bytes, spawn.max_file_bytes, spawn.timeout_s, is_session=spawn.is_session)
    control = kept[0] if spawn.is_session else None
    job.lockdown.impose(Rung(spawn.rung), job.place, job.zygote, control)
    return kept


def _move_up(fds: Sequence[int]) -> list[int]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, min(_FIRST_HIGH_FD, hard - 1 - len(fds))) for fd in fds]


def _close_all_but(kept: Sequence[int]) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, hard)


def _serve(control: Channel, startup: StartupStatus) -> ProgramReport:
    """Run the programs that the host sends, until it hangs up."""
    runner = Runner()
    while (mail := control.receive()) is not None:
        startup.begin()
        message, fds = mail
        if isinstance(message, Resume) and fds:
            limit_block(message.timeout_s)
            report = runner.run(read_programs(fds[0])[0])
        else:
            report = _NO_FD_LEFT  # the kernel drops a descriptor that has no room
        control.send_bytes(report.pack())
    return ProgramReport(ExecutionStatus.OK)
