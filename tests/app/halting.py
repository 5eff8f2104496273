"""`numina-infer` with an engine that gives no place to trajectories from number LIMIT on: python halting.py LIMIT ….

Such a run is in its middle until somebody stops it, however long a busy machine takes to notice that it may.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from numina_infer.app.composition import Backends, make_engine
from numina_infer.cli import main
from numina_infer.core.ports import Decoder


def halted(command: list[str], limit: int) -> list[str]:
    """`command`, which is `python -m numina_infer …`, with such an engine."""
    python, _, _, *rest = command
    return [python, __file__, str(limit), *rest]


def halt(engine: Any, limit: int) -> Any:
    """`engine`, with no place for trajectories from number `limit` on."""
    take = engine.slot

    @asynccontextmanager
    async def slot(ticket: int) -> AsyncIterator[Decoder]:
        if ticket >= limit:
            await anyio.sleep_forever()
        async with take(ticket) as decoder:
            yield decoder

    engine.slot = slot
    return engine


if __name__ == "__main__":
    most = int(sys.argv[1])
    sys.exit(main(sys.argv[2:], backends=Backends(engine=lambda *given: halt(make_engine(*given), most))))
