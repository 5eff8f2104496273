"""Scores a run against references: how often it is right, and how good a vote of fewer samples would have been.

    run = lab.evaluate_run("runs/20261123-093000", "aime.jsonl")
    print(run.verdicts, run.majority(8), run.passes(8))

Every figure comes from the run log.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from numina_infer.core.config import require, require_choice
from numina_infer.core.ports import Advance
from numina_infer.core.records import Execution, NoAnswer, Outcome, Problem, Solution, StopReason, Trajectory
from numina_infer.lab.evaluate.grading import Grader, GradingConfig
from numina_infer.lab.evaluate.intervals import Estimate, pass_estimate, vote_estimate, wilson
from numina_infer.lab.evaluate.marking import GraderName, Marks, mark_general, mark_integers, samples_of
from numina_infer.lab.evaluate.matching import LeftOut, Matched, Referenced, find_references, match
from numina_infer.lab.evaluate.metrics import Tally
from numina_infer.lab.replay.recording import Recording, read_recording

Losses = Counter[tuple[NoAnswer, Outcome]]
"""Samples without a vote, by the reason and by how they ended.

One that is lost to a limit (`max_tokens`, `context_full`, a cutoff at the deadline) may come back with a larger limit;
one that is lost to its text (`not_an_integer`, `not_stated`) won't.
"""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One problem of a run, with its reference."""

    problem: Problem
    reference: str
    """As the file has it."""
    solution: Solution
    trajectories: tuple[Trajectory, ...]
    """All that ended, without texts."""
    samples: tuple[Trajectory, ...]
    """Those that count (`marking.samples_of`)."""
    marks: Marks
    is_verdict_right: bool | None
    """Whether a vote, not a fallback, hit the reference; None where no vote in the run's range can."""

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
        return sum(trajectory.num_tokens for trajectory in self.trajectories)

    @property
    def executions(self) -> tuple[Execution, ...]:
        """All programs that ran."""
        return tuple(execution for trajectory in self.trajectories for execution in trajectory.executions)

    @property
    def losses(self) -> Losses:
        """Samples without a vote."""
        answered = zip(self.samples, self.marks.answers, strict=True)
        lost = [sample for sample, answer in answered if answer is None]
        return Counter((sample.answer.reason or NoAnswer.NOT_STATED, sample.outcome) for sample in lost)


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
        from numina_infer.lab.evaluate.tables import accuracy_table

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
    def losses(self) -> Losses:
        """Samples without a vote, the most frequent kind first."""
        kinds: Losses = sum((one.losses for one in self.problems), Counter())
        return Counter(dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))))

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
        steps = sorted({step * 2**power for power in range(10) for step in (1, 3)} - {3 * 2**9})
        return (*(k for k in steps if k < self.most_samples), self.most_samples)

    @property
    def num_undecided(self) -> int:
        """Answers that couldn't be compared with their reference; they count as wrong."""
        return sum(len(one.marks.undecided) for one in self.problems)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines that qualify the figures: problems left out, answers that can't be compared, early stops."""
        lines = list(self.left_out.lines)
        if self.num_undecided:
            lines.append(f"{self.num_undecided} answers can't be compared with their reference and count as wrong")
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
    grading: GradingConfig | None = None,
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
    matched = match(recording, find_references(recording, references), require_choice("grader", grader, GraderName))
    with Grader(grading) as compare:
        tasks = [partial(_evaluate_one, one, compare, matched) for one in matched.problems]
        done: dict[Problem, Evaluated] = {}
        for one in compare.each(tasks):
            done[one.problem] = one
            tell(len(done), len(tasks))
    problems = tuple(done[one.recorded.problem] for one in matched.problems)
    return Evaluation(str(recording.folder), matched.grader, problems, matched.left_out)


def _evaluate_one(one: Referenced, compare: Grader, matched: Matched) -> Evaluated:
    recorded, solution, samples = one.recorded, one.solution, samples_of(one.recorded)
    is_general = matched.grader is GraderName.GENERAL
    marks = mark_general(samples, one.reference, compare) if is_general else mark_integers(samples, one.accepted)
    return Evaluated(
        recorded.problem,
        one.reference,
        solution,
        recorded.trajectories,
        samples,
        marks,
        (not solution.is_fallback and solution.answer in one.accepted) if one.accepted else None,
    )
