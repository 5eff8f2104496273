"""A simulated engine: an author gives its texts, and the measured costs of a machine the time that they take.

It implements the port as real engines do, so that contests are rehearsed and policies compared on machines that aren't
here. Under a virtual clock (`clock.virtual_clock`) nine hours take seconds. Seats are given by the client's own
admission; a trajectory's own context, and a prompt that another had, are cached.

`SampledAuthor` takes answers and lengths that models really gave. A problem is one row of a samples file: JSON lines
with `problem`, `answer` and `answers`, and with `tokens` or `chars`, the length of each of them. How many programs a
trajectory runs, and how long each takes, isn't recorded: the shares below are those of SC-TIR runs that were measured
or read of (docs/experiments.md).
"""

import json
import math
import random
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import anyio

from numina_infer.core.config import SamplingParams, require, require_whole
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Cutoff, EngineStats
from numina_infer.core.records import LARGEST_WHOLE, Completion, FinishReason, Part, plain_text
from numina_infer.core.restarts import Openable, run_in_background
from numina_infer.engines.admission import Admission, EndpointCapacity, Seat
from numina_infer.engines.context import Transcript, render
from numina_infer.engines.scripted_engine import VOCABULARY, Cue
from numina_infer.engines.simulated_machine import MachineCosts, Running, RunningBatch

_UNLIMITED = 10**9
_CHARS_A_TOKEN = 3.0
"""In mathematics and programs."""
_NUM_TURNS = {1: 0.10, 2: 0.50, 3: 0.25, 4: 0.15}
"""How many completions a trajectory has."""
_QUICK, _SLOW = 0.80, 0.15
"""Shares of programs that take milliseconds, and seconds; the rest never ends."""
_NEVER_ENDS_S = 3600.0


@dataclass(frozen=True, slots=True)
class Passage:
    """A trajectory's text in one turn, and its length.

    It may stand for more tokens than its text has: then each token of the text stands for several.
    """

    text: str
    num_tokens: int | None = None
    """Tokens that it stands for, the end token included; None for those of the text."""


class Author(Protocol):
    """Writes passages for trajectories."""

    @property
    def name(self) -> str:
        """Its name in a run log."""

    def passage(self, cue: Cue) -> Passage:
        """All that the model would write from here on."""


@dataclass(frozen=True, slots=True)
class RecordedSamples:
    """The samples of one problem."""

    problem: str
    answers: tuple[str | None, ...]
    """As they were stated; None where a sample stated nothing."""
    tokens: tuple[float, ...]
    """The length of each."""

    def __post_init__(self) -> None:
        require(bool(self.problem.strip()), "a row of the samples has an empty problem")
        require(
            bool(self.answers) and len(self.answers) == len(self.tokens),
            f"the samples of {self.problem[:40]!r} have {len(self.answers)} answers and {len(self.tokens)} lengths; "
            "give one length an answer, and at least one",
        )
        for tokens in self.tokens:
            require(0 <= tokens <= LARGEST_WHOLE, f"a sample's length is {tokens}; it must be 0 to 2**63 - 1")


