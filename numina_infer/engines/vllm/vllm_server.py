"""vLLM's OpenAI-compatible server as a process of its own, from its own environment, on a unix socket.

This interpreter never imports vllm, so vLLM's packages can't clash with a notebook's, and a crash costs one server.
`keeper` ends the process and everything it started, however this one ends.
"""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext, suppress
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

    It ends with this process, or with `keep` stays for the next one, which finds it by its key.
    """

    def __init__(self, launch: Launch, *, keep: bool, attached: bool | None = None, report: Announce) -> None:
        """`attached` ends a kept server with this process too; by default it is the opposite of `keep`."""
        self.launch, self._report = launch, report
        self.stays = keep
        """Whether it is left running for the next process."""
        self.is_ours = False
        """Whether this object started it and is to end it."""
        self._attached = not keep if attached is None else attached
        self._place: ServerPlace | None = None
        self._note: KeeperNote | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, healthy or not; another process may have restarted a kept one."""
        if self.stays and self._place is not None:
            self._note = self._place.read_note() or self._note
        return self._note is not None and self._note.is_alive

    @property
    def why_gone(self) -> str:
        """Why its process has ended, by its log; empty while it runs."""
        return "" if self.is_alive else _why(read_log(self.place.log))

    @property
    def pid(self) -> int:
        """The keeper's process."""
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
        """Its name in reports."""
        gpus = self.launch.gpus
        return f"vLLM on GPU {', '.join(gpus)}" if gpus else "vLLM on the CPU"

    def find(self) -> bool:
        """Take the server that was left running with the same key, if there is one."""
        place = server_place.kept(self.launch.key)
        note = place.read_note()
        if note is None or not note.is_alive:
            return False
        self._place, self._note = place, note
        self.stays, self._attached = True, False
        self._report(f"{self.name} is running already; it is used as it is")
        return True

    def start(self) -> None:
        """Start the process; then `wait_until_healthy`."""
        if self._place is None:
            key = self.launch.key
            self._place = server_place.kept(key) if self.stays else server_place.owned(key)
        self._report_neighbours()
        self._place.kill_leftovers()
        self._place.make()
        self.is_ours = True
        pid = self._start_attached() if self._attached else self._start_detached()
        self._note = KeeperNote(pid, server_place.born(pid), str(self.launch.model), self.launch.gpus)
        self._place.write_note(self._note)

    def _report_neighbours(self) -> None:
        """Report servers that hold memory of the same GPUs; two seldom fit."""
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
        """Return once it answers; report progress meanwhile.

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
                progress.report(self.place.log)
                await anyio.sleep(_LOOK_EVERY_S)
        self._report(f"{self.name} is ready after {anyio.current_time() - begun:.0f} s")

    async def restart(self) -> None:
        """End what is left of it and start it again, on the same socket; where that fails, nothing is left running.

        Raises:
            EngineError: it doesn't come up.
            PlaceTakenError: another process is starting it right now.
            OSError: the machine refuses, such as a disk that is full.
        """
        with self.place.alone() if self.stays else nullcontext():
            await self.stop(forget=False)
            try:
                self.start()
                await self.wait_until_healthy()
            except (EngineError, OSError):
                await self.stop(forget=False)
                raise

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
        return f"{self.name} {what}: {_why(lines)[:_CAUSE_CHARS]}\nthe last lines of its log:\n{tail(lines)}"


def _why(log: list[str]) -> str:
    return cause(log) or "its log names no cause"


class _Progress:
    """Reports now and then how far a start is."""

    def __init__(self, name: str, report: Announce, begun: float) -> None:
        self._name, self._report, self._begun = name, report, begun
        self._reported_at = begun

    def report(self, log: Path) -> None:
        now = anyio.current_time()
        if now - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = now
            said = stage(read_log(log))
            self._report(f"{self._name} is starting, {now - self._begun:.0f} s{f': {said}' if said else ''}")


async def end_server(place: ServerPlace, note: KeeperNote, *, forget: bool = True) -> None:
    """End the server in `place` with the keeper in `note`, and everything it started."""
    await _end_keeper(note)
    await anyio.to_thread.run_sync(place.kill_leftovers)
    if forget:
        place.remove()


async def _end_keeper(note: KeeperNote) -> None:
    """Ask the keeper to end, and kill it if it doesn't; its server dies with it."""
    for number, patience_s in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _END_S)):
        if not note.is_alive:
            break
        with suppress(ProcessLookupError):
            os.kill(note.pid, number)
        with anyio.move_on_after(patience_s, shield=True):
            while note.is_alive:
                await anyio.sleep(0.05)
