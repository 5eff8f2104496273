"""One forked child seen from the host: its output, its reports if it keeps a session, and its end.

All methods are called from the event loop, and only `finish` waits.
inspect_ai and SandboxFusion deadlocked or timed out because nobody drained their pipes, or because they read to an end
that an orphan held off. Here output ends with what is in the pipe when the child has ended.
"""

import asyncio
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import anyio

from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import ExecutionStatus
from numina_infer.sandbox.child.channel import Channel, ChildEnded, Resume, Signal, opened_programs
from numina_infer.sandbox.child.program_report import REPORT_BYTES, ProgramReport
from numina_infer.sandbox.host.program_clock import ProgramClock, TimeLimit

_CHUNK = 64 * 1024
_SHORTEST_WAIT_S = 0.002
_UNREADABLE = ProgramReport(ExecutionStatus.ERROR, "The program's report is unreadable.")


class ServerLostError(SandboxError):
    """The zygote died, and with it the program that it ran."""


@contextmanager
def until(cutoff: Cutoff | None, timeout_s: float = math.inf) -> Iterator[None]:
    """Leave the block without an exception after `timeout_s` or at `cutoff`, also if that moves."""
    with ExitStack() as scopes:
        if cutoff is not None:
            scopes.enter_context(cutoff.scope())
        scopes.enter_context(anyio.move_on_after(timeout_s))
        yield


