"""vLLM's OpenAI-compatible server as a process of its own, from its own environment, on a unix socket.

The interpreter here never imports vllm: nothing of what a notebook has installed clashes with it, and a crash costs
one server. `keeper` ends the process and everything it started, however this one ends.
"""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import anyio
import anyio.to_thread

from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.vllm import keeper, server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_log import cause, read_log, stage, tail
from numina_infer.engines.vllm.server_place import KeeperNote, ServerPlace

_LOOK_EVERY_S = 0.5
_REPORT_EVERY_S = 15.0
_END_S = keeper.GRACE_S + 10.0
_CAUSE_CHARS = 400


class VllmServer:
    """One server, started here or found running.

    Started for this process alone it ends with it; with `keep` it stays, and the next process finds it by its key.
    """

    def __init__(self, launch: Launch, *, keep: bool, attached: bool | None = None, report: Announce) -> None:
        """`attached` ends it with this process even so; as a rule just those that aren't kept are."""
        self.launch, self._keep, self._report = launch, keep, report
        self._attached = not keep if attached is None else attached
        self._place: ServerPlace | None = None
        self._note: KeeperNote | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ours = False

    @property
    def is_ours(self) -> bool:
        """Whether this object started it and is to end it."""
        return self._is_ours

    @property
    def stays(self) -> bool:
        """Whether it is left running for the next process."""
        return self._keep

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, healthy or not; one that is kept may have been restarted by somebody else."""
        if self._keep and self._place is not None:
            self._note = self._place.read_note() or self._note
        return self._note is not None and self._note.is_alive

    @property
    def pid(self) -> int:
        """The process that keeps it."""
        if self._note is None:
            raise EngineError("the server wasn't started")
        return self._note.pid

    @property
    def place(self) -> ServerPlace:
        """Its folder."""
        if self._place is None:
            raise EngineError("the server wasn't started")
        return self._place

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address.parse(str(self.place.socket))

    @property
    def name(self) -> str:
        """What people call it."""
        gpus = self.launch.gpus
        return f"vLLM on GPU {', '.join(gpus)}" if gpus else "vLLM on the CPU"

    def find(self) -> bool:
        """Take the server that was left running with the same key, if there is one."""
        place = server_place.kept(self.launch.key)
        note = place.read_note()
        if note is None or not note.is_alive:
            return False
        self._place, self._note = place, note
        self._keep, self._attached = True, False
        self._report(f"{self.name} is running already; it is used as it is")
        return True

    def start(self) -> None:
        """Start the process; `wait_until_healthy` tells when it can be spoken to."""
        if self._place is None:
            key = self.launch.key
            self._place = server_place.kept(key) if self._keep else server_place.owned(key)
        self._tell_of_neighbours()
        self._place.kill_leftovers()
        self._place.make()
        self._is_ours = True
        pid = self._start_attached() if self._attached else self._start_detached()
        self._note = KeeperNote(pid, server_place.born(pid), str(self.launch.model), self.launch.gpus)
        self._place.write_note(self._note)

    def _tell_of_neighbours(self) -> None:
        """Name the servers that hold memory of the same GPUs; two of them seldom fit."""
        for place, note in server_place.running():
            if place != self._place and set(note.gpus) & set(self.launch.gpus):
                self._report(
                    f"{note.model} runs on GPU {', '.join(note.gpus)} already; `serve --stop` ends it if it stays"
                )

    def _start_attached(self) -> int:
        """Start it so that it ends when this process does, however that ends; returns the keeper's pid."""
        self._process = subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
            self._command("--attached"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            # Ctrl-C is ours to handle. Not a session of its own: Linux schedules sessions against each other, and a
            # server that has one was seen to send half a second of tokens at once on a busy machine.
            process_group=0,
        )
        return self._process.pid

    def _start_detached(self) -> int:
        """Start it so that it stays; returns the keeper's pid."""
        started = subprocess.run(  # noqa: S603 (a list of arguments, no shell)
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            process_group=0,
            check=False,
        )
        if started.returncode != 0:
            raise EngineError(self._failure("couldn't be started"))
        return int(started.stdout)

    def _command(self, *options: str) -> list[str]:
        keeping = (sys.executable, "-I", keeper.__file__, *options, str(self.place.log), "--")
        return [*keeping, *self.launch.command(self.place.socket)]

    @property
    def _environment(self) -> dict[str, str]:
        return {**self.launch.environment(), server_place.MARK: str(self.place.folder)}

    async def wait_until_healthy(self) -> None:
        """Return once it answers, reporting how far it is.

        Raises:
            EngineError: it ended, or takes longer than `start_timeout_s`; the text has the cause out of its log.
        """
        begun = anyio.current_time()
        timeout_s = self.launch.config.start_timeout_s
        progress = _Progress(self.name, self._report, begun)
        async with Endpoint(self.address) as endpoint:
            while not (self.place.socket.exists() and await endpoint.is_healthy()):
                if not self.is_alive:
                    raise EngineError(self._failure("ended before it was ready"))
                if anyio.current_time() - begun > timeout_s:
                    raise EngineError(self._failure(f"wasn't ready after {timeout_s:g} s"))
                progress.tell(self.place.log)
                await anyio.sleep(_LOOK_EVERY_S)
        self._report(f"{self.name} is ready after {anyio.current_time() - begun:.0f} s")

    async def restart(self) -> None:
        """End what is left of it and start it anew, on the same socket; where that fails, nothing is left running.

        Raises:
            EngineError: it doesn't come up.
            PlaceTakenError: another process is starting it right now.
            OSError: the machine refuses, such as a disk that is full.
        """
        with self.place.alone() if self._keep else nullcontext():
            await self.stop(forget=False)
            try:
                self.start()
                await self.wait_until_healthy()
            except (EngineError, OSError):
                await self.stop(forget=False)
                raise

    def leave(self) -> None:
        """Let it run on when this object goes."""
        self._is_ours = False

    async def stop(self, *, forget: bool = True) -> None:
        """End it and everything it started; returns once that is done."""
        note, process = self._note, self._process
        if note is None:
            return
        if process is not None and process.stdin is not None:
            process.stdin.close()
        try:
            await end_server(self.place, note, forget=forget)
        finally:
            if process is not None:
                process.poll()  # or it stayed as a zombie

    def _failure(self, what: str) -> str:
        lines = read_log(self.place.log)
        why = cause(lines)[:_CAUSE_CHARS] or "its log names no cause"
        return f"{self.name} {what}: {why}\nthe last lines of its log:\n{tail(lines)}"


