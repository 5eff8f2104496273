"""Scores a run against references, and compares two runs problem by problem.

    run = lab.evaluate_run("runs/20261123-093000", "aime.jsonl")
    print(run.verdicts, run.majority(8), run.passes(8))

Every figure comes from the run log.
Of fifty problems a rerun moves a score by 0.6 to 1.4 (standard deviation, eleven recorded models), a new set of fifty
by 3.5, so two scores say little. The same problems solved twice say more, since the hard ones are hard for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from numina_infer.core.config import require, require_choice
from numina_infer.core.ports import Advance
from numina_infer.core.records import Execution, Problem, StopReason, Trajectory
from numina_infer.lab.evaluate.grading import Grader
from numina_infer.lab.evaluate.marking import GraderName, Marks, mark_general, mark_integers, samples_of
from numina_infer.lab.evaluate.matching import LeftOut, Referenced, find_references, match, named
from numina_infer.lab.evaluate.metrics import (
    Difference,
    Estimate,
    Tally,
    maj_at_k,
    paired_difference,
    pass_estimate,
    vote_estimate,
    wilson,
)
from numina_infer.lab.replay.recording import Recording, read_recording


@dataclass(frozen=True, slots=True)
class Evaluated(Referenced):
    """One problem of a run, scored."""

    samples: tuple[Trajectory, ...]
    """The trajectories that count (`marking.samples_of`)."""
    marks: Marks

    @property
    def problem(self) -> Problem:
        """What was asked."""
        return self.recorded.problem

    @property
    def is_verdict_right(self) -> bool | None:
        """Whether a vote, not a fallback, hit the reference; None where no vote in the run's range can."""
        return not self.solution.is_fallback and self.solution.answer in self.accepted if self.accepted else None

    @property
    def tally(self) -> Tally:
        """The samples as the metrics count them."""
        return self.marks.tally

    @property
    def is_right(self) -> bool:
        """The verdict, or, where no verdict can be right, more than half of the vote of all samples."""
        return self.tally.score > 0.5 if self.is_verdict_right is None else self.is_verdict_right

    @property
    def seconds(self) -> float:
        """From the problem's arrival to its verdict."""
        return self.solution.solved_at - self.solution.opened_at

    @property
    def num_tokens(self) -> int:
        """Tokens sampled, those of broken-off trajectories included."""
        return sum(trajectory.num_tokens for trajectory in self.recorded.trajectories)

    @property
    def executions(self) -> tuple[Execution, ...]:
        """All programs that ran."""
        return tuple(one for trajectory in self.recorded.trajectories for one in trajectory.executions)


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """A run scored against references, problem by problem."""

    name: str
    """The run's folder."""
    grader: GraderName
    """`integer` or `general`."""
    problems: tuple[Evaluated, ...]
    """In the order of their openings; one at least."""
    left_out: LeftOut

    def __repr__(self) -> str:
        return f"<Evaluation of {self.name}: {len(self.problems)} problems, {self.verdicts or self.vote} right>"

    def _repr_html_(self) -> str:
        from numina_infer.lab.cells import html_table
        from numina_infer.lab.evaluate.frames import accuracy_table

        return html_table(accuracy_table(self), *self.remarks)

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """One a problem."""
        return tuple(one.tally for one in self.problems)

    @property
    def verdicts(self) -> Estimate | None:
        """Accuracy of the submitted answers; None where no verdict can be right."""
        judged = [one.is_verdict_right for one in self.problems if one.is_verdict_right is not None]
        return wilson(sum(judged), len(judged)) if judged else None

    @property
    def vote(self) -> Estimate:
        """Accuracy of the plain vote of all samples, ties scored fractionally."""
        return wilson(sum(tally.score for tally in self.tallies), len(self.problems))

    @property
    def num_samples(self) -> int:
        """Samples of all problems."""
        return sum(len(one.samples) for one in self.problems)

    @property
    def most_samples(self) -> int:
        """Samples of the problem that has most."""
        return max(tally.num_samples for tally in self.tallies)

    def majority(self, k: int) -> Estimate:
        """maj@k; of a problem with fewer samples all are taken."""
        return vote_estimate(self.tallies, self._checked(k))

    def passes(self, k: int) -> Estimate:
        """pass@k; of a problem with fewer samples all are taken."""
        return pass_estimate(self.tallies, self._checked(k))

    def num_short(self, k: int) -> int:
        """Problems with fewer than `k` samples."""
        return sum(tally.num_samples < k for tally in self.tallies)

    @property
    def ks(self) -> tuple[int, ...]:
        """The k of a readable curve: powers of two, numbers between them, and all samples."""
        steps = sorted(step * 2**power for power in range(9) for step in (2, 3))
        return (*(k for k in (1, *steps) if k < self.most_samples), self.most_samples)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines that qualify the figures: problems left out, answers that can't be compared, early stops."""
        lines = list(self.left_out.lines)
        if undecided := sum(len(one.marks.undecided) for one in self.problems):
            lines.append(f"{undecided} answers can't be compared with their reference and count as wrong")
        if early := sum(one.solution.stop_reason is StopReason.DECIDED for one in self.problems):
            lines.append(
                f"{early} problems stopped when they were decided, so that their samples are fewer than a fixed "
                "number; maj@k beyond those is the vote of all, pass@k a lower bound"
            )
        return tuple(lines)

    def _checked(self, k: int) -> int:
        require(1 <= k <= self.most_samples, f"k is {k}; the run has 1 to {self.most_samples} samples a problem")
        return k