def read_samples(path: Path) -> tuple[RecordedSamples, ...]:
    """The rows of a samples file.

    Raises:
        ConfigError: it can't be read, or a row isn't of the shape above; the text says which.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the samples {path} can't be read: {error}") from error
    rows = tuple(_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip())
    require(bool(rows), f"the samples {path} have no rows")
    return rows


def _row(line: str, place: str) -> RecordedSamples:
    try:
        row: dict[str, Any] = json.loads(line)
        lengths = row.get("tokens") or [chars / _CHARS_A_TOKEN for chars in row["chars"]]
        tokens = tuple(map(float, lengths))
        answers = tuple(None if answer is None else str(answer) for answer in row["answers"])
        problem = str(row["problem"])
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{place}: no row of samples ({error!r}); give problem, answers and tokens or chars"
        ) from error
    return RecordedSamples(problem, answers, tokens)


class SampledAuthor:
    """Says what recorded samples said: programs first, then the answer in a box."""

    def __init__(self, rows: Sequence[RecordedSamples], *, name: str, tail_sigma: float = 0.0) -> None:
        """Lengths are multiplied by a log-normal factor of median 1 with `tail_sigma`."""
        require(bool(rows), "no samples are given")
        self.name = name
        self._rows, self._tail_sigma = tuple(rows), tail_sigma
        self._row_of: dict[str, RecordedSamples] = {}
        self._plans: dict[int, list[Passage]] = {}

    def passage(self, cue: Cue) -> Passage:
        """The next turn of the trajectory with the cue's ticket, drawn with the seed of its first."""
        if cue.turn == 0:
            self._plans[cue.ticket] = self.plan(cue.context_text, cue.seed)
        plan = self._plans[cue.ticket]
        return plan[min(cue.turn, len(plan) - 1)]

    def plan(self, prompt: str, seed: int) -> list[Passage]:
        """All turns of a trajectory: one of the row's answers at random, with its length."""
        row, chance = self._find(prompt), random.Random(seed)  # noqa: S311 (a simulation, no secret)
        sample = chance.randrange(len(row.answers))
        factor = math.exp(self._tail_sigma * chance.gauss(0, 1))
        (num_turns,) = chance.choices(list(_NUM_TURNS), list(_NUM_TURNS.values()))
        shares = [chance.uniform(0.5, 1.5) for _ in range(num_turns)]
        lengths = [max(1, round(row.tokens[sample] * factor * share / sum(shares))) for share in shares]
        answer = row.answers[sample]
        last = "I don't know." if answer is None else f"The answer is $\\boxed{{{answer}}}$."
        return [*(Passage(_program(answer, chance), length) for length in lengths[:-1]), Passage(last, lengths[-1])]

    def _find(self, prompt: str) -> RecordedSamples:
        """The row whose problem stands in `prompt`; for any other problem one that its text picks."""
        if prompt not in self._row_of:
            known = [row for row in self._rows if row.problem.strip() in prompt]
            self._row_of[prompt] = max(
                known,
                key=lambda row: len(row.problem),
                default=self._rows[zlib.crc32(prompt.encode()) % len(self._rows)],
            )
        return self._row_of[prompt]


def _program(answer: str | None, chance: random.Random) -> str:
    """A program that the simulated sandbox takes the stated time for."""
    kind = chance.random()
    seconds = chance.uniform(0.03, 0.1) if kind < _QUICK else chance.uniform(1, 5)
    if kind > _QUICK + _SLOW:
        seconds = _NEVER_ENDS_S
    printed = answer if answer is not None and answer.isdecimal() else "0"
    return f"```python\n# simulated: {seconds:.3f} s\nprint({printed})\n```\n```output\n"


class _Replica:
    """One batch, driven by the event loop."""

    def __init__(self, costs: MachineCosts) -> None:
        self.batch = RunningBatch(costs)
        self.prompts: set[str] = set()
        """Prompts whose keys and values are cached."""
        self._done: dict[Running, anyio.Event] = {}
        self._news = anyio.Event()

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        while True:
            self._advance()
            self._news = anyio.Event()
            with anyio.CancelScope(deadline=self.batch.next_at):
                await self._news.wait()

    def _advance(self) -> None:
        for running in self.batch.advance(anyio.current_time()):
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
        *,
        max_num_seqs: int = 48,
        max_model_len: int = 4096,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """`max_num_seqs` is a replica's; `now` gives the loop's time, from any thread."""
        require_whole("max_num_seqs", max_num_seqs, 1)
        require_whole("max_model_len", max_model_len, 1)
        self._author, self._costs, self._now = author, costs, now
        self._max_num_seqs, self._max_model_len = max_num_seqs, max_model_len
        self._replicas: list[_Replica] = []
        self._seats = Admission[_Replica]([], max_model_len)

    async def _open(self, stack: AsyncExitStack) -> None:
        costs = self._costs
        self._replicas = [_Replica(costs) for _ in range(costs.num_replicas)]
        rooms = [EndpointCapacity(replica, self._max_num_seqs, costs.kv_tokens) for replica in self._replicas]
        self._seats = Admission(rooms, self._max_model_len)
        await run_in_background(stack, *(replica.run for replica in self._replicas))

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator["SimulatedDecoder"]:
        """A place for one trajectory, on the replica with most room."""
        async with self._seats.seat(ticket) as seat:
            yield SimulatedDecoder(self._author, self._seats, seat, self._max_model_len)

    @property
    def stats(self) -> EngineStats:
        """Simulated tokens, and turns in the batch."""
        now, batches = self._now(), [replica.batch for replica in self._replicas]
        num_tokens = math.floor(sum(batch.all_written_by(now) for batch in batches) + 1e-6)
        return EngineStats(num_tokens, sum(len(batch.running) for batch in batches))

    def describe(self) -> Mapping[str, str | int | float]:
        """Author, costs and capacity."""
        costs = asdict(self._costs)
        return {
            "engine": "simulated",
            "model": self._author.name,
            "simulated_machine": costs.pop("source"),
            **costs,
            "kv_tokens": self._costs.kv_tokens * self._costs.num_replicas,
            "max_num_seqs": self._max_num_seqs,
            "max_model_len": self._max_model_len,
        }


