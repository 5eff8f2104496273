"""One replica of a simulated engine: sequences that decode together, and the stalls of the machine they run on.

Continuous batching (Orca, OSDI 2022): every step gives each running sequence one token. While no sequence joins or
leaves, a step's time grows by the same amount each step, so the time of k steps is a quadratic in k, computed in
closed form. A prompt's tokens delay all sequences, since chunks of it share the steps. When the cache is full, the
sequence with the highest ticket is preempted and computed again later, as vLLM does (arXiv 2309.06180, section 4.5).

Stalls come at random (a Poisson process), as servers that hang and neighbours that take the machine do.
"""

import heapq
import itertools
import math
import random
from dataclasses import dataclass, field

from numina_infer.engines.simulated.machine_costs import MachineCosts

_DONE = 1e-6
"""Steps within which a sequence counts as ended."""
_SOON_S = 1e-7
"""Events due within this time count as due: clock time and work time are converted, with rounding."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One turn that is being decoded."""

    ticket: int
    context: int
    """Tokens that it began with."""
    num_tokens: float
    """Tokens that it will write."""
    written: float = 0.0
    """Tokens by the time that it last left the batch."""
    joined: float | None = None
    """The batch's step at which it began to run, as if it had written everything since; None where it doesn't run."""
    num_uncached: int = 0
    """Tokens of its context that are to be computed before it runs."""

    @property
    def live(self) -> float:
        """Tokens of its context now."""
        return self.context + self.written


@dataclass(slots=True)
class RunningBatch:
    """The sequences of one replica, at some time in seconds of work: stalls don't count."""

    costs: MachineCosts
    at: float = 0.0
    running: set[Sequence] = field(default_factory=set)
    waiting: list[Sequence] = field(default_factory=list)
    """For room in the cache: new ones, and preempted ones."""
    num_prefilled: int = 0
    num_preemptions: int = 0
    num_written: float = 0.0
    busy_s: float = 0.0
    _owed_s: float = 0.0
    """Prompts that are still to be computed."""
    _step: float = 0.0
    """Steps so far: each gives every running sequence one token."""
    _ends: list[tuple[float, int, Sequence]] = field(default_factory=list)
    """A heap of the steps at which sequences end; those that have left meanwhile are passed over."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _live_at_0: float = 0.0
    """Live tokens less the steps of all that run, so that it stays the same from step to step."""

    def join(self, sequence: Sequence, num_uncached: int) -> None:
        """Let `sequence` run, behind the prefill of `num_uncached` tokens, as soon as the cache has room for it."""
        sequence.num_uncached = num_uncached
        self.waiting.append(sequence)
        self._admit()

    def _run(self, sequence: Sequence) -> None:
        self._owed_s += self.costs.prefill_s * sequence.num_uncached
        self.num_prefilled += sequence.num_uncached
        sequence.joined = self._step - sequence.written
        self._live_at_0 += sequence.context - sequence.joined
        self.running.add(sequence)
        heapq.heappush(self._ends, (sequence.joined + sequence.num_tokens, next(self._numbers), sequence))

    def leave(self, sequence: Sequence) -> None:
        """Take `sequence` out, wherever it is."""
        if sequence in self.running:
            self._stop(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._admit()

    def _stop(self, sequence: Sequence) -> None:
        assert sequence.joined is not None  # noqa: S101 (it runs)
        self.running.remove(sequence)
        self._live_at_0 -= sequence.context - sequence.joined
        sequence.written = min(self._step - sequence.joined, sequence.num_tokens)
        sequence.joined = None

    @property
    def live(self) -> float:
        """Tokens whose keys and values the cache holds of running sequences."""
        return self._live_at_0 + len(self.running) * self._step

    @property
    def next_at(self) -> float:
        """When a sequence will end or the cache be full, if nobody comes or goes; never where nothing runs."""
        if not self.running:
            return math.inf
        return self.at + self._owed_s + self._seconds(self._steps_to_event())

    def _steps_to_event(self) -> float:
        while not self._is_next(*self._ends[0]):
            heapq.heappop(self._ends)
        to_end = self._ends[0][0] - self._step
        to_full = (self.costs.kv_tokens - self.live) / len(self.running)
        return max(0.0, to_end if len(self.running) == 1 else min(to_end, to_full))

    @staticmethod
    def _is_next(end: float, _number: int, sequence: Sequence) -> bool:
        """Whether an entry of the heap still holds."""
        return sequence.joined is not None and sequence.joined + sequence.num_tokens == end

    def _step_s(self) -> tuple[float, float]:
        """A step's seconds now, and by how much more each further step takes."""
        costs, count = self.costs, len(self.running)
        return costs.base_s + costs.sequence_s * count + costs.token_s * self.live, costs.token_s * count

    def _seconds(self, steps: float) -> float:
        first_s, more_s = self._step_s()
        return first_s * steps + more_s * steps * steps / 2

    def _steps(self, seconds: float) -> float:
        first_s, more_s = self._step_s()
        if more_s * seconds < 1e-9 * first_s * first_s:
            return seconds / first_s
        return (math.sqrt(first_s * first_s + 2 * more_s * seconds) - first_s) / more_s

    def advance(self, at: float) -> list[Sequence]:
        """Go on to `at`; the sequences that have ended by then, which have left."""
        ended: list[Sequence] = []
        while self.running and (next_at := self.next_at) <= at + _SOON_S:
            self._go(next_at, self._steps_to_event())
            ended += self._settle()
        if self.running and at > self.at:
            decoding_s = at - self.at - self._owed_s
            self._go(at, self._steps(decoding_s) if decoding_s > 0 else 0.0)
        self.at = max(self.at, at)
        return ended

    def _go(self, at: float, steps: float) -> None:
        self.busy_s += at - self.at
        self._owed_s = max(0.0, self._owed_s - (at - self.at))
        self.at = at
        self.num_written += steps * len(self.running)
        self._step += steps

    def _settle(self) -> list[Sequence]:
        """Take out what has ended; without that, the cache is full and somebody makes room."""
        ended = []
        while self._ends and (not self._is_next(*self._ends[0]) or self._ends[0][0] <= self._step + _DONE):
            _, _, sequence = heapq.heappop(self._ends)
            if sequence.joined is not None:
                self._stop(sequence)
                sequence.written = sequence.num_tokens
                ended.append(sequence)
        if not ended:
            self._preempt()
        self._admit()
        return ended

    def _preempt(self) -> None:
        last = max(self.running, key=lambda sequence: sequence.ticket)
        self._stop(last)
        last.num_uncached = math.ceil(last.live)
        self.waiting.append(last)
        self.num_preemptions += 1

    def _admit(self) -> None:
        """Let those run that wait, the lowest ticket first, while there is room to write on."""
        self.waiting.sort(key=lambda sequence: sequence.ticket)
        while self.waiting and self._has_room(self.waiting[0]):
            self._run(self.waiting.pop(0))

    def _has_room(self, sequence: Sequence) -> bool:
        return not self.running or self.live + sequence.live + len(self.running) < self.costs.kv_tokens

    def written_by(self, sequence: Sequence, at: float) -> float:
        """Tokens that `sequence` will have written at `at`, if none joins or leaves before."""
        if sequence.joined is None:
            return sequence.written
        decoding_s = at - self.at - self._owed_s
        steps = self._steps(decoding_s) if decoding_s > 0 else 0.0
        return min(sequence.num_tokens, self._step + steps - sequence.joined)


