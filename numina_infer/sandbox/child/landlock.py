"""Landlock, where the kernel has it: for good, a process may only read a few folders, and write nothing.

Source: the kernel's userspace-api/landlock. Each version of the interface is only asked for rights that it knows.
It also blocks TCP (from version 4), and signals and abstract sockets to other processes (from version 6). In every
version it blocks looking into processes outside, /proc/PID/environ and mem included.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from numina_infer.sandbox.child.libc import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_FOR_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many access rights each version knows; later versions count as the last one here."""
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def ruleset(readable: Iterable[Path]) -> int:
    """The descriptor of a rule set: files below `readable` can be read, everything else and all writing is refused.

    Paths that don't exist are skipped.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    version = syscall(_CREATE_RULESET, None, 0, _ASK_FOR_VERSION)
    rules = syscall(_CREATE_RULESET, *_attributes(version), 0)
    os.set_inheritable(rules, False)
    for path in readable:
        _allow_reading(rules, path)
    return rules


def _attributes(version: int) -> tuple[bytes, int]:
    files = (1 << _FILE_RIGHTS_OF_VERSION.get(version, 16)) - 1
    packed = struct.pack("=Q", files)
    if version >= 4:
        packed += struct.pack("=Q", _BIND_AND_CONNECT_TCP)
    if version >= 6:
        packed += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    return packed, len(packed)


def _allow_reading(rules: int, path: Path) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def restrict(rules: int) -> None:
    """Apply `rules` to this thread and to all that it starts.

    Raises:
        OSError: the process hasn't given up new privileges yet.
    """
    syscall(_RESTRICT_SELF, rules, 0)
