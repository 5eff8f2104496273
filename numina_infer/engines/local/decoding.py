"""The batched decode loop: rows join, draw with their own seed, stop at their own stop string, and leave on their own.

One forward pass a step serves every row that runs (iteration-level scheduling, Orca, OSDI 2022).
The event loop owns the rows and their texts; one worker thread owns torch and the caches. They meet between steps, so
neither needs a lock and the event loop never waits for a matrix.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.records import Completion
from numina_infer.engines.context import Transcript
from numina_infer.engines.local.kv_cache import KVCache
from numina_infer.engines.local.passes import Passes
from numina_infer.engines.local.sampling import Draw, draw, seeded

if TYPE_CHECKING:
    import torch


@dataclass(eq=False, kw_only=True)
class Row:
    """One `generate` call while it runs."""

    ticket: int
    cache: KVCache
    is_first_turn: bool
    prompt_ids: Sequence[int]
    transcript: Transcript
    params: SamplingParams
    seed: int
    num_cached: int = 0
    logprob: float = 0.0
    is_prefilled: bool = False
    error: str | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.ids, self.generator = list(self.prompt_ids), seeded(self.seed)

    def accept(self, drawn: Draw, end_ids: frozenset[int]) -> bool:
        """Take the token that was drawn; True when it was the last."""
        self.logprob += drawn.logprob
        if drawn.token_id in end_ids:
            self.transcript.push_eos()
        else:
            self.ids.append(drawn.token_id)
            self.transcript.push(drawn.token_id)
        return self.transcript.finish_reason is not None

    def fail(self, message: str) -> None:
        """End the row with an error."""
        self.error = message
        self.done.set()

    def completion(self) -> Completion:
        """The text so far."""
        return self.transcript.completion(
            seed=self.seed,
            num_prompt_tokens=len(self.prompt_ids),
            num_cached_tokens=self.num_cached,
            cumulative_logprob=self.logprob,
        )


class Stepper:
    """The worker thread's side: one model, one cache a slot, one step at a time."""

    def __init__(self, passes: Passes, num_slots: int) -> None:
        self._passes = passes
        self.caches = tuple(KVCache() for _ in range(num_slots))

    def step(self, rows: Sequence[Row]) -> Mapping[Row, Draw | EngineError]:
        """One token for each of `rows` that may run in this step; an error for those whose pass failed."""
        import torch

        try:
            with torch.inference_mode():
                batch = self._admitted(rows)
                logits = self._forward(batch)
                return {row: _drawn(row, logits[index]) for index, row in enumerate(batch)}
        except (EngineError, RuntimeError, MemoryError) as error:
            # Nothing was committed, so the caches are as good as before.
            return {row: EngineError(f"the forward pass failed: {error}") for row in rows}

    def _admitted(self, rows: Sequence[Row]) -> list[Row]:
        """Rows that run, lowest ticket first; at most one of them computes a whole prompt, so that others share it."""
        admitted, computes_prompt = [], False
        for row in sorted(rows, key=lambda row: row.ticket):
            if not row.is_prefilled and row.is_first_turn:
                donor = max(self.caches, key=lambda cache: (cache.shareable(row.ids), cache is row.cache))
                shared = donor.shareable(row.ids)
                is_whole = len(row.ids) - shared > 1
                if is_whole and computes_prompt:
                    continue
                computes_prompt |= is_whole
                row.cache.start(donor, shared)
            admitted.append(row)
        return admitted

    def _forward(self, batch: Sequence[Row]) -> "torch.Tensor":
        """Logits behind the last token of every row, shape [rows, vocabulary]; the caches grow."""
        new_ids = [self._take_up(row) for row in batch]
        pieces = [self._passes.cut(row.cache, new) for row, new in zip(batch, new_ids, strict=True)]
        logits = self._passes.logits(list(chain.from_iterable(pieces)))
        for row, computed in zip(batch, new_ids, strict=True):
            row.cache.commit(computed, is_prompt=row.is_first_turn and not row.is_prefilled)
            row.is_prefilled = True
        return logits

    def _take_up(self, row: Row) -> list[int]:
        """The row's tokens that its cache lacks."""
        if not row.is_prefilled:
            if not row.is_first_turn:
                row.cache.resume(row.ids)
            row.num_cached = len(row.cache)
        return row.ids[len(row.cache) :]


def _drawn(row: Row, logits: "torch.Tensor") -> Draw | EngineError:
    try:
        return draw(logits, row.params, row.generator)
    except EngineError as error:
        return error


class DecodeLoop:
    """The event loop's side: rows come and go here."""

    def __init__(self, stepper: Stepper, end_ids: frozenset[int], executor: Executor) -> None:
        self.num_tokens = 0
        self._stepper, self._end_ids, self._executor = stepper, end_ids, executor
        self._rows: list[Row] = []
        self._wake = anyio.Event()
        self._is_open = True

    @property
    def num_running(self) -> int:
        """Rows in the batch or about to join it."""
        return len(self._rows)

    def add(self, row: Row) -> None:
        """Let `row` join at the next step."""
        if not self._is_open:
            raise EngineError("the engine was closed; generate inside its `async with`")
        self._rows.append(row)
        self._wake.set()

    def drop(self, row: Row) -> None:
        """Take `row` out, whether or not it is done."""
        if row in self._rows:
            self._rows.remove(row)

    async def run(self) -> None:
        """Step for as long as there are rows, wait when there are none, until cancelled."""
        try:
            while True:
                if self._rows:
                    await self._step()
                else:
                    self._wake = anyio.Event()
                    await self._wake.wait()
        finally:
            self._is_open = False
            for row in self._rows:
                row.fail("the engine was closed while it generated")

    async def _step(self) -> None:
        step = self._executor.submit(self._stepper.step, tuple(self._rows))
        for row, result in (await asyncio.wrap_future(step)).items():
            if row in self._rows:
                self._deliver(row, result)

    def _deliver(self, row: Row, result: Draw | EngineError) -> None:
        if isinstance(result, EngineError):
            row.fail(str(result))
            self.drop(row)
            return
        self.num_tokens += 1
        if row.accept(result, self._end_ids):
            row.done.set()
            self.drop(row)