class Capture:
    """The host's end of one output pipe: keeps the first `max_bytes`, and calls `on_flood` when more comes."""

    def __init__(self, max_bytes: int, on_flood: Callable[[], None]) -> None:
        self._max_bytes = max_bytes
        self._on_flood = on_flood
        self._data = bytearray()
        self._fd = -1

    def open(self) -> int:
        """Open the pipe; returns the end to write to, which the caller closes."""
        self._fd, write_end = os.pipe()
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self.drain)
        return write_end

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

    def close(self) -> None:
        """Close the pipe; the output so far is kept."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


Order = Callable[[Signal | Resume, Sequence[int]], None]
"""Sends the zygote a message and descriptors, or does nothing if it is dead; `OSError` if no descriptors are left."""


class Process:
    """A child between its fork and its end."""

    def __init__(self, number: int, order: Order, max_output_bytes: int) -> None:
        self.number = number
        self._order = order
        self._control: Channel | None = None
        self._settled = anyio.Event()
        self.clock = ProgramClock()
        self.on_end: Callable[[], object] = lambda: None
        """Called once it has ended."""
        self.report: ProgramReport | None = None
        """How a session's current block ended; None while it runs."""
        self.end: ChildEnded | None = None
        """The kernel's word on its end."""
        self.is_lost = False
        """True if its zygote died, so that the kernel's word never comes."""
        self.killed_at = math.inf
        """Loop time at which the kill was ordered."""
        self.has_begun = False
        """True once a session's child was given a block."""
        self.is_at_rest = False
        """True while a session's child is stopped between its blocks."""
        self.stdout, self.stderr = Capture(max_output_bytes, self.kill), Capture(max_output_bytes, self.kill)

    @property
    def is_killed(self) -> bool:
        """True once the kill was ordered."""
        return self.killed_at < math.inf

    def can_go_on(self) -> bool:
        """Read what the child said at rest; True if it can take another block after that."""
        self._read_report()
        self.stdout.drain()
        self.stderr.drain()
        return self.is_usable

    @property
    def is_usable(self) -> bool:
        """True while it can take another block of a session, by what was read so far."""
        return not self.is_gone and not self.is_killed and self._control is not None

    @property
    def is_quiet(self) -> bool:
        """True if it certainly runs no program any more."""
        return self.is_gone or (self.report is not None and not self.is_killed)

    @property
    def is_gone(self) -> bool:
        """True if it has ended, or its zygote."""
        return self.is_lost or self.end is not None

    @property
    def never_began(self) -> bool:
        """True if it ended before any program of it began, so that none is to blame."""
        return self.end is not None and bool(self.end.trouble)

    @property
    def has_succeeded(self) -> bool:
        """True if a session's block ended without an error and within its limits."""
        is_ok = self.report is not None and self.report.status is ExecutionStatus.OK
        return is_ok and not self.is_flooded and not self.is_killed

    @property
    def cpu_s(self) -> float:
        """Processor seconds of the program, by the kernel's count."""
        return self.clock.spent_s if self.end is None else self.end.cpu_s

    @property
    def is_flooded(self) -> bool:
        """True if it wrote more than is kept."""
        return self.stdout.is_flooded or self.stderr.is_flooded

    @contextmanager
    def child_ends(self, programs: Sequence[str] | None) -> Iterator[list[int]]:
        """Open the child's descriptors: two pipes, and its programs' file or, with None, a session's socket.

        This process's copies are closed after the block.
        """
        with ExitStack() as copies:
            fds = []
            for capture in (self.stdout, self.stderr):
                fds.append(capture.open())
                copies.callback(os.close, fds[-1])
            if programs is None:
                self._control, theirs = Channel.pair()
                copies.callback(theirs.close)
                self._control.set_nonblocking()
                asyncio.get_running_loop().add_reader(self._control, self._read_report)
                fds.append(theirs.fileno())
            else:
                fds.append(copies.enter_context(opened_programs(programs)))
            yield fds

    def start_block(self, code: str, timeout_s: float) -> None:
        """Have a session's child run `code`; call this only if it `can_go_on`.

        Raises:
            SandboxError: this process has no descriptors or memory left; the child is as it was.
        """
        if self._control is None:
            raise SandboxError("a child without a session takes no block")
        try:
            with opened_programs([code]) as program:
                self._begin_block()
                self._order(Resume(self.number, timeout_s), [self._control.fileno(), program])
        except OSError as error:
            raise SandboxError(f"this process can not open what a program needs: {error}") from error

    def _begin_block(self) -> None:
        self.report, self._settled, self.has_begun, self.is_at_rest = None, anyio.Event(), True, False
        self.stdout.restart()
        self.stderr.restart()

    async def finish(self, limit: TimeLimit) -> None:
        """Wait for the program's end; when its time is over, kill it and wait `limit.grace_s` for that.

        A program that ends just then keeps its own ending: what the zygote tells after the kill is the truth.

        Raises:
            ServerLostError: the zygote died meanwhile.
        """
        cutoff = limit.cutoff
        while not self._settled.is_set() and not (cutoff is not None and cutoff.has_passed):
            left_s = self.clock.left_s(limit)
            if left_s <= 0:
                break
            with until(cutoff, max(left_s, _SHORTEST_WAIT_S)):
                await self._settled.wait()
        if not self._settled.is_set():
            self.kill()
            with until(None, limit.grace_s):
                await self._settled.wait()
        if self.is_lost and not self.is_killed and self.report is None:
            raise ServerLostError("the sandbox's zygote died while it ran a program")
        self.stdout.drain()
        self.stderr.drain()

    def pause(self) -> None:
        """Stop a session's child between blocks, so that threads of its program take no processor."""
        self._order(Signal(self.number, signal.SIGSTOP), ())
        self.is_at_rest = True

    def kill(self) -> None:
        """Order the child's death, once."""
        if not self.is_gone and not self.is_killed:
            self.killed_at = anyio.current_time()
            self._order(Signal(self.number, signal.SIGKILL), ())

    def conclude(self, end: ChildEnded | None) -> None:
        """Take note of its end; None if its zygote died."""
        self._read_report()
        self.end, self.is_lost, self.clock.pid = end, end is None, 0
        self._settled.set()
        self.on_end()

    def close(self) -> None:
        """Kill it if it lives, and close its pipes and its socket."""
        self.kill()
        self.stdout.close()
        self.stderr.close()
        self._hang_up()

    def _read_report(self) -> None:
        """Read until nothing is left; a child that sends more than one report per block is killed."""
        while self._control is not None:
            try:
                packet = self._control.receive_bytes(REPORT_BYTES)
            except BlockingIOError:
                return
            if not packet:
                self._hang_up()
            elif self._settled.is_set():
                self._hang_up()
                self.kill()
            else:
                self.report = ProgramReport.unpack(packet.decode("utf-8", "replace")) or _UNREADABLE
                self._settled.set()

    def _hang_up(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
