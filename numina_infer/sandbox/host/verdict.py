"""From what the kernel, the host and the child say of a program's end, the one status and the words for it.

The kernel goes first: for a program in a child of its own, the wait status decides, and whatever the program wrote
can't change it. In a session the child lives on, so its report is all there is; it concerns its own trajectory only.
That the sandbox itself failed is never read from a report, since a program can write one.
"""

import os
import signal
from dataclasses import dataclass

from numina_infer.core.errors import SandboxError
from numina_infer.core.records import ExecutionStatus
from numina_infer.sandbox.child.channel import ChildEnded
from numina_infer.sandbox.host.program_report import Ending, ProgramReport

_OUT_OF_MEMORY = "MemoryError: the process was killed when memory ran out."
_STATUS = {
    Ending.OK: ExecutionStatus.OK,
    Ending.ERROR: ExecutionStatus.ERROR,
    Ending.MEMORY: ExecutionStatus.MEMORY,
}


@dataclass(frozen=True, slots=True)
class ProgramEnding:
    """How a program ended, and the note that the model reads below what was printed."""

    status: ExecutionStatus
    note: str = ""


def timed_out(seconds: float) -> ProgramEnding:
    """It ran into its wall time or the cutoff; the sentence is the Numina kernel's."""
    return ProgramEnding(ExecutionStatus.TIMEOUT, f"Timed out after {seconds:g} seconds.")


def flooded(max_output_bytes: int) -> ProgramEnding:
    """It wrote more than is kept."""
    return ProgramEnding(ExecutionStatus.OUTPUT_LIMIT, f"Stopped: more than {max_output_bytes} bytes of output.")


def of_report(report: ProgramReport) -> ProgramEnding:
    """The child says how the program ended."""
    return ProgramEnding(_STATUS[report.ending], report.text)


def of_exit(ended: ChildEnded, *, overran: bool, seconds: float) -> ProgramEnding:
    """The child is gone, `seconds` after the start; `overran` if a SIGKILL is no surprise.

    Raises:
        SandboxError: the child couldn't be made ready for its program.
    """
    is_signalled = os.WIFSIGNALED(ended.wait_status)
    if ended.trouble and not (is_signalled and overran):
        raise SandboxError(f"a child could not be made ready for its program: {ended.trouble}")
    if is_signalled:
        return _of_signal(os.WTERMSIG(ended.wait_status), overran=overran, seconds=seconds)
    code = os.waitstatus_to_exitcode(ended.wait_status)
    if code == 0:
        return ProgramEnding(ExecutionStatus.OK)
    report = ProgramReport.unpack(ended.report)
    if report is None or report.ending is Ending.OK:
        return ProgramEnding(ExecutionStatus.CRASHED, f"Process exited with code {code}.")
    return of_report(report)


def has_come_through(ended: ChildEnded) -> bool:
    """True if the program came to its own end without an error, as the kernel and its child agree."""
    report = ProgramReport.unpack(ended.report)
    return ended.wait_status == 0 and report is not None and report.ending is Ending.OK


def _of_signal(signum: int, *, overran: bool, seconds: float) -> ProgramEnding:
    if signum == signal.SIGXCPU or (signum == signal.SIGKILL and overran):
        return timed_out(seconds)
    if signum == signal.SIGKILL:
        return ProgramEnding(ExecutionStatus.MEMORY, _OUT_OF_MEMORY)  # nobody but the kernel kills like this
    return ProgramEnding(ExecutionStatus.CRASHED, f"Process crashed ({_signal_name(signum)}).")


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"  # a real-time signal
