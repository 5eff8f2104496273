"""An engine around an engine that remembers what it wrote to its end, and stops the run at a chosen turn."""

import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Self

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Cutoff, Decoder, Engine, EngineStats
from numina_infer.core.records import Completion, FinishReason, Part
from numina_infer.engines.cached_engine import cache_key, identity


class Witness:
    """Counts requests by their keys; with `stop_at`, a Ctrl-C comes when so many were asked for."""

    def __init__(self, engine: AbstractAsyncContextManager[Engine], stop_at: int | None = None) -> None:
        self.asked = 0
        self.written: Counter[str] = Counter()
        self.num_openings = 0
        self._opening, self._stop_at = engine, stop_at
        self._stack = AsyncExitStack()
        self._inner: Engine | None = None

    async def __aenter__(self) -> Self:
        self.num_openings += 1
        self._inner = await self._stack.enter_async_context(self._opening)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._stack.aclose()

    @property
    def inner(self) -> Engine:
        """The engine inside."""
        if self._inner is None:
            raise EngineError("it isn't running")
        return self._inner

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place in the engine inside."""
        async with self.inner.slot(ticket) as decoder:
            yield _Watched(self, decoder)

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside."""
        return self.inner.stats

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside."""
        return self.inner.describe()

    async def write(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """One turn."""
        if self.asked == self._stop_at:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        self.asked += 1
        completion = await decoder.generate(context, params, seed=seed, cutoff=cutoff)
        if completion.finish_reason is not FinishReason.ABORT:
            self.written[cache_key(identity(self.describe()), context, params, seed)] += 1
        return completion


class _Watched:
    """A place in a watched engine."""

    def __init__(self, witness: Witness, inner: Decoder) -> None:
        self._witness, self._inner = witness, inner

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, and be counted."""
        return await self._witness.write(self._inner, context, params, seed=seed, cutoff=cutoff)
