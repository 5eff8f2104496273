"""The ballot: answers → winner, margin, and whether what is still out can change it.

Self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer wins.
Votes are integer milli-votes, since float sums depend on the order of arrival; a tie goes to the larger answer,
so the winner depends on nothing but the votes.
The exact rule is lossless in any order of arrival: it stops only when no way to cast what is still out
gives another winner.
The predictive rule stops when another winner is unlikely: `chance_of_change` below a bound. It is the posterior
predictive law of the Dirichlet-multinomial model (Pólya's urn); adaptive consistency (arXiv 2305.11860) has the Beta
posterior that this becomes when no end is in sight.
What a vote counts is `weigh`'s to say: a plain one by default, never more.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import comb
from types import MappingProxyType

from numina_infer.config import VoteWeights
from numina_infer.trajectory import ExtractedAnswer, NoAnswer, Outcome, Trajectory

MILLI = 1000
"""Milli-votes of one plain vote, the most that any vote counts."""

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
        """How likely `outstanding` more milli-votes give another winner, 0 to 1; an upper bound of it.

        Each rival is taken alone, one that nobody has named yet among them, and their chances are added up. Of one
        rival: what is out goes to the winner, to the rival or to neither (endings without a vote are of the last
        kind) in proportions that are unknown (uniform prior), of which the endings so far tell.
        Exact, so that a replay on another machine decides the same; fractions of votes count against the winner.
        """
        return min(Fraction(1), sum(self._chances(outstanding), Fraction()))

    def changes_with_less(self, epsilon: float, outstanding: int) -> bool:
        """Whether `chance_of_change` is below `epsilon`; as a rule one rival is enough to say no."""
        chance = Fraction()
        for one in self._chances(outstanding):
            chance += one
            if chance >= epsilon:
                return False
        return True

    def _chances(self, outstanding: int) -> Iterator[Fraction]:
        """The chance of each rival, the likeliest first as a rule."""
        leader = self.winner
        if leader is None:
            yield Fraction(1)
            return
        rivals = Counter((votes, answer > leader) for answer, votes in self.votes.items() if answer != leader)
        rivals[0, True] += 1
        for (votes, ties), count in sorted(rivals.items(), reverse=True):
            yield count * self._chance_of(votes, outstanding, ties=ties)

    def _chance_of(self, rival: int, outstanding: int, *, ties: bool) -> Fraction:
        """That a rival with `rival` milli-votes overtakes, or draws level where it wins ties."""
        leading = max(self.votes.values())
        neither = (sum(self.votes.values()) - leading - rival) // MILLI + sum(self.invalid.values())
        return _chance_to_overtake(
            leading // MILLI, -(-rival // MILLI), neither, to_come=-(-outstanding // MILLI), lead=0 if ties else 1
        )


@lru_cache(maxsize=2**16)
def _chance_to_overtake(leading: int, following: int, neither: int, *, to_come: int, lead: int) -> Fraction:
    """P(following + y >= leading + x + lead), x and y votes of `to_come` by a Dirichlet-multinomial law.

    Of `to_come` votes m go to one of the two; of the ways to do that, `_ways` give the rival the lead.
    """
    ways = sum(
        _ways(leading, following, to_either, lead) * comb(to_come - to_either + neither, neither)
        for to_either in range(to_come + 1)
    )
    return Fraction(ways, comb(leading + following + neither + 2 + to_come, to_come))


@lru_cache(maxsize=2**18)
def _ways(leading: int, following: int, to_either: int, lead: int) -> int:
    """Weighted ways in which `to_either` votes for one of the two put the rival `lead` votes ahead."""
    first = max(0, -(-(leading + to_either + lead - following) // 2))
    return sum(
        comb(following + gained, gained) * comb(leading + to_either - gained, to_either - gained)
        for gained in range(first, to_either + 1)
    )


def weigh(trajectory: Trajectory, weights: VoteWeights) -> int:
    """What the vote of `trajectory` counts: milli-votes, 1 to `MILLI`, or 0 for a partial text that isn't to count."""
    if weights == _PLAIN:
        return MILLI
    is_partial = trajectory.outcome is Outcome.CUTOFF
    if is_partial and weights.partial == 0:
        return 0
    share = _by_code(trajectory, weights) * _by_value(trajectory.answer.value, weights) * _by_text(trajectory, weights)
    return max(1, round(MILLI * share * (weights.partial if is_partial else 1.0)))


_PLAIN = VoteWeights()


def _by_code(trajectory: Trajectory, weights: VoteWeights) -> float:
    """A program that printed the answer last confirms it."""
    if not trajectory.executions:
        return weights.no_code
    return 1.0 if trajectory.printed == trajectory.answer.value else weights.unconfirmed


def _by_value(value: int | None, weights: VoteWeights) -> float:
    """Wrong answers are often small or round (imagination-research's rule of AIMO-2)."""
    is_suspicious = value is not None and (value <= 20 or value % 100 == 0)
    return weights.suspicious if is_suspicious else 1.0


def _by_text(trajectory: Trajectory, weights: VoteWeights) -> float:
    """Right samples are shorter than wrong ones of the same problem, and the model is surer of them."""
    num_tokens = max(1, trajectory.num_tokens)
    by_length = min(1.0, weights.length_tokens / num_tokens) if weights.length_tokens else 1.0
    logprobs = [turn.completion.cumulative_logprob for turn in trajectory.turns]
    known = [logprob for logprob in logprobs if logprob is not None]
    if not weights.logprob or not known or len(known) < len(logprobs):
        return by_length
    return by_length * math.exp(weights.logprob * min(0.0, sum(known)) / num_tokens)
