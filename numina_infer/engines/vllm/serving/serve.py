"""`numina-infer serve`: vLLM servers that stay up between runs, and the list of those that run."""

import signal
from collections.abc import Sequence

import anyio
from rich.console import Console
from rich.table import Table

from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.vllm_engine import ServerGroup
from numina_infer.engines.vllm.vllm_server import end_server

_LOOK_EVERY_S = 1.0


def serve(launches: Sequence[Launch], console: Console, *, detach: bool) -> int:
    """Start the servers and watch over them until Ctrl-C, or leave them running.

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
        if not any(server.is_ours for server in group.servers):
            console.print("it was left running before, and stays until `numina-infer serve --stop`")
            return
        if detach:
            console.print("it stays until `numina-infer serve --stop`")
            return
        console.print("Ctrl-C ends it")
        try:
            await _watch(group)
        finally:
            await group.end_ours()


async def _watch(group: ServerGroup) -> None:
    """Restart what dies, until SIGTERM; Ctrl-C comes as a cancellation."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(group.revive)
            async for _ in signals:
                tasks.cancel_scope.cancel()
                return


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
