"""One forked child seen from the host: its output, its reports if it keeps a session, and its end.

Everything is called from the event loop, and only `finish` waits.
"""

import asyncio
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.sandbox.child.capture import captures
from numina_infer.sandbox.child.channel import Channel, ChildEnded, Refused, Resume, Signal, opened_programs
from numina_infer.sandbox.host.program_report import REPORT_BYTES, Ending, ProgramReport

_CPUCLOCK_SCHED = 2
"""With a process id it makes the id of that process's clock, as glibc's clock_getcpuclockid does."""
_SHORTEST_WAIT_S = 0.002


class ServerLostError(SandboxError):
    """The zygote died, and what it ran with it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The end of a child whose zygote died: the kernel's word on it never came."""


@contextmanager
def until(cutoff: Cutoff | None, timeout_s: float = math.inf) -> Iterator[None]:
    """Leave the block quietly after `timeout_s` or at `cutoff`, wherever that moves."""
    with ExitStack() as scopes:
        if cutoff is not None:
            scopes.enter_context(cutoff.scope())
        scopes.enter_context(anyio.move_on_after(timeout_s))
        yield


Order = Callable[[Signal | Resume, Sequence[int]], None]
"""Sends the zygote a message and descriptors; without effect if it is dead, `OSError` if it can't be kept for it."""
_UNREADABLE = ProgramReport(Ending.ERROR, "The program's report is unreadable.")


