"""Move the zygote's heap into huge pages, so that a fork copies, and a child's end releases, few page tables.

Most of what a small program cost was that: fork and exit go through every page that the warm libraries fill.
MADV_COLLAPSE does it at once, whatever the system's setting (Linux 6.1; an older kernel refuses, and nothing is lost).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from numina_infer.sandbox.child.libc import madvise

_MADV_COLLAPSE = 25
_HUGE_BYTES = 2 * 1024**2
_PRIVATE_ANONYMOUS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0\s*(?:\[heap\]|\[anon:[^]]*\])?$")


def collapse_heap() -> int:
    """Collapse what of the heap fills whole huge pages; how many there are now."""
    return sum(_collapse(address) for address in _aligned_parts())


def _aligned_parts() -> Iterator[int]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        if found := _PRIVATE_ANONYMOUS.match(line):
            start, end = (int(number, 16) for number in found.groups())
            yield from range(-(-start // _HUGE_BYTES) * _HUGE_BYTES, end - _HUGE_BYTES + 1, _HUGE_BYTES)


def _collapse(address: int) -> bool:
    try:
        madvise(address, _HUGE_BYTES, _MADV_COLLAPSE)
    except OSError:
        return False
    return True
