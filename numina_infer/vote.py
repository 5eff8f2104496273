"""The ballot: answers → winner, margin, and whether what is still out can change it.

Self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer wins.
Votes are integer milli-votes, since float sums depend on the order of arrival; a tie goes to the larger answer,
so the winner depends on nothing but the votes.
The exact rule is lossless in any order of arrival: it stops only when no way to cast what is still out
gives another winner.
The predictive rule stops when another winner is unlikely: `chance_of_change` below a bound (adaptive consistency,
arXiv 2305.11860, has the Beta posterior that this becomes when no end is in sight).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import comb
from types import MappingProxyType

from numina_infer.trajectory import ExtractedAnswer, NoAnswer

MILLI = 1000
"""Milli-votes of one plain vote."""

_NO_VOTES: Mapping[int, int] = MappingProxyType({})
_NO_INVALID: Mapping[NoAnswer, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes so far; adding one makes a new ballot."""

    votes: Mapping[int, int] = field(default_factory=lambda: _NO_VOTES)
    """Milli-votes by answer."""
    invalid: Mapping[NoAnswer, int] = field(default_factory=lambda: _NO_INVALID)
    """Endings that gave no vote, by reason."""

    def add(self, answer: ExtractedAnswer, weight: int = MILLI) -> "Ballot":
        """The ballot with one more ending on it: a vote of `weight` milli-votes, or one more without a vote."""
        if answer.reason is not None:
            return Ballot(self.votes, {**self.invalid, answer.reason: self.invalid.get(answer.reason, 0) + 1})
        return self if answer.value is None else self.cast(answer.value, weight)

    def cast(self, value: int, weight: int = MILLI) -> "Ballot":
        """The ballot with `weight` more milli-votes for `value`.

        Raises:
            ValueError: `weight` isn't above zero.
        """
        if weight <= 0:
            raise ValueError(f"a vote's weight is {weight}; it must be above 0 milli-votes")
        return Ballot({**self.votes, value: self.votes.get(value, 0) + weight}, self.invalid)

    @property
    def ranking(self) -> tuple[tuple[int, int], ...]:
        """`(answer, milli-votes)`, the winner first; equal votes by answer, the larger first."""
        return tuple(sorted(self.votes.items(), key=lambda item: (item[1], item[0]), reverse=True))

    @property
    def winner(self) -> int | None:
        """The answer with the most votes, the larger of equals; None without a vote."""
        return max(self.votes, key=lambda answer: (self.votes[answer], answer), default=None)

    @property
    def margin(self) -> int:
        """Milli-votes by which the winner leads the runner-up; all of its votes without one."""
        ranked = [votes for _, votes in self.ranking]
        return ranked[0] - (ranked[1] if len(ranked) > 1 else 0) if ranked else 0

    def is_decided(self, outstanding: int) -> bool:
        """True when `outstanding` more milli-votes, however cast, leave the winner the winner.

        A tie is enough to lose to a larger answer, so against those, and against answers not seen yet, the
        lead must be larger than what is out.
        """
        leader = self.winner
        if leader is None:
            return outstanding <= 0
        if self.votes[leader] <= outstanding:
            return False
        return all(self._beats(leader, rival, outstanding) for rival in self.votes if rival != leader)

    def _beats(self, leader: int, rival: int, outstanding: int) -> bool:
        reach = self.votes[rival] + outstanding
        return reach < self.votes[leader] or (reach == self.votes[leader] and leader > rival)

    def chance_of_change(self, outstanding: int) -> Fraction:
        """How likely `outstanding` more milli-votes make the runner-up draw level with the winner, 0 to 1.

        All of them are taken to go to these two, in proportions that are unknown (uniform prior): that overrates the
        runner-up where more than two answers are about.
        Exact, so that a replay on another machine decides the same.
        """
        leading, following = [*(votes for _, votes in self.ranking), 0, 0][:2]
        return _chance_to_draw_level(leading // MILLI, -(-following // MILLI), -(-outstanding // MILLI))


@lru_cache(maxsize=4096)
def _chance_to_draw_level(leading: int, following: int, to_come: int) -> Fraction:
    """P(following + y >= leading + to_come - y), y votes of `to_come` by a beta-binomial law with a uniform prior."""
    first = max(0, -(-(leading + to_come - following) // 2))
    ways = sum(
        comb(following + gained, gained) * comb(leading + to_come - gained, to_come - gained)
        for gained in range(first, to_come + 1)
    )
    return Fraction(ways, comb(leading + following + to_come + 1, to_come))
