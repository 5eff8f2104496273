"""Two runs compared problem by problem, on the problems that both have.

Of fifty problems a rerun moves a score by 0.6 to 1.4 (standard deviation, eleven recorded models), a new set of fifty
by 3.5, so two scores say little. The same problems solved twice say more, since the hard ones are hard for both.
"""

import math
from dataclasses import dataclass

from numina_infer.core.config import require
from numina_infer.lab.evaluate.evaluation import Evaluated, Evaluation
from numina_infer.lab.evaluate.intervals import Difference, paired_difference
from numina_infer.lab.evaluate.matching import named
from numina_infer.lab.evaluate.metrics import maj_at_k


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem in both runs."""

    first: Evaluated
    second: Evaluated
    first_score: float
    """maj@k."""
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
        from numina_infer.lab.evaluate.tables import comparison_table

        return html_table(comparison_table(self), *self.remarks, self.sentence)

    @property
    def first_score(self) -> float:
        """maj@k of the first run over the problems of both."""
        return sum(pair.first_score for pair in self.pairs) / len(self.pairs)

    @property
    def second_score(self) -> float:
        """maj@k of the second run over the problems of both."""
        return sum(pair.second_score for pair in self.pairs) / len(self.pairs)

    @property
    def only_first_right(self) -> int:
        """Problems that the first run alone got right."""
        return sum(pair.first.is_right and not pair.second.is_right for pair in self.pairs)

    @property
    def only_second_right(self) -> int:
        """Problems that the second run alone got right."""
        return sum(pair.second.is_right and not pair.first.is_right for pair in self.pairs)

    @property
    def only_in_first(self) -> tuple[str, ...]:
        """Ids of problems that the second run doesn't have."""
        return self._only_in(self.first)

    @property
    def only_in_second(self) -> tuple[str, ...]:
        """Ids of problems that the first run doesn't have."""
        return self._only_in(self.second)

    def _only_in(self, evaluation: Evaluation) -> tuple[str, ...]:
        both = {pair.first.problem for pair in self.pairs}
        return tuple(one.problem.id for one in evaluation.problems if one.problem not in both)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which problems weren't compared."""
        rest = {self.first.name: self.only_in_first, self.second.name: self.only_in_second}
        return tuple(f"not compared: {named(ids)}, only in {name}" for name, ids in rest.items() if ids)

    @property
    def num_problems_needed(self) -> int | None:
        """About how many such problems would show a difference of this size; None where there is none."""
        gap = abs(self.difference.value)
        reach = (self.difference.high - self.difference.low) / 2
        return math.ceil(len(self.pairs) * (reach / gap) ** 2) if gap > _NO_GAP else None

    @property
    def sentence(self) -> str:
        """The result in words: which run is better, or that they can't be told apart."""
        better, worse = self.first, self.second
        scores, gap = (self.first_score, self.second_score), self.difference
        low, high, chance = gap.low, gap.high, gap.chance_first_better
        if gap.value < 0:
            better, worse, scores = worse, better, scores[::-1]
            low, high, chance = -gap.high, -gap.low, 1 - gap.chance_first_better
        figures = (
            f"maj@{self.k} {scores[0]:.1%} against {scores[1]:.1%} on {len(self.pairs)} problems, "
            f"{100 * abs(gap.value):.1f} points more (95 %: {100 * low:.1f} to {100 * high:.1f}), "
            f"better with a chance of {chance:.0%}"
        )
        if gap.is_clear:
            return f"{better.name} is better than {worse.name}: {figures}."
        return f"{better.name} and {worse.name} can't be told apart: {figures}{self._needed}."

    @property
    def _needed(self) -> str:
        needed = self.num_problems_needed
        if needed is None or needed <= len(self.pairs):
            return ""
        return f"; such a difference shows on about {_rounded(needed)} problems"


_NO_GAP = 1e-9


def _rounded(count: int) -> int:
    """`count` rounded up to two digits, since more would feign precision."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


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
    others = {one.problem: one for one in second.problems}
    both = [(one, others[one.problem]) for one in first.problems if one.problem in others]
    require(
        bool(both),
        f"{first.name} and {second.name} have no problem in common, so they can't be compared; the first has "
        f"{first.problems[0].problem.id!r} and {len(first.problems) - 1} others",
    )
    most = min(first.most_samples, second.most_samples)
    k = most if k is None else k
    require(1 <= k <= most, f"k is {k}; the two runs have 1 to {most} samples a problem")
    pairs = tuple(Pair(one, other, _score(one, k), _score(other, k)) for one, other in both)
    difference = paired_difference([pair.first_score for pair in pairs], [pair.second_score for pair in pairs])
    return Comparison(first, second, k, pairs, difference)


def _score(one: Evaluated, k: int) -> float:
    return maj_at_k(one.tally, min(k, one.tally.num_samples))