class Process:
    """A child between its fork and its end."""

    def __init__(self, number: int, order: Order, max_output_bytes: int, *, is_session: bool) -> None:
        self.number = number
        self._order = order
        self._control: Channel | None = None
        self._childs_control: Channel | None = None
        if is_session:
            self._control, self._childs_control = Channel.pair()
        self._settled = anyio.Event()
        self._started, self._cpu_before, self._queued_before = anyio.current_time(), 0.0, 0.0
        self._asked_at: float | None = None
        """Since when the zygote has orders for it to carry out, loop time; None if it has none."""
        self._num_asked = self._num_answered = 0
        self._delayed_s = 0.0
        self.pid = 0
        """0 until the zygote tells it."""
        self._on_end: list[Callable[[], object]] = []
        self.report: ProgramReport | None = None
        """How the block that runs in a session ended."""
        self.end: ChildEnded | Refused | Lost | None = None
        self.killed_at = math.inf
        """Loop time at which its death was asked for."""
        self.has_begun = False
        """True once a session's child was given a block."""
        self.is_at_rest = False
        """True while a session's child is stopped between its blocks."""
        self.stdout, self.stderr = captures(max_output_bytes, self.kill)
        if self._control is not None:
            self._control.set_nonblocking()
            asyncio.get_running_loop().add_reader(self._control, self._read_report)

    @property
    def is_killed(self) -> bool:
        """True once its death was asked for."""
        return self.killed_at < math.inf

    def can_go_on(self) -> bool:
        """Read whatever it said at rest; True if it can take another block after that."""
        self._read_report()
        self.stdout.drain()
        self.stderr.drain()
        return self.is_usable

    @property
    def is_usable(self) -> bool:
        """True while it can take another block of a session, as far as was read."""
        return self.end is None and not self.is_killed and self._control is not None

    @property
    def is_quiet(self) -> bool:
        """True if it certainly runs no program any more."""
        return self.end is not None or (self.report is not None and not self.is_killed)

    @property
    def has_succeeded(self) -> bool:
        """True if a session's block came to its end without an error, within its bounds."""
        is_well = self.report is not None and self.report.ending is Ending.OK
        return is_well and not self.is_flooded and not self.is_killed

    @property
    def cpu_s(self) -> float:
        """Processor time of the program: in a session what it said itself, up to what the kernel says."""
        counted_s = self.end.cpu_s if isinstance(self.end, ChildEnded) else self.spent_s
        if self.report is not None:
            return min(self.report.cpu_s, counted_s)
        return counted_s if isinstance(self.end, ChildEnded) else 0.0

    @property
    def is_flooded(self) -> bool:
        """True if it wrote more than is kept."""
        return self.stdout.is_flooded or self.stderr.is_flooded

    @contextmanager
    def child_ends(self, programs: Sequence[str] | None) -> Iterator[list[int]]:
        """What the child is to have: pipes to write to, and its programs' file or its end of the socket.

        They are closed here when the block is left.
        """
        with ExitStack() as ours:
            ours.callback(self.stdout.close_write_end)
            ours.callback(self.stderr.close_write_end)
            if self._childs_control is not None:
                ours.callback(self._childs_control.close)
                third = self._childs_control.fileno()
            else:
                third = ours.enter_context(opened_programs(programs or []))
            yield [self.stdout.write_end, self.stderr.write_end, third]

    def start_block(self, code: str, timeout_s: float) -> None:
        """Have a session's child run `code`; ask whether it `can_go_on` before.

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

    def start_clock(self) -> None:
        """Let the program's time count from here, not from its fork."""
        self._started, self._delayed_s = anyio.current_time(), 0.0
        self._cpu_before, self._queued_before = self._cpu_clock(), self._queue_clock() or 0.0

    def ask(self) -> int:
        """Note that the zygote has an order to carry out for this child; returns which."""
        if self._asked_at is None:
            self._asked_at = anyio.current_time()
        self._num_asked += 1
        return self._num_asked

    def take_answer(self) -> None:
        """Note that the next of them is carried out: what that took isn't the program's time."""
        self._num_answered += 1
        if self._num_answered == self._num_asked:
            self._delayed_s, self._asked_at = self._zygotes_s, None

    def is_waiting_for(self, asking: int) -> bool:
        """True while that order isn't carried out."""
        return self._num_answered < asking

    @property
    def _zygotes_s(self) -> float:
        """What the zygote took for its orders since `start_clock`."""
        if self._asked_at is None:
            return self._delayed_s
        return self._delayed_s + anyio.current_time() - max(self._asked_at, self._started)

    @property
    def spent_s(self) -> float:
        """Processor seconds of the living child since `start_clock`; 0 where the kernel doesn't tell."""
        return max(0.0, self._cpu_clock() - self._cpu_before)

    def _cpu_clock(self) -> float:
        if self.pid == 0 or self.end is not None:
            return 0.0
        try:
            return time.clock_gettime((~self.pid << 3) | _CPUCLOCK_SCHED)
        except OSError:
            return 0.0

    @property
    def awake_s(self) -> float | None:
        """Wall seconds in which the program had a processor or wanted none; None where the kernel doesn't tell.

        What is left out it spent waiting for a processor or the zygote: the program isn't to blame for either.
        """
        queued = self._queue_clock()
        if queued is None:
            return None
        return anyio.current_time() - self._started - self._zygotes_s - (queued - self._queued_before)

    def _queue_clock(self) -> float | None:
        """Seconds that the living child has waited for a processor (the second figure of the kernel's schedstat)."""
        if self.pid == 0 or self.end is not None:
            return None
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return None

    def _time_left(self, timeout_s: float, wall_deadline: float) -> float:
        awake = self.awake_s
        asleep_left = math.inf if awake is None else timeout_s - awake
        return min(timeout_s - self.spent_s, asleep_left, wall_deadline - anyio.current_time())

    async def finish(self, timeout_s: float, wall_deadline: float, cutoff: Cutoff | None, grace_s: float) -> None:
        """Wait for the program's end; kill it when its time is over, and wait `grace_s` for that.

        Its time is over after `timeout_s` of processor time, or of wall time without what it waited for a processor,
        at the loop time `wall_deadline`, or at `cutoff`.
        A program that ends just then has its own ending: what the zygote tells after the kill is the truth.

        Raises:
            ServerLostError: the zygote died meanwhile.
            SandboxError: the zygote couldn't fork.
        """
        while not self._settled.is_set() and not (cutoff is not None and cutoff.has_passed):
            left = self._time_left(timeout_s, wall_deadline)
            if left <= 0:
                break
            with until(cutoff, max(left, _SHORTEST_WAIT_S)):
                await self._settled.wait()
        if not self._settled.is_set():
            self.kill()
            with until(None, grace_s):
                await self._settled.wait()
        if isinstance(self.end, Refused):
            raise SandboxError(f"the sandbox could not fork a child: {self.end.reason}")
        if isinstance(self.end, Lost) and not self.is_killed and self.report is None:
            raise ServerLostError("the sandbox's zygote died while it ran a program")
        self.stdout.drain()
        self.stderr.drain()

    def pause(self) -> None:
        """Stop a session's child between blocks: what its program left running takes no processor."""
        self._order(Signal(self.number, signal.SIGSTOP), ())
        self.is_at_rest = True

    def kill(self) -> None:
        """Ask for its death, once."""
        if self.end is None and not self.is_killed:
            self.killed_at = anyio.current_time()
            self._order(Signal(self.number, signal.SIGKILL), ())

    def conclude(self, end: ChildEnded | Refused | Lost) -> None:
        """Take note of its end."""
        self._read_report()
        self.end = end
        self._settled.set()
        for callback in self._on_end:
            callback()

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call `callback` at its end, or now."""
        if self.end is None:
            self._on_end.append(callback)
        else:
            callback()

    def close(self) -> None:
        """Kill it if it lives, and give up its pipes and its socket."""
        self.kill()
        self.stdout.close()
        self.stderr.close()
        self._hang_up()

    def _read_report(self) -> None:
        """Read until nothing is left; a child that says more than one report a block is killed, not listened to."""
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
