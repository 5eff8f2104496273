"""An engine and a sandbox that do their worst, drawn from a seed: for contests whose replies must stand it."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import anyio

from numina_infer.core.config import Mode, SamplingParams
from numina_infer.core.errors import EngineError, SandboxError
from numina_infer.core.ports import Cutoff, Decoder, EngineStats, Session
from numina_infer.core.records import Completion, Execution, ExecutionStatus, FinishReason, Part

TEXTS = (
    "\\boxed{52}",
    "\\boxed{-3}",
    "\\boxed{10^{30}}",
    "The answer is 7.5",
    "",
    "```python\nprint(1)\n```\n```output\n",
)
KINDS = ("writes", "writes", "writes", "dawdles", "ignores the cutoff", "fails", "breaks", "never gives a place")


@dataclass(frozen=True)
class Mischief:
    """What engine and sandbox do, drawn anew each time from one seed."""

    chance: random.Random
    kinds: tuple[str, ...]

    async def strike(self, cutoff: Cutoff | None) -> None:
        """Take some time, or fail."""
        kind, seconds = self.chance.choice(self.kinds), self.chance.expovariate(1 / 20)
        if kind == "fails":
            raise self.chance.choice([EngineError, SandboxError])("no luck")
        if kind == "breaks":
            raise RuntimeError("a fault of ours")
        if kind == "ignores the cutoff":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(50 * seconds)
        elif cutoff is not None:
            with cutoff.scope():
                await anyio.sleep(20 * seconds if kind == "dawdles" else seconds)

    async def admit(self) -> None:
        """Give a place, or keep whoever wants one waiting."""
        if self.chance.choice(self.kinds) == "never gives a place":
            await anyio.sleep_forever()


class BadEngine:
    """An engine up to mischief; `BadSandbox` beside it."""

    def __init__(self, mischief: Mischief) -> None:
        self.mischief = mischief

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Nothing to end."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place, perhaps."""
        await self.mischief.admit()
        yield self

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Some text, some time."""
        await self.mischief.strike(cutoff)
        text = self.mischief.chance.choice(TEXTS)
        reason = FinishReason.STOP if text.endswith("output\n") else FinishReason.EOS
        stop = "```output\n" if reason is FinishReason.STOP else None
        return Completion(text, (), FinishReason.ABORT if cutoff.has_passed else reason, stop, num_tokens=9)

    @property
    def stats(self) -> EngineStats:
        """None are kept."""
        return EngineStats()

    def describe(self) -> dict[str, str | int | float]:
        """What it is."""
        return {"engine": "bad"}


class BadSandbox:
    """Programs that fare as the mischief has it."""

    def __init__(self, mischief: Mischief) -> None:
        self.mischief = mischief

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Nothing to end."""

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A place, perhaps."""
        await self.mischief.admit()
        yield self

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        """Some result, some time."""
        await self.mischief.strike(cutoff)
        return Execution(self.mischief.chance.choice(list(ExecutionStatus)), "1")

    @property
    def incidents(self) -> tuple[str, ...]:
        """None ever."""
        return ()

    def describe(self) -> dict[str, str | int | float]:
        """What it is."""
        return {"sandbox": "bad"}
