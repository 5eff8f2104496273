"""A machine that isn't here: the costs of its decoding steps, and a batch of sequences that decode together on it.

A step reads the weights once, the keys and values of every live token once, and has some work a sequence: three
numbers, a straight line in each (the roofline of memory-bound decoding; Orca, OSDI 2022; vLLM, arXiv 2309.06180).
They come from the figures that `numina-infer probe` measured, or, where there are none, from the T4's data sheet.

Every step gives each running sequence one token. While no sequence joins or leaves, a step's time grows by the same
amount each step, so the time of k steps is a quadratic in k, computed in closed form. A prompt's tokens delay all
sequences, since chunks of it share the steps. When the cache is full, the sequence with the highest ticket is
preempted and computed again later, as vLLM does (arXiv 2309.06180, section 4.5).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numina_infer.core.config import require, require_number, require_positive, require_whole
from numina_infer.core.errors import ConfigError

_DONE = 1e-6
"""Steps within which a sequence counts as ended."""
_SOON_S = 1e-7
"""Events due within this time count as due: clock time and work time are converted, with rounding."""


@dataclass(frozen=True, slots=True)
class MachineCosts:
    """Seconds and tokens of one machine."""

    base_s: float
    """A decoding step's fixed part."""
    sequence_s: float
    """A decoding step's part for each sequence."""
    token_s: float
    """A decoding step's part for each live token of its sequences."""
    prefill_s: float
    """For each token of a prompt."""
    kv_tokens: int
    """Tokens whose keys and values one replica holds."""
    num_replicas: int = 1
    source: str = "given"
    """Where the figures are from."""

    def __post_init__(self) -> None:
        for name in ("base_s", "sequence_s", "token_s", "prefill_s"):
            require_number(name, getattr(self, name))
        require_positive("base_s + sequence_s", self.base_s + self.sequence_s)
        require_whole("kv_tokens", self.kv_tokens, 1)
        require_whole("num_replicas", self.num_replicas, 1)


T4_COSTS = MachineCosts(
    base_s=0.0253423744,
    sequence_s=0.0002126266368,
    token_s=1.024e-06,
    prefill_s=0.0002126266368,
    kv_tokens=39356,
    source="numina-7b-gptq on 2 x T4, tensor parallel over 2, by arithmetic",
)
"""The winner's weights on Kaggle's machine, in the layout and with the bytes of `models.fit`.

Weights and keys and values are read at three quarters of the data sheet's 320 GB/s, and arithmetic runs at half of its
65 TFLOPS: both shares are assumptions. A step's all-reduce over PCIe without peer access takes 9 ms, by arithmetic.
"""


def read_costs(file: Path) -> MachineCosts:
    """The costs that `numina-infer probe` measured, of the layout that decodes most tokens a second.

    Raises:
        ConfigError: the file isn't such a probe's, or the probe was stopped too early.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        layouts = [layout for layout in found["layouts"] if len(layout["decode"]) >= 3 and layout["prefill"]]
        require(bool(layouts), f"the probe in {file} was stopped before it had measured a layout; run it again")
        rates = [len(layout["servers"]) * max(step["tokens_per_s"] for step in layout["decode"]) for layout in layouts]
        best = layouts[rates.index(max(rates))]
        measured_on = f"{found['machine']['processor']}, measured {str(found['measured_at'])[:10]}"
        return costs_of_layout(best, f"{found['model']} on {measured_on}")
    except (OSError, UnicodeDecodeError, AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file} is no probe's file ({error!r}); make one with numina-infer probe") from error


def costs_of_layout(layout: Mapping[str, Any], source: str) -> MachineCosts:
    """The costs of one layout of a probe.

    Raises:
        KeyError: it lacks something.
    """
    base_s, sequence_s, token_s = _plane(layout["decode"])
    longest = max(layout["prefill"], key=lambda prompt: float(prompt["tokens"]))
    num_replicas = max(1, len(layout["servers"]))
    return MachineCosts(
        base_s=base_s,
        sequence_s=sequence_s,
        token_s=token_s,
        prefill_s=longest["seconds"] / longest["tokens"],
        kv_tokens=int(layout["kv_tokens"]) // num_replicas,
        num_replicas=num_replicas,
        source=source,
    )


def _plane(steps: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """The least-squares fit of step times, none of its numbers below zero; errors count relative to the step."""
    import numpy as np
    from scipy.optimize import nnls

    rows = np.array([[1.0, step["batch"], step["batch"] * step["context"]] for step in steps])
    times = np.array([step["step_s"] for step in steps])
    fitted, _ = nnls(rows / times[:, None], np.ones(len(times)))
    base_s, sequence_s, token_s = map(float, fitted)
    return base_s, sequence_s, token_s


@dataclass(slots=True, eq=False)
class Running:
    """One turn that is being decoded."""

    ticket: int
    context: int
    """Tokens that it began with."""
    num_tokens: float
    """Tokens that it will write."""
    written: float = 0.0
    """Tokens by the time that it last left the batch."""
    joined: float = 0.0
    """The batch's step at which it began to run, as if it had written everything since."""
    num_uncached: int = 0
    """Tokens of its context that are to be computed before it runs."""

    @property
    def end(self) -> float:
        """The batch's step at which it ends, while it runs."""
        return self.joined + self.num_tokens

    @property
    def live(self) -> float:
        """Tokens of its context, while it doesn't run."""
        return self.context + self.written


