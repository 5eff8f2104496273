"""Times a decoding step or a prompt of a running server.

A step is timed between pieces of the streams, once all requests of a batch are writing, so that prompts and the queue
aren't in it. Of several repeats the least counts: disturbances only ever add time.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.records import FinishReason
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.wire import Chunk, TurnRequest
from numina_infer.engines.vocabulary import Vocabulary

STEPS = 41
"""Tokens that each request of a batch writes: the first, and five pieces of eight."""
REPEATS = 3
_WORDS = "Let the sum of the first n positive integers be 5050 and find the largest prime that divides it. "


@dataclass(slots=True)
class _Pace:
    """When the pieces of one reply came, and how many tokens there were by then."""

    finish_reason: FinishReason | None = None
    times: list[tuple[float, int]] = field(default_factory=list)

    def take(self, chunk: Chunk) -> None:
        if chunk.token_ids:
            written = self.times[-1][1] if self.times else 0
            self.times.append((anyio.current_time(), written + len(chunk.token_ids)))
        if chunk.finish_reason is not None:
            self.finish_reason = FinishReason.LENGTH


class Stopwatch:
    """Plays made-up turns on endpoints that are otherwise idle."""

    def __init__(self, endpoints: Sequence[Endpoint], vocabulary: Vocabulary) -> None:
        self._endpoints = tuple(endpoints)
        words = list(vocabulary.encode(_WORDS))
        self._words, self._vocabulary = words, vocabulary
        self._nonces = itertools.count(1)

    async def step_s(self, batch: int, context: int, *, seeded: bool = True) -> float:
        """Seconds of one decoding step with `batch` requests of `context` tokens on each endpoint."""
        prompt = self._prompt(context)
        for endpoint in self._endpoints:
            await self._play(endpoint, prompt, 1, seed=0)  # so that its keys and values are cached
        return await self._batch_step_s(batch, prompt, seeded)

    async def prefill_s(self, tokens: int) -> float:
        """Seconds that `tokens` of a prompt take which no cache has, beyond what one short request takes."""
        return max(1e-9, await self._least_first_s(tokens) - await self._least_first_s(1))

    async def _least_first_s(self, tokens: int) -> float:
        return min([await self._first_s(self._prompt(tokens)) for _ in range(REPEATS)])

    async def _first_s(self, prompt: list[int]) -> float:
        begun = anyio.current_time()
        pace = await self._play(self._endpoints[0], prompt, 1, seed=0)
        return pace.times[0][0] - begun

    async def _batch_step_s(self, batch: int, prompt: list[int], seeded: bool) -> float:
        paces: list[_Pace] = []
        failures: list[EngineError] = []

        async def play(endpoint: Endpoint, index: int) -> None:
            try:
                paces.append(await self._play(endpoint, prompt, STEPS, seed=index if seeded else None))
            except EngineError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for endpoint, index in itertools.product(self._endpoints, range(batch)):
                group.start_soon(play, endpoint, index)
        if failures:
            raise failures[0]
        return _common_step_s(paces)

    async def _play(self, endpoint: Endpoint, prompt: list[int], num_tokens: int, *, seed: int | None) -> _Pace:
        pace = _Pace()
        params = SamplingParams(max_tokens=num_tokens)
        await endpoint.play(TurnRequest(prompt, params, num_tokens, seed, 0, ignore_eos=True), pace)
        if not pace.times:
            raise EngineError(f"{endpoint.address} sent no token ids, so nothing can be timed; it must be vLLM")
        return pace

    def _prompt(self, tokens: int) -> list[int]:
        """So many tokens, with a beginning that no earlier prompt had."""
        own = list(self._vocabulary.encode(f"{next(self._nonces)}. "))
        return list(itertools.islice(itertools.chain(own, itertools.cycle(self._words)), tokens))


def _common_step_s(paces: Sequence[_Pace]) -> float:
    """The mean step while all requests were writing; of each, from its first piece in that time to its last."""
    begin = max(pace.times[0][0] for pace in paces)
    end = min(pace.times[-1][0] for pace in paces)
    steps = [_mean_step_s(pace, begin, end) for pace in paces]
    known = [step for step in steps if step is not None]
    if not known:
        raise EngineError("no two pieces of a reply came while the whole batch was writing; take a smaller batch")
    return sum(known) / len(known)


def _mean_step_s(pace: _Pace, begin: float, end: float) -> float | None:
    within = [(at, written) for at, written in pace.times if begin <= at <= end]
    if len(within) < 2 or within[-1][1] == within[0][1]:
        return None
    return (within[-1][0] - within[0][0]) / (within[-1][1] - within[0][1])
