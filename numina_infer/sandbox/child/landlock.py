"""Landlock, where the kernel has it: a process gives up every file but a few trees that it may read, for ever.

Source: the kernel's userspace-api/landlock. What a version of the interface doesn't know isn't asked for.
Beside files it closes TCP (from version 4), signals and abstract sockets to the outside (from version 6), and in every
version looking into processes outside, /proc/PID/environ and mem included.
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
"""How many of the access rights each version knows; later ones know as many as the last."""
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def ruleset(readable: Iterable[Path]) -> int:
    """The descriptor of a set of rules by which only what lies below `readable` can be read, and nothing written.

    Paths that don't exist are passed over.

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
    """Hold this thread and all it starts to `rules`.

    Raises:
        OSError: new privileges aren't given up yet.
    """
    syscall(_RESTRICT_SELF, rules, 0)
