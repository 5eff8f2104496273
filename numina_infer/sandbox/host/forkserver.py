"""One zygote process seen from the host, from its start to its end, its living children, and orders on their way.

The host never forks itself, since it holds threads, GPUs and secrets. It starts the zygote with a clean environment,
no descriptor but the control socket, and in a session of its own, so that a Ctrl-C in a terminal doesn't reach it.
That socket holds some hundred packets. When many sessions end at once, or the zygote gets no processor for a moment,
it is full, which says nothing about the zygote's health: a queue stands before it.
"""

import asyncio
import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from numina_infer.core.config import SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.sandbox.child.channel import Channel, ChildEnded, Message, OrderDone, Ready, Resume, Signal, Spawn
from numina_infer.sandbox.host.ending import clean
from numina_infer.sandbox.host.idle_kills import IdleKills
from numina_infer.sandbox.host.process import Process, ServerLostError

_logger = logging.getLogger(__name__)
_START_TIMEOUT_S = 120.0
"""A cold start reads some hundred megabytes of libraries, maybe from a slow disk."""
_ANSWER_S = 10.0
"""A zygote that carries out no order for so long counts as hung."""
_LEAVING_S = 5.0
"""After the host hangs up, the zygote waits for its children's death before it exits."""
_AGAIN_S = 0.005
"""Until the next try; a timer, since the kernel may also lack memory for a packet, of which the loop hears nothing."""
_NOT_NOW = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
_LAST_WORDS_BYTES = 2000
_MAX_SCANS = 20
_MARK = "NUMINA_SANDBOX"
"""A variable in the environment of all processes below one zygote, by which they are found and killed."""
_ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "",
}