class Stalls:
    """A machine's stalls from `began` on, drawn as time goes on, the same for the same seed."""

    def __init__(self, began: float, *, every_s: float = 0.0, lasting_s: float = 0.0, seed: int = 0) -> None:
        """A stall of `lasting_s` comes every `every_s` seconds of work on average; 0 for none."""
        self._chance = random.Random(seed)  # noqa: S311 (a simulation, no secret)
        self._every_s, self._lasting_s = every_s, lasting_s
        self._began = began
        self._stalls: list[tuple[float, float]] = []
        """Beginning and end of each, loop time."""
        self._next = math.inf
        self._plan(began)

    def _plan(self, after: float) -> None:
        """When the next stall begins."""
        self._next = after + self._chance.expovariate(1 / self._every_s) if self._every_s else math.inf

    def _draw_to(self, at: float) -> None:
        """Draw the stalls that begin before `at`."""
        while self._next < at:
            end = self._next + self._lasting_s
            self._stalls.append((self._next, end))
            self._plan(end)

    def work(self, at: float) -> float:
        """Seconds of work from the beginning to loop time `at`."""
        self._draw_to(at)
        return at - self._began - sum(min(end, at) - begin for begin, end in self._stalls if begin < at)

    def time(self, work: float) -> float:
        """Loop time at which so much work is done."""
        at = self._began + work
        while math.isfinite(at):
            self._draw_to(at)
            stood_s = sum(end - begin for begin, end in self._stalls if begin < at)
            if at == self._began + work + stood_s:
                break
            at = self._began + work + stood_s
        return at