@dataclass(slots=True)
class RunningBatch:
    """The sequences of one replica, at some time in seconds."""

    costs: MachineCosts
    at: float = 0.0
    running: list[Running] = field(default_factory=list)
    waiting: list[Running] = field(default_factory=list)
    """For room in the cache: new ones, and preempted ones."""
    num_written: float = 0.0
    _owed_s: float = 0.0
    """Prompts that are still to be computed."""
    _step: float = 0.0
    """Steps so far: each gives every running sequence one token."""
    _live_at_0: float = 0.0
    """Live tokens less the steps of all that run, so that it stays the same from step to step."""

    def join(self, sequence: Running, num_uncached: int) -> None:
        """Let `sequence` run, behind the prefill of `num_uncached` tokens, as soon as the cache has room for it."""
        sequence.num_uncached = num_uncached
        self.waiting.append(sequence)
        self._admit()

    def leave(self, sequence: Running) -> None:
        """Take `sequence` out, wherever it is."""
        if sequence in self.running:
            self._stop(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._admit()

    def _stop(self, sequence: Running) -> None:
        self.running.remove(sequence)
        self._live_at_0 -= sequence.context - sequence.joined
        sequence.written = min(self._step - sequence.joined, sequence.num_tokens)

    def _admit(self) -> None:
        """Let those run that wait, the lowest ticket first, while there is room to write on."""
        self.waiting.sort(key=lambda sequence: sequence.ticket)
        while self.waiting and self._has_room(self.waiting[0]):
            sequence = self.waiting.pop(0)
            self._owed_s += self.costs.prefill_s * sequence.num_uncached
            sequence.joined = self._step - sequence.written
            self._live_at_0 += sequence.context - sequence.joined
            self.running.append(sequence)

    def _has_room(self, sequence: Running) -> bool:
        return not self.running or self.live + sequence.live + len(self.running) < self.costs.kv_tokens

    @property
    def live(self) -> float:
        """Tokens whose keys and values the cache holds of running sequences."""
        return self._live_at_0 + len(self.running) * self._step

    @property
    def next_at(self) -> float:
        """When a sequence will end or the cache be full, if nobody comes or goes; never where nothing runs."""
        if not self.running:
            return math.inf
        first_s, more_s = self._step_s()
        steps = self._steps_to_event()
        return self.at + self._owed_s + first_s * steps + more_s * steps * steps / 2

    def _steps_to_event(self) -> float:
        to_end = min(sequence.end for sequence in self.running) - self._step
        to_full = (self.costs.kv_tokens - self.live) / len(self.running)
        return max(0.0, to_end if len(self.running) == 1 else min(to_end, to_full))

    def _step_s(self) -> tuple[float, float]:
        """A step's seconds now, and by how much more each further step takes."""
        costs, count = self.costs, len(self.running)
        return costs.base_s + costs.sequence_s * count + costs.token_s * self.live, costs.token_s * count

    def _steps_by(self, at: float) -> float:
        """The steps from now to `at`, if nobody comes or goes."""
        seconds = at - self.at - self._owed_s
        if seconds <= 0:
            return 0.0
        first_s, more_s = self._step_s()
        if more_s * seconds < 1e-9 * first_s * first_s:
            return seconds / first_s
        return (math.sqrt(first_s * first_s + 2 * more_s * seconds) - first_s) / more_s

    def advance(self, at: float) -> list[Running]:
        """Go on to `at`; the sequences that have ended by then, which have left."""
        ended: list[Running] = []
        while self.running and (next_at := self.next_at) <= at + _SOON_S:
            self._go(next_at, self._steps_to_event())
            ended += self._settle()
        if self.running and at > self.at:
            self._go(at, self._steps_by(at))
        self.at = max(self.at, at)
        return ended

    def _go(self, at: float, steps: float) -> None:
        self._owed_s = max(0.0, self._owed_s - (at - self.at))
        self.at = at
        self.num_written += steps * len(self.running)
        self._step += steps

    def _settle(self) -> list[Running]:
        """Take out what has ended; without that, the cache is full and the highest ticket makes room."""
        ended = [sequence for sequence in self.running if sequence.end <= self._step + _DONE]
        for sequence in ended:
            self._stop(sequence)
            sequence.written = sequence.num_tokens
        if not ended:
            last = max(self.running, key=lambda sequence: sequence.ticket)
            self._stop(last)
            last.num_uncached = math.ceil(last.live)
            self.waiting.append(last)
        self._admit()
        return ended

    def written_by(self, sequence: Running, at: float) -> float:
        """Tokens that `sequence` will have written at `at`, if none joins or leaves before."""
        if sequence not in self.running:
            return sequence.written
        return min(sequence.num_tokens, self._step + self._steps_by(at) - sequence.joined)

    def all_written_by(self, at: float) -> float:
        """Tokens that all sequences so far will have written at `at`, if none joins or leaves before."""
        ahead = (self.written_by(one, at) - self.written_by(one, self.at) for one in tuple(self.running))
        return self.num_written + sum(ahead)
