"""The generation cache, an engine around an engine: what was generated once is never generated again.

A turn that is in the folder is answered from there, exactly as it was recorded, whether or not the engine would write
the same text again. Any other is generated and kept, unless the cutoff ended it early.
Two equal turns at once are generated once ("single flight", as Go's x/sync has it); where the first is cut off, the
second writes it. A trajectory takes its place in the engine with its first turn that isn't in the folder, so one whose
turns are all there never waits.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, CacheStats, Cutoff, Decoder, Engine, EngineStats
from numina_infer.core.records import Completion, FinishReason, Part
from numina_infer.core.restarts import Openable
from numina_infer.engines.cache.cache_folder import CacheFolder
from numina_infer.engines.cache.cache_key import Identity, cache_key, identity

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Flight:
    """One turn that is being generated, for all trajectories that ask for it."""

    completion: Completion | None = None
    """None until it is whole, and for ever where it was cut off."""
    is_over: anyio.Event = field(default_factory=anyio.Event)


class CachedEngine(Openable):
    """An `Engine` with a cache: `async with CachedEngine(engine, folder) as engine`, over one that isn't open yet.

    Raises on entering:
        NuminaError: the engine inside doesn't start.
    """

    def __init__(
        self,
        engine: AbstractAsyncContextManager[Engine],
        folder: Path,
        *,
        report: Announce = _log.warning,
    ) -> None:
        """`folder` is made when needed, and may be shared with other processes; `report` gets what goes wrong.

        Raises:
            ConfigError: `folder` is a file.
        """
        self._opening, self._folder = engine, CacheFolder(folder, report)
        self._inner: Engine | None = None
        self._identity: Identity = {}
        self._flights: dict[str, _Flight] = {}
        self._counts = CacheStats()

    async def _open(self, stack: AsyncExitStack) -> None:
        self._inner = await stack.enter_async_context(self._opening)
        self._identity = identity(self._inner.describe())

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place for one trajectory, which takes a place in the engine inside when it needs one."""
        async with AsyncExitStack() as place:
            yield _CachedDecoder(self, ticket, place)

    @property
    def inner(self) -> Engine:
        """The engine inside."""
        if self._inner is None:
            raise EngineError("the engine isn't running; enter it with `async with` first")
        return self._inner

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside, and the cache's own."""
        inner = EngineStats() if self._inner is None else self._inner.stats
        return replace(inner, cache=self._counts)

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside, and where the cache is."""
        return {**self.inner.describe(), "cache": str(self._folder.path)}

    def key(self, context: Sequence[Part], params: SamplingParams, seed: int) -> str:
        """The turn's key in the folder."""
        return cache_key(self._identity, context, params, seed)

    async def recall(self, key: str) -> Completion | None:
        """The completion, waited for if it is being generated; None where the caller must generate it."""
        while (completion := self._folder.get(key)) is None and (flight := self._flights.get(key)) is not None:
            await flight.is_over.wait()
            if (completion := flight.completion) is not None:
                break
        if completion is not None:
            self._count_hit(completion.num_tokens)
        return completion

    def _count_hit(self, num_tokens: int) -> None:
        counts = self._counts
        num_saved = counts.num_saved_tokens + num_tokens
        self._counts = replace(counts, num_hits=counts.num_hits + 1, num_saved_tokens=num_saved)

    @contextmanager
    def writing(self, key: str) -> Iterator[Callable[[Completion], None]]:
        """Make equal turns wait while this one is generated, and keep its completion if it is whole."""
        flight = self._flights[key] = _Flight()

        def keep(completion: Completion) -> None:
            if completion.finish_reason is not FinishReason.ABORT:
                flight.completion = completion
                self._counts = replace(self._counts, num_misses=self._counts.num_misses + 1)
                self._folder.put(key, completion)

        try:
            yield keep
        finally:
            del self._flights[key]
            flight.is_over.set()


class _CachedDecoder:
    """One trajectory's place; one `generate` at a time."""

    def __init__(self, engine: CachedEngine, ticket: int, place: AsyncExitStack) -> None:
        self._engine, self._ticket, self._place = engine, ticket, place
        self._inner: Decoder | None = None

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        key = self._engine.key(context, params, seed)
        with cutoff.scope() as waiting:
            await checkpoint()
            if (known := await self._engine.recall(key)) is not None:
                return known
        if waiting.cancelled_caught:
            return _nothing(seed)
        # No wait lies between `recall` and here, so nobody else has begun it.
        with self._engine.writing(key) as keep:
            inner = await self._place_inside(cutoff)
            completion = await inner.generate(context, params, seed=seed, cutoff=cutoff) if inner else _nothing(seed)
            keep(completion)
        return completion

    async def _place_inside(self, cutoff: Cutoff) -> Decoder | None:
        """The place in the engine, taken now if it wasn't before; None when the cutoff comes first."""
        if self._inner is None:
            with cutoff.scope():
                self._inner = await self._place.enter_async_context(self._engine.inner.slot(self._ticket))
        return self._inner


def _nothing(seed: int) -> Completion:
    """The completion when the cutoff comes before the first token."""
    return Completion("", (), FinishReason.ABORT, seed=seed)