def evaluate_run(
    run: str | Path | Recording,
    references: str | Path | Mapping[str, str] | None = None,
    *,
    grader: str = GraderName.AUTO,
    tell: Advance = lambda _done, _all: None,
) -> Evaluation:
    """Score `run`, finished or not, against `references`: a problems file, or answers by problem id.

    Without `references`, those of the problems file that the run itself read count.

    Raises:
        RunLogError: there is no run, or it can't be read.
        ConfigError: the references can't be read, or none of them is of a problem with a verdict.
        GradingError: math-verify is needed and doesn't start.
    """
    recording = run if isinstance(run, Recording) else read_recording(run)
    wanted = require_choice("grader", grader, GraderName)
    chosen, problems, left_out = match(recording, find_references(recording, references), wanted)
    done: list[Evaluated] = []
    with Grader() as compare:
        for one in compare.each(lambda problem: _evaluate_one(problem, chosen, compare), problems):
            done.append(one)
            tell(len(done), len(problems))
    return Evaluation(str(recording.folder), chosen, tuple(done), left_out)


def _evaluate_one(one: Referenced, grader: GraderName, compare: Grader) -> Evaluated:
    samples, is_general = samples_of(one.recorded), grader is GraderName.GENERAL
    marks = mark_general(samples, one.reference, compare) if is_general else mark_integers(samples, one.accepted)
    return Evaluated(one.recorded, one.solution, one.reference, one.accepted, samples, marks)


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem in both runs, and its maj@k in each."""

    first: Evaluated
    second: Evaluated
    first_score: float
    second_score: float


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """A first run against a second."""

    first: Evaluation
    second: Evaluation
    k: int
    """Samples of a vote; problems with fewer use all they have."""
    pairs: tuple[Pair, ...]
    difference: Difference
    """In maj@k, first less second."""

    def __repr__(self) -> str:
        return f"<Comparison: {self.sentence}>"

    def _repr_html_(self) -> str:
        from numina_infer.lab.cells import html_table
        from numina_infer.lab.evaluate.frames import comparison_table

        return html_table(comparison_table(self), *self.remarks, self.sentence)

    @property
    def scores(self) -> tuple[float, float]:
        """maj@k of the two runs over the problems of both."""
        return fmean(pair.first_score for pair in self.pairs), fmean(pair.second_score for pair in self.pairs)

    @property
    def num_right_alone(self) -> tuple[int, int]:
        """Problems that the first run alone got right, and those that the second alone did."""
        right = [(pair.first.is_right, pair.second.is_right) for pair in self.pairs]
        return right.count((True, False)), right.count((False, True))

    @property
    def left_out(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Ids of problems that only the first run has, and of those that only the second has."""
        both = {pair.first.problem for pair in self.pairs}
        first, second = (
            tuple(one.problem.id for one in run.problems if one.problem not in both)
            for run in (self.first, self.second)
        )
        return first, second

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which problems weren't compared."""
        rest = zip((self.first, self.second), self.left_out, strict=True)
        return tuple(f"not compared: {named(ids)}, only in {run.name}" for run, ids in rest if ids)

    @property
    def sentence(self) -> str:
        """The result in words: which run is better, or that they can't be told apart."""
        better, worse, scores, gap = self.first, self.second, self.scores, self.difference
        low, high, chance = gap.low, gap.high, gap.chance_first_better
        if gap.value < 0:
            better, worse, scores = worse, better, (scores[1], scores[0])
            low, high, chance = -gap.high, -gap.low, 1 - gap.chance_first_better
        figures = (
            f"maj@{self.k} {scores[0]:.1%} against {scores[1]:.1%} on {len(self.pairs)} problems, "
            f"{100 * abs(gap.value):.1f} points more (95 %: {100 * low:.1f} to {100 * high:.1f}), "
            f"better with a chance of {chance:.0%}"
        )
        if gap.is_clear:
            return f"{better.name} is better than {worse.name}: {figures}."
        return f"{better.name} and {worse.name} can't be told apart: {figures}."


def compare(first: Evaluation, second: Evaluation, k: int | None = None) -> Comparison:
    """`first` against `second` on the problems of both: same id, same statement.

    `k` is, without a choice, as many samples as both runs have of some problem.

    Raises:
        ConfigError: they have no problem in common, were graded in two ways, or neither has so many samples.
    """
    require(
        first.grader is second.grader,
        f"{first.name} was graded by {first.grader}, {second.name} by {second.grader}; grade both in one way",
    )
    most = min(first.most_samples, second.most_samples)
    k = most if k is None else k
    require(1 <= k <= most, f"k is {k}; the two runs have 1 to {most} samples a problem")
    others = {one.problem: one for one in second.problems}
    pairs = tuple(
        Pair(one, other, maj_at_k(one.tally, k), maj_at_k(other.tally, k))
        for one in first.problems
        if (other := others.get(one.problem)) is not None
    )
    require(
        bool(pairs),
        f"{first.name} and {second.name} have no problem in common, so they can't be compared; the first has "
        f"{first.problems[0].problem.id!r} and {len(first.problems) - 1} others",
    )
    difference = paired_difference([pair.first_score for pair in pairs], [pair.second_score for pair in pairs])
    return Comparison(first, second, k, pairs, difference)
