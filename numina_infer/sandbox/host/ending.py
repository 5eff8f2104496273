"""How a program ended, and the text that the model reads.

For a program in a child of its own the kernel's wait status decides, and nothing that the program wrote can change it.
A session's child lives on, so its report is all there is; it concerns its own trajectory only.
A report never says that the sandbox itself failed, since a program can write one.
How much of the output a model is shown is decided by its format (numina_infer/formats).
"""

import os
import re
import signal

from numina_infer.core.errors import SandboxError
from numina_infer.core.records import ExecutionStatus
from numina_infer.sandbox.child.channel import ChildEnded
from numina_infer.sandbox.child.program_report import ProgramReport

_OUT_OF_MEMORY = "MemoryError: the process was killed when memory ran out."
_SIGNALS = {each.value: each.name for each in signal.Signals}
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")
"""Terminal sequences of ECMA-48: CSI, OSC, and the short ones."""
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # Unicode's bidirectional controls (UAX 9)
)


def timed_out(seconds: float) -> ProgramReport:
    """The program reached its time limit or the cutoff; the sentence is the Numina kernel's."""
    return ProgramReport(ExecutionStatus.TIMEOUT, f"Timed out after {seconds:g} seconds.")


def of_exit(ended: ChildEnded, *, overran: bool, seconds: float) -> ProgramReport:
    """The ending of a child that is gone, `seconds` after its start; `overran` if its time was over or it was killed.

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
        return ProgramReport(ExecutionStatus.OK)
    report = ProgramReport.unpack(ended.report)
    if report is None or report.status is ExecutionStatus.OK:
        return ProgramReport(ExecutionStatus.CRASHED, f"Process exited with code {code}.")
    return report


def has_succeeded(ended: ChildEnded) -> bool:
    """True if kernel and child agree that the program ended without an error."""
    report = ProgramReport.unpack(ended.report)
    return ended.wait_status == 0 and report is not None and report.status is ExecutionStatus.OK


def _of_signal(signum: int, *, overran: bool, seconds: float) -> ProgramReport:
    if signum == signal.SIGXCPU or (signum == signal.SIGKILL and overran):
        return timed_out(seconds)
    if signum == signal.SIGKILL:
        return ProgramReport(ExecutionStatus.MEMORY, _OUT_OF_MEMORY)  # only the kernel kills like this
    name = _SIGNALS.get(signum, f"signal {signum}")  # real-time signals have no names
    return ProgramReport(ExecutionStatus.CRASHED, f"Process crashed ({name}).")


def clean(data: bytes | str) -> str:
    """`data` as text without control characters; bytes that are no UTF-8 become U+FFFD."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def compose(stdout: str, note: str) -> str:
    """The stripped output, as in the Numina kernel, and below it the note on the program's ending."""
    return "\n".join(part for part in (stdout.strip(), note.strip("\n")) if part)
