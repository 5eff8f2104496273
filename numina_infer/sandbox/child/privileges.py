"""Give up privileges: capabilities, the user id, and new privileges. None of these steps can be undone.

See capabilities(7) and credentials(7).
"""

import os
import struct
from pathlib import Path

from numina_infer.sandbox.child.libc import prctl, syscall

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 4, 8, 38
_CAPSET = 126
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def give_up_capabilities(*, keep: int = 0) -> None:
    """Drop all capabilities but those of the mask `keep`, which must be held already."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    syscall(_CAPSET, header, struct.pack("=6I", low, low, 0, high, high, 0))


def become(uid: int, *, is_reader: bool) -> None:
    """Become the user `uid`, without groups and capabilities; a reader keeps the capability to read any file.

    Raises:
        OSError: this process isn't allowed to.
    """
    keep = _reading_capability() if is_reader else 0
    if is_reader:
        prctl(_PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PermissionError(f"the user can't be changed to {uid} here: {error.strerror}") from error
    give_up_capabilities(keep=keep)
    prctl(_PR_SET_DUMPABLE, 1)  # else its own /proc entries belong to root


def _reading_capability() -> int:
    """The weakest held capability that lets this process read the interpreter's folder."""
    held = permitted_capabilities()
    for capability in (1 << _DAC_READ_SEARCH, 1 << _DAC_OVERRIDE):
        if held & capability:
            return capability
    raise PermissionError("no capability to read the interpreter's folder is held")


def permitted_capabilities() -> int:
    """The mask of the capabilities that this process holds."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)


def give_up_new_privileges() -> None:
    """Let no program executed later gain a privilege; Landlock and filters require this."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
