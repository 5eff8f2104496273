"""The host's end of one output pipe: it reads as the pipe fills, and keeps a bounded part of the output.

inspect_ai and SandboxFusion deadlocked or timed out because nobody drained their pipes, or because they read to an end
that an orphan held off. Here output ends with what is in the pipe when the child has ended.
"""

import asyncio
import os
from collections.abc import Callable

_CHUNK = 64 * 1024


class Capture:
    """Keeps the first `max_bytes` that a child writes, and calls `on_flood` when more comes."""

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
        """The output so far, up to `max_bytes`."""
        return bytes(self._data[: self._max_bytes])

    def drain(self) -> None:
        """Read what is in the pipe now, and at most one byte beyond `max_bytes`."""
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
        """Drop the output so far."""
        self.drain()
        self._data.clear()

    def close_write_end(self) -> None:
        """Close this process's copy of the end that the child writes to."""
        os.close(self.write_end)

    def close(self) -> None:
        """Close the pipe; the output so far is kept."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def captures(max_bytes: int, on_flood: Callable[[], None]) -> tuple[Capture, Capture]:
    """One for stdout and one for stderr; if `OSError` is raised, no descriptor is left open."""
    stdout = Capture(max_bytes, on_flood)
    try:
        return stdout, Capture(max_bytes, on_flood)
    except OSError:
        stdout.close_write_end()
        stdout.close()
        raise
