"""The batched decode loop: rows join, draw with their own seed, stop at their own stop string, and leave on their own.

One forward pass a step serves every row that runs (iteration-level scheduling, Orca, OSDI 2022).
The event loop owns the rows and their texts; one worker thread owns torch and the caches. They meet between steps, so
neither needs a lock and the event loop never waits for a matrix.

A token is drawn with one uniform number, looked up in the cumulative distribution in the order of the vocabulary: a
draw depends on its row alone, not on what else is in the batch.
Filters come in vLLM's order: temperature, min_p (arXiv 2407.01082), top_k, top_p (nucleus, arXiv 1904.09751).
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import anyio
import torch

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Completion, Part
from numina_infer.engines.context import Transcript, render
from numina_infer.engines.local.models import LoadedModel
from numina_infer.engines.local.passes import KVCache, Passes, cut


@dataclass(frozen=True, slots=True)
class Draw:
    """A sampled token."""

    token_id: int
    logprob: float
    """Natural log of its probability under the model itself: temperature 1, no filter, as vLLM reports it."""


def seeded(seed: int) -> torch.Generator:
    """A row's own source of randomness."""
    return torch.Generator().manual_seed(seed % 2**64)


def draw(logits: torch.Tensor, params: SamplingParams, generator: torch.Generator) -> Draw:
    """Draw from `logits`, shape [vocabulary].

    Raises:
        EngineError: the logits aren't numbers, as happens when float16 overflows.
    """
    logits = logits.float().cpu()
    logprobs = torch.log_softmax(logits, dim=-1)
    if bool(logprobs.isnan().any()):
        raise EngineError("the model's logits are not numbers; try dtype float32")
    token_id = int(logits.argmax()) if params.temperature == 0 else _sample(logprobs, params, generator)
    return Draw(token_id, float(logprobs[token_id]))


def _sample(logprobs: torch.Tensor, params: SamplingParams, generator: torch.Generator) -> int:
    cdf = filtered(logprobs, params).cumsum(dim=0)
    below_total = torch.nextafter(cdf[-1], torch.zeros_like(cdf[-1]))
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    return int(torch.searchsorted(cdf, torch.minimum(uniform * cdf[-1], below_total), right=True))


def filtered(logprobs: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """Unnormalised float64 probabilities of `logprobs`, shape [vocabulary], zero where a filter drops the token."""
    probs = torch.softmax((logprobs.double() - logprobs.max()) / params.temperature, dim=-1)
    if params.min_p > 0:
        probs = probs.where(probs >= params.min_p * probs.max(), 0.0)
    if 0 < params.top_k < len(probs):
        probs = probs.where(probs >= probs.topk(params.top_k).values[-1], 0.0)
    return _nucleus(probs, params.top_p) if params.top_p < 1 else probs


def _nucleus(probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """The fewest likeliest tokens that hold `top_p` of the mass; of equals, the first of the vocabulary."""
    ranked, order = probs.sort(descending=True, stable=True)
    mass_before = ranked.cumsum(dim=0) - ranked
    kept = order[mass_before < top_p * ranked.sum()]
    return torch.zeros_like(probs).index_copy(0, kept, probs[kept])


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


class Stepper:
    """The worker thread's side: one model, one cache a slot, one step at a time."""

    def __init__(self, passes: Passes, num_slots: int) -> None:
        self._passes = passes
        self.caches = tuple(KVCache() for _ in range(num_slots))

    def step(self, rows: Sequence[Row]) -> Mapping[Row, Draw | EngineError]:
        """One token for each of `rows` that may run in this step; an error for those whose pass failed."""
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

    def _forward(self, batch: Sequence[Row]) -> torch.Tensor:
        """Logits behind the last token of every row, shape [rows, vocabulary]; the caches grow."""
        new_ids = [self._take_up(row) for row in batch]
        pieces = [
            piece
            for row, new in zip(batch, new_ids, strict=True)
            for piece in cut(row.cache, new, self._passes.longest)
        ]
        logits = self._passes.logits(pieces)
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


def _drawn(row: Row, logits: torch.Tensor) -> Draw | EngineError:
    try:
        return draw(logits, row.params, row.generator)
    except EngineError as error:
        return error


class DecodeLoop:
    """The event loop's side: rows come and go here."""

    def __init__(self, stepper: Stepper, end_ids: frozenset[int], executor: Executor) -> None:
        self.num_tokens = 0
        self._stepper, self._end_ids, self._executor = stepper, end_ids, executor
        self._rows: dict[Row, None] = {}  # in the order in which they came
        self._wake = anyio.Event()
        self._is_open = True

    @property
    def num_running(self) -> int:
        """Rows in the batch or about to join it."""
        return len(self._rows)

    async def decode(self, row: Row, cutoff: Cutoff) -> None:
        """Let `row` join at the next step; return when it is done or the cutoff passes, and it has left the batch.

        Raises:
            EngineError: its pass failed, or the engine was closed.
        """
        if not self._is_open:
            raise EngineError("the engine was closed; generate inside its `async with`")
        self._rows[row] = None
        self._wake.set()
        try:
            with cutoff.scope():
                await row.done.wait()
        finally:
            self._rows.pop(row, None)
        if row.error is not None:
            raise EngineError(row.error)

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
        else:
            self.num_tokens += 1
            if row.accept(result, self._end_ids):
                row.done.set()
        if row.done.is_set():
            del self._rows[row]


class TransformersDecoder:
    """One slot of a `TransformersEngine`; one `generate` at a time."""

    def __init__(self, loaded: LoadedModel, loop: DecodeLoop, cache: KVCache, ticket: int) -> None:
        self._loaded, self._loop, self._cache, self._ticket = loaded, loop, cache, ticket
        self._is_first_turn = True

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        vocabulary = self._loaded.vocabulary
        prompt_ids = render(context, vocabulary)
        if not prompt_ids:
            raise EngineError("the context is empty, and the model has no token to begin a text with")
        room = self._loaded.max_model_len - len(prompt_ids)
        row = Row(
            ticket=self._ticket,
            cache=self._cache,
            is_first_turn=self._is_first_turn,
            prompt_ids=prompt_ids,
            transcript=Transcript(vocabulary.decode, params, room=room, prompt_ids=prompt_ids),
            params=params,
            seed=seed,
        )
        if row.transcript.finish_reason is None and not cutoff.has_passed:
            self._is_first_turn = False
            await self._loop.decode(row, cutoff)
        return row.transcript.completion(
            seed=seed,
            num_prompt_tokens=len(prompt_ids),
            num_cached_tokens=row.num_cached,
            cumulative_logprob=row.logprob,
        )
