"""A simulated engine: its texts come from an author, the time they take from the measured costs of a machine.

It implements the port as real engines do, seats, turns and cutoffs included, so that contests are rehearsed and
policies compared on machines that aren't here. Under a virtual clock (`clock.virtual_clock`) nine hours take seconds.
Seats are given by the client's own admission; a trajectory's own context, and a prompt that another had, are cached.

A passage may stand for more tokens than its text has: then each token of the text stands for several.
"""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.engine_config import SimulatedConfig
from numina_infer.core.ports import Cutoff, EngineStats
from numina_infer.core.records import Completion, FinishReason, Part, plain_text
from numina_infer.core.restarts import Openable, run_in_background
from numina_infer.engines.admission import Admission, EndpointCapacity, Seat
from numina_infer.engines.context import Transcript, render
from numina_infer.engines.scripted_engine import VOCABULARY
from numina_infer.engines.scripts import Cue
from numina_infer.engines.simulated.machine_costs import MachineCosts
from numina_infer.engines.simulated.running_batch import RunningBatch, Stalls
from numina_infer.engines.simulated.running_batch import Sequence as Running

_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Passage:
    """A trajectory's text in one turn, and its length."""

    text: str
    num_tokens: int | None = None
    """Tokens that it stands for, the end token included; None for those of the text."""


class Author(Protocol):
    """Writes passages for trajectories."""

    @property
    def name(self) -> str:
        """Its name in a run log."""
        ...

    def passage(self, cue: Cue) -> Passage:
        """All that the model would write from here on."""
        ...


class _Replica:
    """One batch, driven by the event loop."""

    def __init__(self, costs: MachineCosts, stalls: Stalls) -> None:
        self.batch = RunningBatch(costs)
        self.prompts: set[str] = set()
        """Prompts whose keys and values are cached."""
        self._stalls = stalls
        self._done: dict[Running, anyio.Event] = {}
        self._news = anyio.Event()

    def written(self, now: float) -> float:
        """Tokens written by loop time `now`."""
        at = self._stalls.work(now)
        running = tuple(self.batch.running)
        ahead = (self.batch.written_by(one, at) - self.batch.written_by(one, self.batch.at) for one in running)
        return self.batch.num_written + sum(ahead)

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        while True:
            self._advance()
            self._news = anyio.Event()
            with anyio.CancelScope(deadline=self._stalls.time(self.batch.next_at)):
                await self._news.wait()

    def _advance(self) -> None:
        for running in self.batch.advance(self._stalls.work(anyio.current_time())):
            self._done.pop(running).set()

    async def write(self, running: Running, num_uncached: int, cutoff: Cutoff) -> None:
        """Return when `running` has written all it will, or at the cutoff with what there is."""
        self._advance()
        done = self._done[running] = anyio.Event()
        self.batch.join(running, num_uncached)
        self._news.set()
        try:
            with cutoff.scope():
                await done.wait()
        finally:
            self._advance()
            self._done.pop(running, None)
            self.batch.leave(running)
            self._news.set()


