"""One setting that is tried: the results of its samples by problem, and how far it was taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from numina_infer.answers.references import Accepted
from numina_infer.core.errors import RunLogError
from numina_infer.lab.evaluate.intervals import Estimate, vote_estimate
from numina_infer.lab.evaluate.marking import mark_integers, samples_of
from numina_infer.lab.evaluate.metrics import Tally, majority_curve
from numina_infer.lab.replay.recording import RecordedProblem, read_recording
from numina_infer.lab.tune.search_space import Setting


class TrialStanding(StrEnum):
    """How far a setting was taken."""

    OPEN = "open"
    """It is being tried."""
    DROPPED = "dropped"
    """It was unlikely to be better than the best, and got no more problems."""
    WHOLE = "whole"
    """It got all problems."""


@dataclass(slots=True)
class Trial:
    """A setting and its results so far."""

    setting: Setting
    tallies: list[Tally] = field(default_factory=list)
    """One a problem, in the search's order."""
    num_tokens: int = 0
    """Of all samples, whether they were generated for this setting or found in the cache."""
    seconds: float = 0.0
    """Spent on it."""
    num_hits: int = 0
    """Turns that came from the cache, so that the seconds are fewer than it would take."""
    standing: TrialStanding = TrialStanding.OPEN
    chance_better: float | None = None
    """The chance of being better than the best setting, at the last comparison."""

    @property
    def num_problems(self) -> int:
        """How many it has been tried on."""
        return len(self.tallies)

    def add(self, folder: Path, problem_ids: Sequence[str], references: Mapping[str, Accepted]) -> None:
        """Add the results of a run folder; `problem_ids` are its problems in the search's order.

        Raises:
            RunLogError: it can't be read, or lacks a problem.
        """
        recorded = {one.problem.id: one for one in read_recording(folder).problems}
        if missing := [problem_id for problem_id in problem_ids if problem_id not in recorded]:
            raise RunLogError(f"{folder} lacks {len(missing)} of its problems, {missing[0]} first; remove the search")
        for problem_id in problem_ids:
            self.tallies.append(tally(recorded[problem_id], references[problem_id]))
            self.num_tokens += sum(one.num_tokens for one in recorded[problem_id].trajectories)

    def scores(self, n: int) -> list[float]:
        """maj@n of each problem."""
        return [majority_curve(one)[min(n, one.num_samples) - 1] for one in self.tallies]

    def score(self, n: int) -> float:
        """maj@n over the problems so far; 0 before any."""
        scores = self.scores(n)
        return sum(scores) / len(scores) if scores else 0.0

    def estimate(self, n: int) -> Estimate:
        """The same with its interval."""
        return vote_estimate(self.tallies, n)

    def tokens_per_problem(self, n: int) -> float:
        """Tokens of `n` samples of a problem, in the mean."""
        num_samples = sum(one.num_samples for one in self.tallies)
        return self.num_tokens / num_samples * n if num_samples else 0.0

    @property
    def seconds_per_problem(self) -> float:
        """Seconds spent on all samples of a problem, in the mean."""
        return self.seconds / self.num_problems if self.tallies else 0.0


def tally(recorded: RecordedProblem, accepted: Accepted) -> Tally:
    """The samples of one problem, counted."""
    return mark_integers(samples_of(recorded), accepted).tally
