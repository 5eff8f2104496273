"""vLLM's OpenAI-compatible server as a process of its own, from its own environment, on a unix socket.

This interpreter never imports vllm, so vLLM's packages can't clash with a notebook's, and a crash costs one server.
`keeper` ends the process and everything it started, however this one ends.
"""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext, suppress

import anyio
import anyio.to_thread

from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.vllm import keeper, server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_place import KeeperNote, ServerPlace, cause, read_log, without_prefix

_LOOK_EVERY_S = 0.5
_REPORT_EVERY_S = 15.0
_END_S = keeper.GRACE_S + 10.0
_CAUSE_CHARS, _TAIL_LINES = 400, 12


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
        self.place = server_place.kept(launch.key)
        """Its folder; one of its own once it is started without `keep`."""
        self.note: KeeperNote | None = None
        """Who keeps it; None before the start."""
        self._attached = not keep if attached is None else attached
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, healthy or not; another process may have restarted a kept one."""
        if self.stays:
            self.note = self.place.read_note() or self.note
        return self.note is not None and self.note.is_alive

    @property
    def why_gone(self) -> str:
        """Why its process has ended, by its log; empty while it runs."""
        return "" if self.is_alive else cause(self._log)

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
        note = self.place.read_note()
        if note is None or not note.is_alive:
            return False
        self.note = note
        self.stays, self._attached = True, False
        self._report(f"{self.name} is running already; it is used as it is")
        return True

    def start(self) -> None:
        """Start the process; then `wait_until_healthy`."""
        if not self.stays and self.note is None:
            self.place = server_place.owned(self.launch.key)
        self._report_neighbours()
        self.place.kill_leftovers()
        self.place.make()
        self.is_ours = True
        pid = self._start_keeper()
        self.note = KeeperNote(pid, server_place.born(pid), str(self.launch.model), self.launch.gpus)
        self.place.write_note(self.note)

    def _report_neighbours(self) -> None:
        """Report servers that hold memory of the same GPUs; two seldom fit."""
        for place, note in server_place.running():
            if place != self.place and set(note.gpus) & set(self.launch.gpus):
                self._report(
                    f"{note.model} runs on GPU {', '.join(note.gpus)} already; `serve --stop` ends it if it stays"
                )

    def _start_keeper(self) -> int:
        """Start the keeper, which starts the server; returns the keeper's pid.

        Attached, it ends when this process does, however that ends: the kernel closes the pipe that it reads from.
        """
        options = ("--attached",) if self._attached else ()
        keeping = (sys.executable, "-I", keeper.__file__, *options, str(self.place.log), "--")
        process = subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
            [*keeping, *self.launch.command(self.place.socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if self._attached else subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**self.launch.environment(), server_place.MARK: str(self.place.folder)},
            # Ctrl-C is ours to handle. Not a session of its own: Linux schedules sessions against each other, and a
            # server that has one was seen to send half a second of tokens at once on a busy machine.
            process_group=0,
        )
        if self._attached:
            self._process = process
            return process.pid
        pid, _ = process.communicate()
        if process.returncode != 0:
            raise EngineError(self._failure("couldn't be started"))
        return int(pid)

    async def wait_until_healthy(self) -> None:
        """Return once it answers; report now and then how far it is, by its log's last line.

        Raises:
            EngineError: it ended, or takes longer than `start_timeout_s`; the text has the cause out of its log.
        """
        begun = reported_at = anyio.current_time()
        timeout_s = self.launch.config.start_timeout_s
        async with Endpoint(self.address) as endpoint:
            while not (self.place.socket.exists() and await endpoint.is_healthy()):
                if not self.is_alive:
                    raise EngineError(self._failure("ended before it was ready"))
                now = anyio.current_time()
                if now - begun > timeout_s:
                    raise EngineError(self._failure(f"wasn't ready after {timeout_s:g} s"))
                if now - reported_at >= _REPORT_EVERY_S:
                    reported_at = now
                    last = "".join(self._log[-1:])
                    self._report(f"{self.name} is starting, {now - begun:.0f} s; {without_prefix(last)[:100]}")
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
        if self.note is None:
            return
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
        try:
            await end_server(self.place, self.note, forget=forget)
        finally:
            if process is not None:
                process.poll()  # or it stayed as a zombie

    @property
    def _log(self) -> list[str]:
        """The last lines of its log that say something."""
        return [line for line in read_log(self.place.log) if line.strip()]

    def _failure(self, what: str) -> str:
        lines = self._log
        tail = "".join(f"\n  {line}" for line in lines[-_TAIL_LINES:])
        return f"{self.name} {what}: {cause(lines)[:_CAUSE_CHARS]}\nthe last lines of its log:{tail}"


async def end_server(place: ServerPlace, note: KeeperNote, *, forget: bool = True) -> None:
    """End the server in `place` and all it started: its keeper is asked, then killed, and the server with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if note.is_alive:
            with suppress(ProcessLookupError):
                os.kill(note.pid, number)
            with anyio.move_on_after(_END_S, shield=True):
                while note.is_alive:
                    await anyio.sleep(0.05)
    await anyio.to_thread.run_sync(place.kill_leftovers)
    if forget:
        place.remove()