class SimulatedEngine(Openable):
    """An `Engine` that takes as long as a machine of those costs: `async with SimulatedEngine(author, costs)`."""

    def __init__(
        self,
        author: Author,
        costs: MachineCosts,
        config: SimulatedConfig | None = None,
        *,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """`now` gives the loop's time, from any thread."""
        self._author, self._costs, self._now = author, costs, now
        self._config = config or SimulatedConfig()
        self._replicas: list[_Replica] = []
        self._seats = Admission[_Replica]([], self._config.max_model_len)

    async def _open(self, stack: AsyncExitStack) -> None:
        await anyio.sleep(self._config.start_s)
        config, began = self._config, anyio.current_time()
        for number in range(self._costs.num_replicas):
            seed = config.seed * self._costs.num_replicas + number
            stalls = Stalls(began, every_s=config.stall_every_s, lasting_s=config.stall_s, seed=seed)
            self._replicas.append(_Replica(self._costs, stalls))
        rooms = [EndpointCapacity(replica, config.max_num_seqs, self._costs.kv_tokens) for replica in self._replicas]
        self._seats = Admission(rooms, config.max_model_len)
        await run_in_background(stack, *(replica.run for replica in self._replicas))

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator["SimulatedDecoder"]:
        """A place for one trajectory, on the replica with most room."""
        async with self._seats.seat(ticket) as seat:
            yield SimulatedDecoder(self, seat)

    @property
    def stats(self) -> EngineStats:
        """Simulated tokens, and turns in the batch."""
        now = self._now()
        written = math.floor(sum(replica.written(now) for replica in self._replicas) + 1e-6)
        return EngineStats(written, sum(len(replica.batch.running) for replica in self._replicas))

    @property
    def batches(self) -> Sequence[RunningBatch]:
        """The batch of each replica, for reports of what they did."""
        return [replica.batch for replica in self._replicas]

    def describe(self) -> Mapping[str, str | int | float]:
        """Author, costs and capacity."""
        return {
            "engine": "simulated",
            "model": self._author.name,
            "simulated_machine": self._costs.source,
            "base_s": self._costs.base_s,
            "sequence_s": self._costs.sequence_s,
            "token_s": self._costs.token_s,
            "prefill_s": self._costs.prefill_s,
            "kv_tokens": self._costs.kv_tokens * self._costs.num_replicas,
            "num_replicas": self._costs.num_replicas,
            "max_num_seqs": self._config.max_num_seqs,
            "max_model_len": self._config.max_model_len,
        }

    def begin(self, context: Sequence[Part], params: SamplingParams, *, seed: int, ticket: int, extra: int) -> "_Turn":
        """The turn that will be written; the context stands for `extra` tokens more than its text has."""
        prompt_ids = render(context, VOCABULARY)
        turn = sum(isinstance(part, Completion) for part in context)
        passage = self._author.passage(Cue(plain_text(context), seed, ticket, turn))
        room = self._config.max_model_len - len(prompt_ids) - extra
        return _Turn(passage, params, prompt_ids, room=room, extra=extra, seed=seed)

    async def write(self, turn: "_Turn", seat: Seat[_Replica], cutoff: Cutoff, prompt: str, num_cached: int) -> None:
        """Let the time of `turn` pass, to its end or the cutoff."""
        with cutoff.scope():
            async with self._seats.turn(seat, turn.num_context, turn.num_tokens) as replica:
                if prompt in replica.prompts and self._config.prefix_caching:
                    num_cached = max(num_cached, len(VOCABULARY.encode(prompt)))
                replica.prompts.add(prompt)
                running = Running(seat.ticket, turn.num_context, turn.num_tokens)
                turn.num_cached = min(num_cached, turn.num_context) if self._config.prefix_caching else 0
                try:
                    await replica.write(running, turn.num_context - turn.num_cached, cutoff)
                finally:
                    seat.live += math.floor(running.written)
                    turn.num_written = min(turn.num_tokens, math.floor(running.written + 1e-6))


class _Turn:
    """One passage: where it ends, and the text of any part of it."""

    def __init__(
        self,
        passage: Passage,
        params: SamplingParams,
        prompt_ids: Sequence[int],
        *,
        room: int,
        extra: int,
        seed: int,
    ) -> None:
        self._ids = [*VOCABULARY.encode(passage.text.encode(errors="replace").decode()), None]
        self._params = replace(params, max_tokens=_UNLIMITED)
        self._prompt_ids, self._seed = prompt_ids, seed
        self._stretch = max(1.0, (passage.num_tokens or 0) / len(self._ids))
        self.num_context = len(prompt_ids) + extra
        self.num_written = self.num_cached = 0
        self._whole = whole = self._transcript(len(self._ids))
        length, most = math.ceil(whole.num_tokens * self._stretch - 1e-9), max(0, min(params.max_tokens, room))
        limit = FinishReason.LENGTH if params.max_tokens <= room else FinishReason.CONTEXT
        self.num_tokens, self._end = (length, whole.finish_reason) if length <= most else (most, limit)

    def _transcript(self, num_ids: int) -> Transcript:
        transcript = Transcript(VOCABULARY.decode, self._params, room=_UNLIMITED, prompt_ids=self._prompt_ids)
        for token_id in self._ids[:num_ids]:
            if (transcript.push_eos() if token_id is None else transcript.push(token_id)) is not None:
                break
        return transcript

    def completion(self) -> tuple[Completion, int]:
        """The text so far, and how many more tokens it stands for than it has."""
        is_whole = self.num_written == self.num_tokens
        is_natural = is_whole and self._end is self._whole.finish_reason
        num_ids = math.floor(self.num_written / self._stretch + 1e-9)
        transcript = self._whole if is_natural else self._transcript(num_ids)
        completion = transcript.completion(
            seed=self._seed, num_prompt_tokens=self.num_context, num_cached_tokens=self.num_cached
        )
        reason = self._end if is_whole and self._end is not None else FinishReason.ABORT
        stop_reason = completion.stop_reason if reason is FinishReason.STOP else None
        whole = replace(completion, finish_reason=reason, stop_reason=stop_reason, num_tokens=self.num_written)
        return whole, self.num_written - transcript.num_tokens


class SimulatedDecoder:
    """One seat of a `SimulatedEngine`; one `generate` at a time."""

    def __init__(self, engine: SimulatedEngine, seat: Seat[_Replica]) -> None:
        self._engine, self._seat = engine, seat
        self._extra = self._num_cached = 0

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        turn = self._engine.begin(context, params, seed=seed, ticket=self._seat.ticket, extra=self._extra)
        if turn.num_tokens and not cutoff.has_passed:
            first = next((index for index, part in enumerate(context) if isinstance(part, Completion)), len(context))
            await self._engine.write(turn, self._seat, cutoff, plain_text(context[:first]), self._num_cached)
        completion, extra = turn.completion()
        self._extra += extra
        self._num_cached = turn.num_context + completion.num_tokens
        return completion
