"""What a run took a problem: samples, tokens, seconds, programs, and how the programs ended."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from numina_infer.core.records import ExecutionStatus
from numina_infer.lab.evaluate.evaluation import Evaluated, Evaluation


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity over problems."""

    mean: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of `values`, one a problem; one at least."""
        return cls(fmean(values), median(values), max(values))


@dataclass(frozen=True, slots=True)
class RunCosts:
    """What the problems of a run took."""

    samples: Spread
    tokens: Spread
    """Sampled, also for what was broken off."""
    seconds: Spread
    """From a problem's arrival to its verdict; problems in work at once share the engine."""
    programs: Spread
    statuses: Mapping[ExecutionStatus, int]
    """Programs of the whole run, by how they ended."""

    @property
    def num_programs(self) -> int:
        """Programs of the whole run."""
        return sum(self.statuses.values())

    def share(self, status: ExecutionStatus) -> float:
        """Of all programs, those that ended so; 0 without any."""
        return self.statuses.get(status, 0) / max(1, self.num_programs)


def costs_of(evaluation: Evaluation) -> RunCosts:
    """What the evaluated problems took."""
    problems = evaluation.problems
    return RunCosts(
        samples=Spread.of([len(one.samples) for one in problems]),
        tokens=Spread.of([one.num_tokens for one in problems]),
        seconds=Spread.of([one.seconds for one in problems]),
        programs=Spread.of([len(one.executions) for one in problems]),
        statuses=_statuses(problems),
    )


def _statuses(problems: Iterable[Evaluated]) -> Mapping[ExecutionStatus, int]:
    counts = Counter(execution.status for one in problems for execution in one.executions)
    return {status: counts[status] for status in ExecutionStatus if counts[status]}