class SimulatedDecoder:
    """One seat of a `SimulatedEngine`; one `generate` at a time."""

    def __init__(self, author: Author, seats: Admission[_Replica], seat: Seat[_Replica], max_model_len: int) -> None:
        self._author, self._seats, self._seat, self._max_model_len = author, seats, seat, max_model_len
        self._extra = self._num_cached = 0
        """Tokens that the context stands for beyond those of its text, and tokens of it that are cached."""

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        prompt_ids = render(context, VOCABULARY)
        own = [index for index, part in enumerate(context) if isinstance(part, Completion)]
        passage = self._author.passage(Cue(plain_text(context), seed, self._seat.ticket, len(own)))
        turn = _SimulatedTurn(passage, params, prompt_ids, len(prompt_ids) + self._extra, self._max_model_len)
        if turn.num_tokens and not cutoff.has_passed:
            await self._write(turn, cutoff, plain_text(context[: own[0]] if own else context))
        completion, extra = turn.completion(seed)
        self._extra += extra
        self._num_cached = turn.num_context + completion.num_tokens
        return completion

    async def _write(self, turn: "_SimulatedTurn", cutoff: Cutoff, prompt: str) -> None:
        """Let the time of `turn` pass, to its end or the cutoff."""
        seat, num_cached = self._seat, self._num_cached
        with cutoff.scope():
            async with self._seats.turn(seat, turn.num_context, turn.num_tokens) as replica:
                if prompt in replica.prompts:
                    num_cached = max(num_cached, len(VOCABULARY.encode(prompt)))
                replica.prompts.add(prompt)
                running = Running(seat.ticket, turn.num_context, turn.num_tokens)
                turn.num_cached = min(num_cached, turn.num_context)
                try:
                    await replica.write(running, turn.num_context - turn.num_cached, cutoff)
                finally:
                    seat.live += math.floor(running.written)
                    turn.num_written = min(turn.num_tokens, math.floor(running.written + 1e-6))


class _SimulatedTurn:
    """One passage behind a context of `num_context` tokens: where it ends, and the text of any part of it."""

    def __init__(
        self, passage: Passage, params: SamplingParams, prompt_ids: Sequence[int], num_context: int, max_model_len: int
    ) -> None:
        self._ids = [*VOCABULARY.encode(passage.text.encode(errors="replace").decode()), None]
        self._params, self._prompt_ids = replace(params, max_tokens=_UNLIMITED), prompt_ids
        self._stretch = max(1.0, (passage.num_tokens or 0) / len(self._ids))
        self.num_context, self.num_written, self.num_cached = num_context, 0, 0
        self._whole = whole = self._transcript(len(self._ids))
        length, room = math.ceil(whole.num_tokens * self._stretch - 1e-9), max_model_len - num_context
        most = max(0, min(params.max_tokens, room))
        limit = FinishReason.LENGTH if params.max_tokens <= room else FinishReason.CONTEXT
        self.num_tokens, self._end = (length, whole.finish_reason) if length <= most else (most, limit)

    def _transcript(self, num_ids: int) -> Transcript:
        transcript = Transcript(VOCABULARY.decode, self._params, room=_UNLIMITED, prompt_ids=self._prompt_ids)
        for token_id in self._ids[:num_ids]:
            if (transcript.push_eos() if token_id is None else transcript.push(token_id)) is not None:
                break
        return transcript

    def completion(self, seed: int) -> tuple[Completion, int]:
        """The text so far, and how many more tokens it stands for than it has."""
        is_whole = self.num_written == self.num_tokens
        is_natural = is_whole and self._end is self._whole.finish_reason
        num_ids = math.floor(self.num_written / self._stretch + 1e-9)
        transcript = self._whole if is_natural else self._transcript(num_ids)
        completion = transcript.completion(
            seed=seed, num_prompt_tokens=self.num_context, num_cached_tokens=self.num_cached
        )
        reason = self._end if is_whole and self._end is not None else FinishReason.ABORT
        stop_reason = completion.stop_reason if reason is FinishReason.STOP else None
        whole = replace(completion, finish_reason=reason, stop_reason=stop_reason, num_tokens=self.num_written)
        return whole, self.num_written - transcript.num_tokens