class Outbox:
    """Sends at once what the socket takes, and keeps the rest in order; it never waits and loses nothing."""

    def __init__(self, control: Channel, on_loss: Callable[[], None]) -> None:
        self._control = control
        self._on_loss = on_loss
        self._waiting: deque[tuple[Message, list[int]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send `message` and copies of `fds`, or keep them until they can be sent.

        Raises:
            ConnectionError: the zygote is gone.
            OSError: this process has no descriptors left for the copies.
        """
        if not self._waiting and self._is_sent(message, fds):
            return
        self._waiting.append((message, _copied(fds)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._send_waiting)

    def close(self) -> None:
        """Drop what was not sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._drop_first()

    def _drop_first(self) -> None:
        _, fds = self._waiting.popleft()
        for fd in fds:
            os.close(fd)

    def _is_sent(self, message: Message, fds: Sequence[int]) -> bool:
        try:
            self._control.send(message, fds)
        except OSError as error:
            if error.errno in _NOT_NOW:
                return False
            raise
        return True

    def _send_waiting(self) -> None:
        self._timer = None
        try:
            while self._waiting and self._is_sent(*self._waiting[0]):
                self._drop_first()
        except OSError:
            self._on_loss()
            return
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._send_waiting)


class ForkServer:
    """A zygote and its children. Make one with `start`."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        self._ready = anyio.Event()
        self._children: dict[int, Process] = {}
        self._num_spawned = 0
        self.is_alive = True
        """True while it can fork."""
        self.rung = config.rungs[0]
        """The lock-down of the children that are forked from now on."""
        self.versions: dict[str, str] = {}
        """The libraries that the zygote has loaded; empty before it is ready."""
        with ExitStack() as undo:
            self._control, theirs = Channel.pair()
            undo.callback(self._control.close)
            with closing(theirs):
                self._log = undo.enter_context(tempfile.TemporaryFile())
                folder = tempfile.TemporaryDirectory(prefix="numina-infer-", ignore_cleanup_errors=True)
                self.folder = Path(undo.enter_context(folder))
                """A folder that only the host may read; children work in folders below it."""
                self._folder = self.folder / "work"
                self._folder.mkdir()
                self._zygote = self._launch(theirs)
            self._undo = undo.pop_all()
        self._control.set_nonblocking()
        self._outbox = Outbox(self._control, self.abandon)
        self._idle_kills = IdleKills(lambda number: self._carry_out(Signal(number, signal.SIGKILL)))
        asyncio.get_running_loop().add_reader(self._control, self._read_mail)

    @classmethod
    async def start(cls, config: SandboxConfig) -> "ForkServer":
        """Launch a zygote and wait until it is warm.

        Raises:
            SandboxError: it didn't come up; the message ends with the end of its stderr.
        """
        try:
            server = cls(config)
        except OSError as error:
            raise SandboxError(f"the sandbox's zygote could not be launched: {error}") from error
        try:
            with anyio.move_on_after(_START_TIMEOUT_S):
                await server._ready.wait()
            if not server.versions:
                raise SandboxError(f"the sandbox's zygote did not come up; its last words: {server._last_words()}")
        finally:
            if not server.versions:
                server.abandon()
                await server.close()
        return server

    def spawn(self, timeout_s: float, programs: Sequence[str] | None) -> Process:
        """Fork a child that runs `programs`, all but the last in silence; with None it waits for a session's blocks.

        Raises:
            ServerLostError: the zygote is dead.
            SandboxError: this process has no descriptors or memory left.
        """
        self._num_spawned += 1
        number, config = self._num_spawned, self._config
        process = Process(number, self._order, config.max_output_bytes)
        message = Spawn(
            number,
            self.rung,
            timeout_s,
            config.memory_bytes,
            config.max_file_bytes,
            is_session=programs is None,
            directory=str(self._folder / str(number)),
        )
        try:
            with ExitStack() as undo:
                undo.callback(process.close)
                with process.child_ends(programs) as fds:
                    self._send(message, fds)
                undo.pop_all()
        except OSError as error:
            raise SandboxError(f"this process can not open what a child needs: {error}") from error
        self._children[number] = process
        self._expect_answer(process)
        return process

    def abandon(self) -> None:
        """Kill the zygote, since it doesn't do its work."""
        self._zygote.kill()
        self._lose()

    async def close(self) -> None:
        """End the zygote and everything below it; done when they are gone."""
        self._lose()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._wait_for_end)

    def _launch(self, theirs: Channel) -> "subprocess.Popen[bytes]":
        name, _, value = self._mark.partition("=")
        paths = os.pathsep.join(path for path in sys.path if path)
        # The variable by which some interpreters find their shared libraries.
        inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        command = [sys.executable, "-P", "-m", "numina_infer.sandbox.child.zygote"]
        preload = "preload" if self._config.preload else ""
        return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            [*command, str(theirs.fileno()), str(os.getpid()), str(self._folder), preload],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env={**_ENVIRONMENT, **inherited, "PYTHONPATH": paths, name: value},
            cwd="/",
            start_new_session=True,
        )

    def _send(self, message: Message, fds: Sequence[int]) -> None:
        if not self.is_alive:
            raise ServerLostError("the sandbox's zygote is gone")
        try:
            self._outbox.send(message, fds)
        except ConnectionError as error:
            self.abandon()
            raise ServerLostError(f"the sandbox's zygote takes no orders: {error}") from error

    def _order(self, message: Signal | Resume, fds: Sequence[int]) -> None:
        """Have an order for a living child carried out, but a kill of an idle one only when its turn comes."""
        process = self._children.get(message.number)
        if process is None:
            return
        if process.is_at_rest and isinstance(message, Signal) and message.signum == signal.SIGKILL:
            self._idle_kills.add(message.number)
        else:
            self._carry_out(message, fds)

    def _carry_out(self, message: Signal | Resume, fds: Sequence[int] = ()) -> None:
        with suppress(ServerLostError):  # then the children end as well
            self._send(message, fds)
            if isinstance(message, Resume):
                self._expect_answer(self._children[message.number])

    def _expect_answer(self, process: Process) -> None:
        order = process.clock.note_order()
        asyncio.get_running_loop().call_later(_ANSWER_S, self._check_answer, process.number, order)

    def _check_answer(self, number: int, order: int) -> None:
        process = self._children.get(number)
        if process is not None and process.clock.is_waiting_for(order):
            _logger.error("the sandbox's zygote carries out no orders; it is replaced")
            self.abandon()

    def _read_mail(self) -> None:
        while self.is_alive:
            try:
                mail = self._control.receive()
            except BlockingIOError:
                return
            if mail is None:
                _logger.warning("the sandbox's zygote is gone; its last words: %s", self._last_words())
                self._lose()
            else:
                self._take(mail[0])

    def _take(self, message: Message) -> None:
        if isinstance(message, Ready):
            self.versions = message.versions
            self._ready.set()
        elif isinstance(message, OrderDone) and message.number in self._children:
            self._children[message.number].clock.note_done(message.pid)
        elif isinstance(message, ChildEnded):
            self._children.pop(message.number).conclude(message)
            self._idle_kills.remove(message.number)
            _remove(self._folder / str(message.number))

    def _lose(self) -> None:
        if not self.is_alive:
            return
        self.is_alive = False
        asyncio.get_running_loop().remove_reader(self._control)
        self._idle_kills.clear()
        self._outbox.close()
        self._control.close()
        self._ready.set()
        for process in self._children.values():
            process.conclude(None)
        self._children.clear()

    def _wait_for_end(self) -> None:
        """Wait for the zygote's end, in a thread; processes that it left behind are found by their mark."""
        try:
            self._zygote.wait(_LEAVING_S)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            with suppress(subprocess.TimeoutExpired):
                self._zygote.wait(_LEAVING_S)
        if self._zygote.returncode is None:
            _logger.error("the sandbox's zygote, process %d, can not be killed", self._zygote.pid)
        if self._zygote.returncode != 0:
            _kill_marked(self._mark.encode())
        self._undo.close()

    def _last_words(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LAST_WORDS_BYTES))
        return clean(self._log.read()).strip() or "none"


def _remove(folder: Path) -> None:
    """Remove a child's working directory; in a thread if it isn't empty, since there may be many files."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return  # it died before it had one
    except OSError:
        threading.Thread(target=shutil.rmtree, args=(folder, True), daemon=True).start()


def _kill_marked(mark: bytes) -> None:
    """Kill every process that has `mark` in its environment, until a scan of all processes finds none."""
    for _ in range(_MAX_SCANS):
        try:
            pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names are enough
        except OSError as error:
            _logger.error("what the sandbox's zygote left behind can't be looked for: %s", error)  # noqa: TRY400
            return
        num_found = 0
        for pid in pids:
            with suppress(OSError):  # it is gone, or somebody else's
                if mark in Path(f"/proc/{pid}/environ").read_bytes():
                    num_found += 1  # also if it is gone by now, since it may have forked meanwhile
                    os.kill(pid, signal.SIGKILL)
        if not num_found:
            return


def _copied(fds: Iterable[int]) -> list[int]:
    """Duplicates of `fds`; if `OSError` is raised, none is left open."""
    with ExitStack() as undo:
        copies = []
        for fd in fds:
            copies.append(os.dup(fd))
            undo.callback(os.close, copies[-1])
        undo.pop_all()
    return copies
