"""An engine around an engine that breaks on purpose, for drills: the faults that cost other teams their submissions.

A fault happens at a problem, named by a text in its statement, or at the start. It tests the parts around an engine,
such as `supervised.SupervisedEngine`, and works under virtual time.
"""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError, EngineGoneError
from numina_infer.core.ports import Cutoff, Decoder, Engine, EngineStats
from numina_infer.core.records import Completion, Part, plain_text
from numina_infer.core.restarts import Openable, run_in_background


@dataclass(slots=True)
class Faults:
    """The faults of one engine over all of its starts; each is used up as it happens."""

    start_s: float = 0.0
    """How long a start takes."""
    num_failed_starts: float = 0
    """Starts that end in an error; `math.inf` for all."""
    dies_on: str = ""
    """At the first turn on a problem with this text the engine breaks, and whatever it was writing is lost."""
    num_deaths: float = 1
    """How often that happens."""
    wears_out_on: str = ""
    """At the first turn on a problem with this text nothing of the engine is left, and it can't help itself."""
    num_wears: float = 1
    """How often that happens."""
    hangs_on: str = ""
    """No turn on a problem with this text ends, not even at its cutoff."""
    max_batch: float = math.inf
    """With more turns than this in flight each ends in an error, as if memory had run out."""


class FaultyEngine(Openable):
    """An `Engine` with faults: `async with FaultyEngine(engine, faults) as engine`, over an engine that is open.

    Raises on entering:
        EngineError: a start fails.
    """

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self._engine, self._faults = engine, faults
        self._num_running = 0
        self._death = anyio.Event()
        self._is_worn_out = False

    async def _open(self, stack: AsyncExitStack) -> None:
        await anyio.sleep(self._faults.start_s)
        if self._faults.num_failed_starts > 0:
            self._faults.num_failed_starts -= 1
            raise EngineError("the server ended before it was ready")
        await run_in_background(stack, self._break)

    async def _break(self) -> None:
        await self._death.wait()
        raise EngineError("the server died")

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place in the engine inside.

        Raises:
            EngineGoneError: nothing of it is left.
        """
        self._require_rest()
        async with self._engine.slot(ticket) as decoder:
            yield _FaultyDecoder(self, decoder)

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside."""
        return self._engine.stats

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside, called faulty."""
        inner = self._engine.describe()
        return {**inner, "engine": f"faulty {inner['engine']}"}

    async def generate(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """One turn, unless a fault strikes.

        Raises:
            EngineError: one did.
        """
        self._num_running += 1
        try:
            await self._strike(plain_text(context))
            return await decoder.generate(context, params, seed=seed, cutoff=cutoff)
        finally:
            self._num_running -= 1

    def _require_rest(self) -> None:
        if self._is_worn_out:
            raise EngineGoneError("no server is left")

    async def _strike(self, text: str) -> None:
        faults = self._faults
        await anyio.lowlevel.checkpoint()  # the others of a batch come in
        if self._death.is_set():
            raise EngineError("the connection to the server was lost")
        if faults.dies_on and faults.dies_on in text and faults.num_deaths > 0:
            faults.num_deaths -= 1
            self._death.set()
            raise EngineError("the connection to the server was lost")
        if faults.wears_out_on and faults.wears_out_on in text and faults.num_wears > 0:
            faults.num_wears -= 1
            self._is_worn_out = True
        self._require_rest()
        if faults.hangs_on and faults.hangs_on in text:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(24 * 3600)
        if self._num_running > faults.max_batch:
            raise EngineError("CUDA out of memory")


@dataclass(frozen=True, slots=True)
class _FaultyDecoder:
    """A place in a faulty engine."""

    engine: FaultyEngine
    inner: Decoder

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says, unless a fault strikes."""
        return await self.engine.generate(self.inner, context, params, seed=seed, cutoff=cutoff)
