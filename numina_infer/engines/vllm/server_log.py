"""Reads a server's log: how far its start is, and why it failed.

vLLM ends a failed start with «Engine core initialization failed. See root cause above», which hides the cause; it
stands in an earlier traceback, of another process.
"""

import re
from pathlib import Path

_TAIL_BYTES = 256 * 1024
_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\)\s*)?(?:(?:INFO|WARNING|ERROR|DEBUG)\s+[\d-]+ [\d:]+\s+\[[^\]]*\]\s*)?")
_EXCEPTION = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*)?(?:Error|Exception|Interrupt|Exit|Killed)\b\s*(?::.*)?$"
    r"|^[a-z_]\w*(?:\.\w+)*\.[A-Z]\w*: .+$"  # some, such as triton's OutOfResources, have names of other kinds
)
_KILLED = re.compile(r"Failed core proc\(s\): \{.*: -(?P<signal>\d+)")
_NO_MODULE = re.compile(r": (?P<said>No module named .+)$")
_USAGE = re.compile(r"^(?:\S+\.py|vllm)?:?\s*error: ")
_VALIDATION = re.compile(r"\d+ validation errors? for \w+$")
"""Pydantic's; what was wrong stands in the next line."""
_MASKS = ("Engine core initialization failed", "Engine core proc", "WorkerProc initialization failed")
_STAGE = re.compile(r"^\([^)]*pid=\d+\)\s*(?:INFO|WARNING)\s+[\d-]+ [\d:]+\s+\[[^\]]*\]\s*(?P<said>.*)$")


def read_log(file: Path) -> list[str]:
    """The last lines of the log, at most 256 kB of it."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def cause(lines: list[str]) -> str:
    """The line that best says why the server ended: the last exception before the one that hides it."""
    found = ""
    bare = [_bare(line) for line in lines]
    for line, following in zip(bare, [*bare[1:], ""], strict=False):
        if _USAGE.match(line):
            return line
        if missing := _NO_MODULE.search(line):
            found = missing["said"]
        if _EXCEPTION.match(line):
            if any(mask in line for mask in _MASKS):
                found = _killed(line) or found
                break
            found = f"{line}: {following}" if _VALIDATION.search(line) else line
    return found


def _killed(line: str) -> str:
    """The signal that killed the engine, where the line that hides the cause names one."""
    killed = _KILLED.search(line)
    return f"its engine core was killed by signal {killed['signal']}; memory may have run out" if killed else ""


def tail(lines: list[str], count: int = 12) -> str:
    """The last `count` lines that say something."""
    return "\n".join(f"  {line}" for line in [line for line in lines if line.strip()][-count:])


def stage(lines: list[str]) -> str:
    """The last step that the server reported."""
    said = [match["said"] for line in lines if (match := _STAGE.match(line)) and match["said"]]
    return said[-1][:100] if said else ""


def _bare(line: str) -> str:
    return _PREFIX.sub("", line).strip()
