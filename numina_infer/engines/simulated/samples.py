"""Recorded samples as texts for a simulated engine: answers and lengths that models really gave.

A problem is one row of a samples file: JSON lines with `problem`, `answer` and `answers`, and with `tokens` or
`chars`, the length of each of them. A trajectory takes one of the row's answers at random, with its length.
How many programs it runs, and how long each takes, isn't recorded; the shares below are those of facts that the
project measured or read of SC-TIR runs (docs/experiments.md), and simulated like everything here.
"""

import json
import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError
from numina_infer.core.records import LARGEST_WHOLE
from numina_infer.engines.scripts import Cue
from numina_infer.engines.simulated.simulated_engine import Passage

CHARS_A_TOKEN = 3.0
"""In mathematics and programs."""
_NUM_TURNS = {1: 0.10, 2: 0.50, 3: 0.25, 4: 0.15}
"""How many completions a trajectory has."""
_QUICK, _SLOW = 0.80, 0.15
"""Shares of programs that take milliseconds, and seconds; the rest never ends."""
_NEVER_ENDS_S = 3600.0


@dataclass(frozen=True, slots=True)
class RecordedSamples:
    """The samples of one problem."""

    problem: str
    """Its statement."""
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
        lengths = row.get("tokens") or [chars / CHARS_A_TOKEN for chars in row["chars"]]
        tokens = tuple(map(float, lengths))
        answers = tuple(None if answer is None else str(answer) for answer in row["answers"])
        problem = row["problem"]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{place}: no row of samples ({error!r}); give problem, answers and tokens or chars"
        ) from error
    return RecordedSamples(problem, answers, tokens)


class SampledAuthor:
    """Says what recorded samples said: programs first, then the answer in a box."""

    def __init__(
        self, rows: Sequence[RecordedSamples], *, name: str, length_scale: float = 1.0, tail_sigma: float = 0.0
    ) -> None:
        """Lengths are multiplied by `length_scale`, and by a log-normal factor of median 1 with `tail_sigma`."""
        require(bool(rows), "no samples are given")
        self.name = name
        self._rows, self._length_scale, self._tail_sigma = tuple(rows), length_scale, tail_sigma
        self._row_of: dict[str, RecordedSamples] = {}
        self._plans: dict[int, list[Passage]] = {}

    def passage(self, cue: Cue) -> Passage:
        """The next turn of the trajectory with the cue's ticket, drawn with the seed of its first."""
        if cue.turn == 0:
            chance = random.Random(cue.seed)  # noqa: S311 (a simulation, no secret)
            self._plans[cue.ticket] = self._plan(self._find(cue.context_text), chance)
        plan = self._plans[cue.ticket]
        return plan[min(cue.turn, len(plan) - 1)]

    def forget(self, ticket: int) -> list[Passage]:
        """All passages of the trajectory with that ticket, which won't ask again."""
        return self._plans.pop(ticket)

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

    def _plan(self, row: RecordedSamples, chance: random.Random) -> list[Passage]:
        sample = chance.randrange(len(row.answers))
        factor = self._length_scale * math.exp(self._tail_sigma * chance.gauss(0, 1))
        (num_turns,) = chance.choices(list(_NUM_TURNS), list(_NUM_TURNS.values()))
        shares = [chance.uniform(0.5, 1.5) for _ in range(num_turns)]
        lengths = [max(1, round(row.tokens[sample] * factor * share / sum(shares))) for share in shares]
        answer = row.answers[sample]
        return [*(Passage(_program(answer, chance), length) for length in lengths[:-1]), _last(answer, lengths[-1])]


def _program(answer: str | None, chance: random.Random) -> str:
    """A program that the simulated sandbox takes the stated time for."""
    kind = chance.random()
    seconds = chance.uniform(0.03, 0.1) if kind < _QUICK else chance.uniform(1, 5)
    if kind > _QUICK + _SLOW:
        seconds = _NEVER_ENDS_S
    printed = answer if answer is not None and answer.isdecimal() else "0"
    return f"```python\n# simulated: {seconds:.3f} s\nprint({printed})\n```\n```output\n"


def _last(answer: str | None, length: int) -> Passage:
    return Passage("I don't know." if answer is None else f"The answer is $\\boxed{{{answer}}}$.", length)