class _Progress:
    """Tells now and then how far a start is."""

    def __init__(self, name: str, report: Announce, begun: float) -> None:
        self._name, self._report, self._begun = name, report, begun
        self._told_at = begun

    def tell(self, log: Path) -> None:
        now = anyio.current_time()
        if now - self._told_at >= _REPORT_EVERY_S:
            self._told_at = now
            said = stage(read_log(log))
            self._report(f"{self._name} is starting, {now - self._begun:.0f} s{f': {said}' if said else ''}")


async def end_server(place: ServerPlace, note: KeeperNote, *, forget: bool = True) -> None:
    """End the server in `place` that `note` tells of, whoever started it, and everything it started."""
    await _end_keeper(note)
    await anyio.to_thread.run_sync(place.kill_leftovers)
    if forget:
        place.remove()


async def _end_keeper(note: KeeperNote) -> None:
    """Tell the keeper to end, and kill it if it doesn't; its server dies with it."""
    for number, patience_s in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _END_S)):
        if not note.is_alive:
            break
        _send(note, number)
        with anyio.move_on_after(patience_s, shield=True):
            while note.is_alive:
                await anyio.sleep(0.05)


def _send(note: KeeperNote, number: int) -> None:
    try:
        os.kill(note.pid, number)
    except ProcessLookupError:
        return
