"""Engines and sandboxes around others; a subclass changes the result of one turn or of one program."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from numina_infer.core.config import Mode, SamplingParams
from numina_infer.core.ports import Cutoff, Decoder, Engine, EngineStats, Sandbox, Session
from numina_infer.core.records import Completion, Execution, Part


class WrappedEngine:
    """An `Engine` around one that is open; a subclass overrides `generate`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place in the engine inside."""
        async with self._engine.slot(ticket) as decoder:
            yield _WrappedDecoder(self, decoder)

    async def generate(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """One turn, unchanged."""
        return await decoder.generate(context, params, seed=seed, cutoff=cutoff)

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside."""
        return self._engine.stats

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside."""
        return self._engine.describe()


@dataclass(frozen=True, slots=True)
class _WrappedDecoder:
    engine: WrappedEngine
    inner: Decoder

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        return await self.engine.generate(self.inner, context, params, seed=seed, cutoff=cutoff)


class WrappedSandbox:
    """A `Sandbox` around one that is open; a subclass overrides `execute`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def incidents(self) -> tuple[str, ...]:
        """Those of the sandbox inside."""
        return self._sandbox.incidents

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A place in the sandbox inside."""
        async with self._sandbox.session(mode) as session:
            yield _WrappedSession(self, session)

    async def execute(self, session: Session, code: str, *, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        """One program, unchanged."""
        return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)

    def describe(self) -> Mapping[str, str | int | float]:
        """The sandbox inside."""
        return self._sandbox.describe()


@dataclass(frozen=True, slots=True)
class _WrappedSession:
    sandbox: WrappedSandbox
    inner: Session

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        return await self.sandbox.execute(self.inner, code, timeout_s=timeout_s, cutoff=cutoff)
