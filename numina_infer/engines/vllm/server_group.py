"""vLLM servers that are started, watched and ended together, and `numina-infer serve`, which keeps them up.

`serve` starts servers that stay up between runs, lists those that run, and ends those that were left running.
"""

import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Self

import anyio
from rich.console import Console
from rich.table import Table

from numina_infer.core.config import require
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce
from numina_infer.core.restarts import RestartPolicy, Restarts
from numina_infer.engines.http.endpoint_pool import EndpointState
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.server_place import PlaceTakenError
from numina_infer.engines.vllm.vllm_server import VllmServer, end_server

_RESTARTS = RestartPolicy(max_starts=3, pause_s=0.5)
"""A restart after which the server gives no token has failed too."""


class ServerGroup:
    """Servers with the same model, started together and ended together: `async with ServerGroup(...) as servers`.

    Servers that run already are used and left running, and with `keep` those that are started here.

    Raises on entering:
        EngineError: a server doesn't come up; the text has the cause.
    """

    def __init__(
        self, launches: Sequence[Launch], *, keep: bool, attached: bool | None = None, report: Announce
    ) -> None:
        """`attached` ends kept servers with this process; see `VllmServer`."""
        require(bool(launches), "no server is to be started; name at least one GPU, or none at all for the CPU")
        self.servers = tuple(VllmServer(launch, keep=keep, attached=attached, report=report) for launch in launches)
        self.restarts = {server: Restarts(server.name, _RESTARTS) for server in self.servers}
        self._keep, self._report = keep, report

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as failing:
            failing.push_async_callback(self.end_ours)
            with ExitStack() as locks:
                for server in self.servers:
                    if self._keep:
                        locks.enter_context(server_place.kept(server.launch.key).alone())
                    if not server.find():
                        server.start()
                for server in self.servers:
                    await server.wait_until_healthy()
            failing.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers:
            server.is_ours &= not server.stays
        await self.end_ours()

    async def revive(self) -> None:
        """Restart each of our servers that ends, until cancelled; after three restarts in vain it is left dead."""
        while True:
            await anyio.sleep(_RESTARTS.pause_s)
            for server in self.servers:
                is_gone = server.is_ours and not server.is_alive
                if is_gone and await self.restart(server) is EndpointState.REPAIRED:
                    self.restarts[server].worked()

    async def restart(self, server: VllmServer) -> EndpointState:
        """Restart `server`, unless it failed too often in a row; the state of its endpoint then (`Owner.repair`)."""
        restarts = self.restarts[server]
        if restarts.gives_up():
            return EndpointState.DEAD
        why = server.why_gone
        with suppress(OSError):  # a console that can't be written to costs no server
            self._report(f"{server.name} {f'ended ({why}) and ' if why else ''}is restarted")
        try:
            await server.restart()
        except PlaceTakenError:
            return EndpointState.AWAITED  # another process is starting it, so this one didn't fail
        except (EngineError, OSError) as error:
            restarts.failed("couldn't be restarted", error)
            return EndpointState.DEAD if restarts.gives_up() else EndpointState.AWAITED
        return EndpointState.REPAIRED

    async def end_ours(self) -> None:
        """End the servers that this object started."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for server in self.servers:
                    if server.is_ours:
                        group.start_soon(server.stop)


def serve(launches: Sequence[Launch], console: Console, *, detach: bool) -> int:
    """Start the servers and restart what dies until Ctrl-C, or leave them running.

    Raises:
        EngineError: a server doesn't come up; the text has the cause.
    """
    anyio.run(_serve, launches, console, detach)
    return 0


async def _serve(launches: Sequence[Launch], console: Console, detach: bool) -> None:
    group = ServerGroup(launches, keep=True, attached=not detach, report=console.print)
    async with group:
        for server in group.servers:
            console.print(f"{server.name} listens on {server.address}", soft_wrap=True)
        console.print(
            "runs with --engine vllm and the same model and preset find it; others: --endpoint and its socket"
        )
        if detach or not any(server.is_ours for server in group.servers):
            console.print("it stays until `numina-infer serve --stop`")
            return
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # a service's manager ends it so
        console.print("Ctrl-C ends it")
        try:
            await group.revive()
        finally:
            await group.end_ours()


def show_running(console: Console) -> int:
    """List the servers that run."""
    table = Table("pid", "model", "GPUs", "stays", "socket")
    found = server_place.running()
    for place, note in found:
        stays = "yes" if place.is_kept else "with its run"
        table.add_row(str(note.pid), note.model, ", ".join(note.gpus) or "none", stays, str(place.socket))
    console.print(table if found else "no server of ours runs")
    return 0


def stop_running(console: Console) -> int:
    """End every server that was left running; those of runs that go on are theirs."""
    for place, note in server_place.running():
        if not place.is_kept:
            console.print(f"{note.model} belongs to a run that goes on ({place.socket})", soft_wrap=True)
            continue
        anyio.run(end_server, place, note)
        console.print(f"ended {note.model} ({place.socket})", soft_wrap=True)
    return 0
