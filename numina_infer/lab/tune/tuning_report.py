"""The result of a search: what became of each setting, and a sentence that says whether the best two differ.

The best of many equal settings looks better than it is. So the two best are compared in pairs on the same problems,
and where they can't be told apart the sentence says so and names the cheaper one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from rich.table import Table

from numina_infer.answers.references import Accepted
from numina_infer.core.errors import RunLogError
from numina_infer.core.ports import CacheStats
from numina_infer.core.records import Problem
from numina_infer.lab.cells import html_table, make_table
from numina_infer.lab.evaluate.marking import mark_integers, samples_of
from numina_infer.lab.evaluate.metrics import Difference, Estimate, Tally, maj_at_k, paired_difference, vote_estimate
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.tune.search_space import Setting

_DIGITS = 9
"""Scores that differ beyond them are the same."""


class TrialStanding(StrEnum):
    """How far a setting was taken."""

    WHOLE = "whole"
    """It got all problems."""
    DROPPED = "dropped"
    """It was unlikely to be better than the best, and got no more problems."""


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
    standing: TrialStanding = TrialStanding.WHOLE

    @property
    def num_problems(self) -> int:
        """How many it has been tried on."""
        return len(self.tallies)

    def add(self, folder: Path, problems: Sequence[Problem], references: Mapping[str, Accepted]) -> None:
        """Add the results of the run in `folder`; `problems` are its problems in the search's order.

        Raises:
            RunLogError: it can't be read, or lacks a problem.
        """
        recorded = {one.problem: one for one in read_recording(folder).problems}
        for problem in problems:
            if problem not in recorded:
                raise RunLogError(f"{folder} lacks the problem {problem.id}; start the search anew")
            one = recorded[problem]
            self.tallies.append(mark_integers(samples_of(one), references[problem.id]).tally)
            self.num_tokens += sum(trajectory.num_tokens for trajectory in one.trajectories)

    def scores(self, n: int) -> list[float]:
        """maj@n of each problem."""
        return [maj_at_k(one, n) for one in self.tallies]

    def score(self, n: int) -> float:
        """maj@n over the problems."""
        return sum(self.scores(n)) / self.num_problems

    def estimate(self, n: int) -> Estimate:
        """The same with its interval."""
        return vote_estimate(self.tallies, n)

    def tokens_per_problem(self, n: int) -> float:
        """Tokens of `n` samples of a problem, in the mean."""
        return self.num_tokens / sum(one.num_samples for one in self.tallies) * n

    @property
    def seconds_per_problem(self) -> float:
        """Seconds spent on all samples of a problem, in the mean."""
        return self.seconds / self.num_problems


@dataclass(frozen=True, slots=True, repr=False)
class TuningReport:
    """All settings that were tried, with their results."""

    trials: tuple[Trial, ...]
    """In the order in which they were tried."""
    ns: tuple[int, ...]
    """The numbers of samples that settings are compared at, rising; by the last they are ranked."""
    num_problems: int
    """Of a setting that wasn't dropped."""
    cache: CacheStats
    """Of this session."""

    def __repr__(self) -> str:
        return f"<TuningReport: {self.verdict}>"

    def _repr_html_(self) -> str:
        return html_table(self.table(), self.note, self.verdict)

    @property
    def n(self) -> int:
        """The number of samples that settings are ranked by."""
        return self.ns[-1]

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The best first: by their vote, then by their cost; those that were dropped behind all others."""
        return tuple(sorted(self.trials, key=lambda trial: rank(trial, self.n)))

    @property
    def best(self) -> Trial:
        """The setting on top."""
        return self.ranked[0]

    def against_best(self, trial: Trial) -> Difference:
        """`trial` minus the best, on the problems that both have."""
        common = min(trial.num_problems, self.best.num_problems)
        return paired_difference(trial.scores(self.n)[:common], self.best.scores(self.n)[:common])

    @property
    def verdict(self) -> str:
        """The sentence."""
        best, *others = self.ranked
        if not others:
            return f"{best.setting} is the only setting that was tried."
        second = others[0]
        if second.standing is TrialStanding.DROPPED:
            return (
                f"{best.setting} is the best of {len(self.trials)} settings; the others were dropped before they "
                f"had all {self.num_problems} problems."
            )
        gap = paired_difference(best.scores(self.n), second.scores(self.n))
        figures = (
            f"maj@{self.n} {best.score(self.n):.1%} and {second.score(self.n):.1%} on {self.num_problems} problems, "
            f"a difference of {100 * gap.value:.1f} points ({100 * gap.low:.1f} to {100 * gap.high:.1f}), "
            f"and the first is better with a chance of {gap.chance_first_better:.2f}"
        )
        if gap.is_clear:
            return f"{best.setting} is better than {second.setting}, the next best: {figures}."
        return f"{best.setting} and {second.setting} can't be told apart: {figures}. {self._cheaper_of(best, second)}"

    def _cheaper_of(self, *trials: Trial) -> str:
        costs = {round(trial.tokens_per_problem(self.n)): trial for trial in trials}
        if len(costs) == 1:
            return f"Both take {next(iter(costs))} tokens a problem."
        cheap, dear = sorted(costs)
        return f"The cheaper one is {costs[cheap].setting}, with {cheap} tokens a problem instead of {dear}."

    def table(self) -> Table:
        """The table for people."""
        votes = [f"maj@{n}" for n in self.ns]
        names = ("setting", "problems", *votes, "P(better than best)", "tokens/problem", "s/problem")
        rows = (
            (
                str(trial.setting),
                f"{trial.num_problems}{' (dropped)' * (trial.standing is TrialStanding.DROPPED)}",
                *(str(trial.estimate(n)) for n in self.ns),
                "" if trial is self.best else f"{self.against_best(trial).chance_first_better:.2f}",
                f"{trial.tokens_per_problem(self.n):.0f}",
                f"{trial.seconds_per_problem:.1f}{'*' if trial.num_hits else ''}",
            )
            for trial in self.ranked
        )
        return make_table("Settings, the best first", names, rows)

    @property
    def note(self) -> str:
        """What the star in the table's last column means; empty where there is none."""
        if not any(trial.num_hits for trial in self.trials):
            return ""
        return "* some of its turns came from the cache, so that alone it would take longer"

    @property
    def record(self) -> Mapping[str, object]:
        """All of it, as JSON has it."""
        settings = [
            {
                "setting": dict(trial.setting.values),
                "standing": trial.standing,
                "num_problems": trial.num_problems,
                "majority": {n: asdict(trial.estimate(n)) for n in self.ns},
                "against_best": None if trial is self.best else asdict(self.against_best(trial)),
                "tokens_per_problem": trial.tokens_per_problem(self.n),
                "seconds_per_problem": trial.seconds_per_problem,
                "num_cached_turns": trial.num_hits,
            }
            for trial in self.ranked
        ]
        return {
            "verdict": self.verdict,
            "num_problems": self.num_problems,
            "settings": settings,
            "cache": asdict(self.cache),
        }


def rank(trial: Trial, n: int) -> tuple[bool, float, float]:
    """The key that orders settings: the better vote first, of equals the cheaper; dropped ones behind all others."""
    is_dropped = trial.standing is TrialStanding.DROPPED
    return is_dropped, -round(trial.score(n), _DIGITS), trial.tokens_per_problem(n)
