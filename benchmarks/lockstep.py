"""Rounds, as a schedule to compare with: an Engine around an Engine and a Sandbox around a Sandbox.

NuminaMath's 2024 kernel writes one completion of every sample, then runs all their programs, then begins the next
round (kaggle-solution.ipynb, its one `vllm.generate` a step and `Dataset.map(process_code)`).
Here the solver, the requests and the seeds stay ours: a trajectory that comes to a completion, or to a program, waits
until every other of its problem has come there too or has ended. So the schedule is all that differs.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from numina_infer.core.config import Mode, SamplingParams
from numina_infer.core.ports import Cutoff, Decoder, Engine, EngineStats, Sandbox, Session
from numina_infer.core.records import Completion, Execution, Part


class Barrier:
    """Where the trajectories of one problem wait for each other, phase after phase, and wave after wave."""

    def __init__(self, num_live: int, num_later: int = 0) -> None:
        """`num_live` trajectories will come, and `num_later` more, as many a wave, once these have ended."""
        self._num_live, self._num_here = num_live, 0
        self._width, self._num_later, self._wave = num_live, num_later, 0
        self._gate, self._next_wave = anyio.Event(), anyio.Event()

    async def enter(self, ticket: int) -> None:
        """Return once the wave of the trajectory with `ticket` has begun."""
        while ticket // self._width > self._wave:
            await self._next_wave.wait()

    def give_up(self) -> None:
        """Take note that one of a later wave won't come."""
        self._num_later -= 1

    async def wait(self, cutoff: Cutoff | None = None) -> None:
        """Return once all that are alive wait here, or at `cutoff`."""
        gate = self._gate
        self._num_here += 1
        self._open_if_complete()
        try:
            await _wait(gate, cutoff)
        finally:
            if not gate.is_set():
                self._num_here -= 1

    def leave(self) -> None:
        """Take note that one trajectory has ended."""
        self._num_live -= 1
        if self._num_live == 0 and self._num_later > 0:
            self._begin_wave()
        self._open_if_complete()

    def _begin_wave(self) -> None:
        self._wave += 1
        self._num_live = min(self._width, self._num_later)
        self._num_later -= self._num_live
        begun, self._next_wave = self._next_wave, anyio.Event()
        begun.set()

    def _open_if_complete(self) -> None:
        if 0 < self._num_here == self._num_live:
            gate, self._gate, self._num_here = self._gate, anyio.Event(), 0
            gate.set()


async def _wait(gate: anyio.Event, cutoff: Cutoff | None) -> None:
    if cutoff is None:
        await gate.wait()
        return
    with cutoff.scope():
        await gate.wait()


@dataclass(frozen=True, slots=True)
class LockstepEngine:
    """An `Engine` whose decoders begin a turn together.

    `engine` must have a slot for every trajectory of a wave at once: one that waits for a slot is waited for.
    """

    engine: Engine
    barrier: Barrier

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A slot, once its wave has begun; whoever gives it back, or gives up waiting for it, has ended."""
        has_begun = False
        try:
            await self.barrier.enter(ticket)
            has_begun = True
        finally:
            if not has_begun:
                self.barrier.give_up()
        try:
            async with self.engine.slot(ticket) as decoder:
                yield _LockstepDecoder(decoder, self.barrier)
        finally:
            self.barrier.leave()

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside."""
        return self.engine.stats

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside."""
        return self.engine.describe()


@dataclass(frozen=True, slots=True)
class _LockstepDecoder:
    decoder: Decoder
    barrier: Barrier

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        await self.barrier.wait(cutoff)
        return await self.decoder.generate(context, params, seed=seed, cutoff=cutoff)


@dataclass(frozen=True, slots=True)
class LockstepSandbox:
    """A `Sandbox` whose sessions begin a program together."""

    sandbox: Sandbox
    barrier: Barrier

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A session of the sandbox inside."""
        async with self.sandbox.session(mode) as session:
            yield _LockstepSession(session, self.barrier)

    @property
    def incidents(self) -> tuple[str, ...]:
        """Those of the sandbox inside."""
        return self.sandbox.incidents

    def describe(self) -> Mapping[str, str | int | float]:
        """The sandbox inside."""
        return self.sandbox.describe()


@dataclass(frozen=True, slots=True)
class _LockstepSession:
    session: Session
    barrier: Barrier

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        await self.barrier.wait(cutoff)
        return await self.session.execute(code, timeout_s=timeout_s, cutoff=cutoff)
