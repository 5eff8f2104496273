"""A server for drills with real processes: the stand-in for vLLM, with the words of a drill, at a T4's pace.

    python -m drills.server SOCKET

On SIGUSR1 it hangs: it is healthy, takes every request, and sends nothing more.
"""

import argparse
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from drills.engines.pace import Pace
from drills.engines.stand_in import StandIn
from drills.model import Words
from numina_infer.core.terminal import HelpFormatter
from numina_infer.engines.simulated_machine import T4_COSTS

HANG = signal.SIGUSR1


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--speed", type=float, default=1.0)
    chosen = parser.parse_args(arguments)
    anyio.run(_serve, chosen.socket, chosen.speed)


async def _serve(socket: Path, speed: float) -> None:
    server = StandIn(socket, Words(()), pace=Pace(T4_COSTS, speed))
    async with server:
        with anyio.open_signal_receiver(HANG) as hangs:
            async for _ in hangs:
                server.mood = replace(server.mood, hangs_after=0)


if __name__ == "__main__":
    main()
