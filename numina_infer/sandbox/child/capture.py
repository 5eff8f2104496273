"""The host's end of one output pipe: read as it fills, never waited for, bounded.

inspect_ai's and SandboxFusion's deadlocks and false time-outs came from pipes that nobody drained, or that were read
to an end which an orphan held off. Here what is in the pipe when the child has ended is what counts.
"""

import asyncio
import os
from collections.abc import Callable

_CHUNK = 64 * 1024


class Capture:
    """Keeps the first `max_bytes` of what a child writes; says once when more came."""

    def __init__(self, max_bytes: int, on_flood: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_bytes = max_bytes
        self._on_flood = on_flood
        self._data = bytearray()
        self._fd, self.write_end = os.pipe()
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self.drain)

    @property
    def is_flooded(self) -> bool:
        """True once more than `max_bytes` came."""
        return len(self._data) > self._max_bytes

    @property
    def kept(self) -> bytes:
        """What came, up to `max_bytes`."""
        return bytes(self._data[: self._max_bytes])

    def drain(self) -> None:
        """Take what is in the pipe now, and no more than shows that it is too much."""
        while self._fd >= 0:
            try:
                chunk = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                return
            self._data += chunk[: self._max_bytes + 1 - len(self._data)]
            if not chunk or self.is_flooded:
                self.close()
        if self.is_flooded:
            self._on_flood()

    def restart(self) -> None:
        """Forget what came so far."""
        self.drain()
        self._data.clear()

    def close_write_end(self) -> None:
        """Leave writing to the child, which has its own copy."""
        os.close(self.write_end)

    def close(self) -> None:
        """Give the pipe up; what was kept stays."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def captures(max_bytes: int, on_flood: Callable[[], None]) -> tuple[Capture, Capture]:
    """One for stdout and one for stderr; `OSError` and nothing left open if descriptors run out."""
    stdout = Capture(max_bytes, on_flood)
    try:
        return stdout, Capture(max_bytes, on_flood)
    except OSError:
        stdout.close_write_end()
        stdout.close()
        raise
