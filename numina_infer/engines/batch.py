"""One replica of a simulated engine: sequences that decode together, in closed form between their comings and goings.

Continuous batching (Orca, OSDI 2022): every step gives each running sequence one token. While nobody comes or goes, a
step's time grows by the same amount each step, so the time of k steps is a quadratic in k, and nothing is stepped.
Steps are taken for continuous. A prompt's tokens hold all sequences up for as long as they take, as chunks of it share
the steps. When the cache is full the sequence with the highest ticket is preempted and computed again later, as vLLM
does (arXiv 2309.06180, section 4.5).
"""

import math
from dataclasses import dataclass

from numina_infer.engines.costs import Costs

_DONE = 1e-6
"""Steps within which a sequence counts as ended."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One turn that is being decoded."""

    ticket: int
    context: int
    """Tokens that it began with."""
    num_tokens: float
    """What it will write."""
    written: float = 0.0

    @property
    def left(self) -> float:
        """Steps to its end."""
        return self.num_tokens - self.written

    @property
    def live(self) -> float:
        """Tokens whose keys and values it holds."""
        return self.context + self.written


class Batch:
    """The sequences of one replica, at some time in seconds of work: stalls don't count."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._at = 0.0
        self._owed_s = 0.0
        """Prompts that are still to be computed."""
        self.running: list[Sequence] = []
        self.preempted: list[Sequence] = []
        self.num_written = 0.0
        self.num_prefilled = 0
        self.num_preemptions = 0
        self.busy_s = 0.0

    def join(self, sequence: Sequence, num_uncached: int) -> None:
        """Let `sequence` run, behind the prefill of `num_uncached` tokens."""
        self._prefill(num_uncached)
        self.running.append(sequence)

    def leave(self, sequence: Sequence) -> None:
        """Take `sequence` out, wherever it is."""
        for place in (self.running, self.preempted):
            if sequence in place:
                place.remove(sequence)
        self._readmit()

    def _prefill(self, num_tokens: int) -> None:
        self._owed_s += self._costs.prefill_s * num_tokens
        self.num_prefilled += num_tokens

    @property
    def live(self) -> float:
        """Tokens whose keys and values the cache holds of running sequences."""
        return sum(sequence.live for sequence in self.running)

    @property
    def next_at(self) -> float:
        """When a sequence will end or the cache be full, if nobody comes or goes; never where nothing runs."""
        if not self.running:
            return math.inf
        return self._at + self._owed_s + self._seconds(self._steps_to_event())

    def _steps_to_event(self) -> float:
        to_end = min(sequence.left for sequence in self.running)
        to_full = (self._costs.kv_tokens - self.live) / len(self.running)
        return max(0.0, to_end if len(self.running) == 1 else min(to_end, to_full))

    def _step_s(self) -> tuple[float, float]:
        """A step's seconds now, and by how much more each further step takes."""
        costs, count = self._costs, len(self.running)
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
        while self.running and self.next_at <= at:
            self._go(self.next_at, self._steps_to_event())
            ended += self._settle()
        if self.running and at > self._at:
            decoding_s = at - self._at - self._owed_s
            self._go(at, self._steps(decoding_s) if decoding_s > 0 else 0.0)
        self._at = max(self._at, at)
        return ended

    def _go(self, at: float, steps: float) -> None:
        self.busy_s += at - self._at
        self._owed_s = max(0.0, self._owed_s - (at - self._at))
        self._at = at
        self.num_written += steps * len(self.running)
        for sequence in self.running:
            sequence.written += steps

    def _settle(self) -> list[Sequence]:
        """Take out what has ended; without that, the cache is full and somebody makes room."""
        ended = [sequence for sequence in self.running if sequence.left <= _DONE]
        for sequence in ended:
            sequence.written = sequence.num_tokens
            self.leave(sequence)
        if not ended:
            last = max(self.running, key=lambda sequence: sequence.ticket)
            self.running.remove(last)
            self.preempted.append(last)
            self.num_preemptions += 1
        return ended

    def _readmit(self) -> None:
        """Compute preempted sequences again, the lowest ticket first, while there is room to write on."""
        self.preempted.sort(key=lambda sequence: sequence.ticket)
        while self.preempted and self._has_room(self.preempted[0]):
            sequence = self.preempted.pop(0)
            self.join(sequence, math.ceil(sequence.live))

    def _has_room(self, sequence: Sequence) -> bool:
        return not self.running or self.live + sequence.live + len(self.running) < self._costs.kv_tokens

    def written_by(self, sequence: Sequence, at: float) -> float:
        """What `sequence` will have written at `at`, if nobody comes or goes before."""
        if sequence not in self.running or at - self._at <= self._owed_s:
            return sequence.written
        return min(sequence.num_tokens, sequence.written + self._steps(at - self._at - self._owed_s))
