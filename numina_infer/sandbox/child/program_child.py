"""A forked child: it makes itself ready, runs its programs or a session's blocks, and leaves without looking back.

Order: own session and process group, bound to the zygote's life, the pipes on 1 and 2 (0 is /dev/null already), all
other descriptors closed, an empty working directory of its own, kernel limits, then the lock-down of its rung.
No atexit handler runs and no thread is waited for: the exit is `os._exit`.
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
from numina_infer.sandbox.child.channel import Block, Channel, read_programs
from numina_infer.sandbox.child.limits import Limits, die_with_parent, limit_block
from numina_infer.sandbox.child.lockdown import Lockdown
from numina_infer.sandbox.host.program import Runner
from numina_infer.sandbox.host.program_report import Ending, ProgramReport
from numina_infer.sandbox.host.readiness import Readiness

_FIRST_HIGH_FD = 1024
"""What a program isn't to see moves up here, out of the way of those that close or duplicate descriptors."""
_NO_FD_LEFT = ProgramReport(Ending.ERROR, "OSError: [Errno 24] Too many open files")


@dataclass(frozen=True, slots=True)
class Job:
    """What a fork has to do."""

    zygote: int
    """Process id of the parent."""
    limits: Limits
    lockdown: Lockdown
    rung: Rung
    place: int
    """Among the living children."""
    timeout_s: float
    is_session: bool
    directory: str
    """To be made and worked in; the host removes it."""
    stdout: int
    stderr: int
    program: int
    """The programs' file, or the session's socket."""
    report: mmap.mmap
    """Shared with the zygote: here a child that exits leaves its report."""
    readiness: Readiness
    """Shared with it too, until a program begins."""


def run(job: Job) -> NoReturn:
    """Do `job` and end the process: 0 if all went well, 1 with a report, or without readiness, if not."""
    code = 1
    try:
        report = _run(job)
        packed = report.pack()
        job.report[: len(packed)] = packed
        code = 0 if report.ending is Ending.OK else 1
    finally:
        os._exit(code)


def _run(job: Job) -> ProgramReport:
    try:
        programs = [] if job.is_session else read_programs(job.program)
        streams = _confine(job, is_silent=len(programs) > 1)
    except OSError as error:
        job.readiness.fail(str(error))
        raise
    if job.is_session:
        return _serve(Channel.adopt(streams[0]), job.readiness)
    return _run_last(programs, streams, job.readiness)


def _run_last(programs: Sequence[str], streams: Sequence[int], readiness: Readiness) -> ProgramReport:
    """Run all `programs` but the last in silence, then the last with `streams` as its stdout and stderr."""
    runner = Runner()
    readiness.begin()
    for earlier in programs[:-1]:
        runner.run(earlier)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    return runner.run(programs[-1])


def _confine(job: Job, *, is_silent: bool) -> list[int]:
    """Become the process that untrusted code may run in.

    Returns its descriptors beyond the three: a session's socket; for silent programs, what is to be their stdout and
    stderr later on, while those are /dev/null.
    """
    os.setsid()
    die_with_parent(job.zygote)  # the lock-down does it again, since the kernel forgets it
    _forget_signals()
    kept = _move_up([job.program] if job.is_session else [job.stdout, job.stderr] if is_silent else [])
    os.dup2(0 if is_silent else job.stdout, 1)
    os.dup2(0 if is_silent else job.stderr, 2)
    _close_all_but([*kept, *job.lockdown.kept_fds])
    Path(job.directory).mkdir(mode=0o755, parents=True)
    os.chdir(job.directory)
    os.environ.update(HOME=job.directory, TMPDIR=job.directory)
    job.limits.impose(job.timeout_s, is_session=job.is_session)
    job.lockdown.impose(job.rung, job.place, job.zygote, kept[0] if job.is_session else None)
    return kept


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


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


def _serve(control: Channel, readiness: Readiness) -> ProgramReport:
    """Run the blocks that the host sends until it hangs up."""
    runner = Runner()
    while (mail := control.receive()) is not None:
        readiness.begin()
        block, fds = mail
        if isinstance(block, Block) and fds:
            limit_block(block.timeout_s)
            report = runner.run(read_programs(fds[0])[0])
        else:
            report = _NO_FD_LEFT  # the kernel drops a descriptor that has no room
        control.send_bytes(report.pack())
    return ProgramReport(Ending.OK)
