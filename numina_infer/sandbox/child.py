"""A forked child: it makes itself ready, runs one program or a session's blocks, and leaves without looking back.

Order: own session and process group, bound to the zygote's life, the pipes on 1 and 2 (0 is /dev/null already), all
other descriptors closed, an empty working directory of its own, kernel limits, then whatever lock-down there is.
No atexit handler runs and no thread is waited for: the exit is `os._exit`.
"""

import fcntl
import mmap
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from numina_infer.sandbox.channel import Block, Channel, read_program
from numina_infer.sandbox.limits import Limits, die_with_parent, limit_block
from numina_infer.sandbox.program import Runner
from numina_infer.sandbox.report import Ending, Report

_FIRST_HIGH_FD = 1024
"""A session's socket moves up here, out of the way of programs that close or duplicate descriptors."""
_NO_FD_LEFT = Report(Ending.ERROR, "OSError: [Errno 24] Too many open files")


@dataclass(frozen=True, slots=True)
class Job:
    """What a fork has to do."""

    zygote: int
    """Process id of the parent."""
    limits: Limits
    timeout_s: float
    is_session: bool
    directory: str
    """To be made and worked in; the host removes it."""
    stdout: int
    stderr: int
    program: int
    """The program's file, or the session's socket."""
    report: mmap.mmap
    """Shared with the zygote: here a child that exits leaves its report."""


def run(job: Job) -> NoReturn:
    """Do `job` and end the process: 0 if all went well, 1 with a report if not."""
    code = 1
    try:
        report = _run(job)
        packed = report.pack()
        job.report[: len(packed)] = packed
        code = 0 if report.ending is Ending.OK else 1
    finally:
        os._exit(code)


def _run(job: Job) -> Report:
    try:
        source = "" if job.is_session else read_program(job.program)
        control = _confine(job)
    except OSError as error:
        return Report(Ending.BROKEN, str(error))
    return Runner().run(source) if control is None else _serve(control)


def _confine(job: Job) -> Channel | None:
    """Become the process that untrusted code may run in; the session's channel, if there is one."""
    os.setsid()
    die_with_parent(job.zygote)
    _forget_signals()
    os.dup2(job.stdout, 1)
    os.dup2(job.stderr, 2)
    control = _move_up(job.program) if job.is_session else None
    _close_all_but(control)
    Path(job.directory).mkdir(mode=0o700, parents=True)
    os.chdir(job.directory)
    os.environ.update(HOME=job.directory, TMPDIR=job.directory)
    job.limits.impose(job.timeout_s, is_session=job.is_session)
    return None if control is None else Channel.adopt(control)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _move_up(fd: int) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, min(_FIRST_HIGH_FD, hard - 1))


def _close_all_but(kept: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if kept is not None:
        os.closerange(3, kept)
    os.closerange(3 if kept is None else kept + 1, hard)


def _serve(control: Channel) -> Report:
    """Run the blocks that the host sends until it hangs up."""
    runner = Runner()
    while (mail := control.receive()) is not None:
        block, fds = mail
        if isinstance(block, Block) and fds:
            limit_block(block.timeout_s)
            report = runner.run(read_program(fds[0]))
        else:
            report = _NO_FD_LEFT  # the kernel drops a descriptor that has no room
        control.send_bytes(report.pack())
    return Report(Ending.OK)
