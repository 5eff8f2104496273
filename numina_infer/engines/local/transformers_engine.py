"""The embedded engine: a model in this process, its forward pass from transformers, its decode loop ours.

transformers' own continuous batching knows no stop strings, no seed a request and no partial text when it is cut off.
Here the same context, params and seed give the same text on a CPU in float32, alone or in a batch, for trajectories
that keep their slot; `passes` says how, it is checked on this CPU when a model is loaded, and tests show it. Another
CPU, another number of threads or another version of torch may give other bits.
Other precisions and devices promise nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, EngineStats
from numina_infer.core.restarts import Openable, run_in_background
from numina_infer.core.slots import Slots
from numina_infer.engines.local.models import LoadedModel, load

if TYPE_CHECKING:
    from numina_infer.engines.local.decoding import DecodeLoop, TransformersDecoder
    from numina_infer.engines.local.passes import KVCache

_log = logging.getLogger(__name__)


class TransformersEngine(Openable):
    """An `Engine` over a transformers model: `async with TransformersEngine(config) as engine`.

    Entering it loads the model in the worker thread, fetching the embedded one on first use; leaving it ends the
    thread. `report` gets a line for each step, from the worker thread.

    Raises on entering:
        ConfigError: the config names a model that can't be used.
        EngineError: the model couldn't be fetched or loaded.
    """

    def __init__(self, config: TransformersConfig, *, report: Announce = _log.debug) -> None:
        self._config, self._report = config, report
        self._slots = Slots(config.max_num_seqs)
        self._loaded: LoadedModel | None = None
        self._loop: DecodeLoop | None = None
        self._free_caches: list[KVCache] = []
        """One a free slot; the last one left is taken next."""

    async def _open(self, stack: AsyncExitStack) -> None:
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="numina-decode")
        stack.push_async_callback(_join, executor)
        self._loaded = await asyncio.wrap_future(executor.submit(load, self._config, self._report))
        from numina_infer.engines.local.decoding import DecodeLoop, Stepper
        from numina_infer.engines.local.passes import Passes

        stepper = Stepper(Passes(self._loaded.model, self._loaded.row_counts), self._config.max_num_seqs)
        self._free_caches = [*reversed(stepper.caches)]
        self._loop = DecodeLoop(stepper, self._loaded.vocabulary.end_ids, executor)
        await run_in_background(stack, self._loop.run)

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator["TransformersDecoder"]:
        """A place for one trajectory, with a KV cache of its own that lasts from turn to turn."""
        from numina_infer.engines.local.decoding import TransformersDecoder

        loaded, loop = self._running()
        async with self._slots.hold(ticket):
            cache = self._free_caches.pop()
            try:
                yield TransformersDecoder(loaded, loop, cache, ticket)
            finally:
                self._free_caches.append(cache)

    @property
    def stats(self) -> EngineStats:
        """Tokens sampled and rows running."""
        if self._loop is None:
            return EngineStats()
        return EngineStats(num_tokens=self._loop.num_tokens, num_running=self._loop.num_running)

    def describe(self) -> Mapping[str, str | int | float]:
        """Model, weights, versions, precision and capacity."""
        loaded, _ = self._running()
        return {"engine": "transformers", **loaded.description, "max_num_seqs": self._config.max_num_seqs}

    def _running(self) -> "tuple[LoadedModel, DecodeLoop]":
        if self._loaded is None or self._loop is None:
            raise EngineError("the engine isn't running; enter it with `async with` first")
        return self._loaded, self._loop


async def _join(executor: ThreadPoolExecutor) -> None:
    """End the worker thread once its step is over, even while being cancelled."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(executor.shutdown)
