"""The result of a search: a table with intervals, and a sentence that says whether the best two differ.

The best of many equal settings looks better than it is. So the two best are compared in pairs on the same problems,
and where they can't be told apart the sentence says so and names the cheaper one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from rich.table import Table

from numina_infer.core.ports import CacheStats
from numina_infer.lab.evaluate.intervals import Difference, paired_difference
from numina_infer.lab.tune.trial import Trial, TrialStanding

_DIGITS = 9
"""Scores that differ beyond them are the same."""


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
        from numina_infer.lab.cells import html_table

        return html_table(self.table(), self.note, self.verdict)

    @property
    def n(self) -> int:
        """The number of samples that settings are ranked by."""
        return self.ns[-1]

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The best first: by their vote, then by their cost; those that were dropped behind all others."""
        return tuple(
            sorted(self.trials, key=lambda trial: (trial.standing is TrialStanding.DROPPED, *rank(trial, self.n)))
        )

    @property
    def best(self) -> Trial:
        """The setting on top."""
        return self.ranked[0]

    @property
    def runners_up(self) -> tuple[Trial, ...]:
        """The others that got all problems."""
        return tuple(trial for trial in self.ranked[1:] if trial.standing is TrialStanding.WHOLE)

    def against_best(self, trial: Trial) -> Difference:
        """`trial` minus the best, on the problems that both have."""
        common = min(trial.num_problems, self.best.num_problems)
        return paired_difference(trial.scores(self.n)[:common], self.best.scores(self.n)[:common])

    @property
    def verdict(self) -> str:
        """The sentence."""
        if len(self.trials) == 1:
            return f"{self.best.setting} is the only setting that was tried."
        if not self.runners_up:
            return (
                f"{self.best.setting} is the best of {len(self.trials)} settings; the others were dropped before they "
                f"had all {self.num_problems} problems."
            )
        return self._of_the_best_two(self.best, self.runners_up[0])

    def _of_the_best_two(self, best: Trial, second: Trial) -> str:
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
        table = Table(title="Settings, the best first", title_justify="left")
        table.add_column("setting", overflow="fold")
        table.add_column("problems", justify="right")
        for n in self.ns:
            table.add_column(f"maj@{n}", justify="right")
        for name in ("P(better than best)", "tokens/problem", "s/problem"):
            table.add_column(name, justify="right")
        for trial in self.ranked:
            table.add_row(*self._cells(trial))
        return table

    def _cells(self, trial: Trial) -> Iterable[str]:
        dropped = " (dropped)" if trial.standing is TrialStanding.DROPPED else ""
        chance = "" if trial is self.best else f"{self.against_best(trial).chance_first_better:.2f}"
        cached = "*" if trial.num_hits else ""
        return (
            str(trial.setting),
            f"{trial.num_problems}{dropped}",
            *(str(trial.estimate(n)) for n in self.ns),
            chance,
            f"{trial.tokens_per_problem(self.n):.0f}",
            f"{trial.seconds_per_problem:.1f}{cached}",
        )

    @property
    def note(self) -> str:
        """What the star in the table's last column means; empty where there is none."""
        if not any(trial.num_hits for trial in self.trials):
            return ""
        return "* some of its turns came from the cache, so that alone it would take longer"

    @property
    def record(self) -> Mapping[str, object]:
        """All of it, as JSON has it."""
        return {
            "verdict": self.verdict,
            "num_problems": self.num_problems,
            "settings": [self._row(trial) for trial in self.ranked],
            "cache": asdict(self.cache),
        }

    def _row(self, trial: Trial) -> Mapping[str, object]:
        return {
            "setting": dict(trial.setting.values),
            "standing": trial.standing,
            "num_problems": trial.num_problems,
            "majority": {n: asdict(trial.estimate(n)) for n in self.ns},
            "against_best": None if trial is self.best else asdict(self.against_best(trial)),
            "tokens_per_problem": trial.tokens_per_problem(self.n),
            "seconds_per_problem": trial.seconds_per_problem,
            "num_cached_turns": trial.num_hits,
        }


def rank(trial: Trial, n: int) -> tuple[float, float]:
    """The key that orders settings: the better vote first, of equals the cheaper."""
    return -round(trial.score(n), _DIGITS), trial.tokens_per_problem(n)


def best_of(trials: Iterable[Trial], n: int) -> Trial | None:
    """The best of those that had all problems; None where there is none."""
    return min(
        (trial for trial in trials if trial.standing is TrialStanding.WHOLE),
        key=lambda trial: rank(trial, n),
        default=None,
    )
