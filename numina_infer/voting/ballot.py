"""The ballot of a problem: its votes, their winner, and whether votes still to come can change it.

Self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer wins. Votes are integer milli-votes, since
float sums depend on the order of arrival, and a tie goes to the larger answer, so only the votes determine the winner.
The exact rule is lossless: it stops only when no votes to come, however cast, give another winner.
The predictive rule stops when `chance_of_change` is below a bound. That is the posterior predictive law of the
Dirichlet-multinomial model (Pólya's urn, uniform prior); adaptive consistency (arXiv 2305.11860) has the Beta
posterior that this becomes without a horizon. It is computed in integers, so that a replay on another machine decides
the same.
`weigh` sets a vote's weight; it never exceeds a plain vote's.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import comb
from typing import NamedTuple

from numina_infer.core.config import VoteWeights
from numina_infer.core.records import ExtractedAnswer, NoAnswer, Outcome, Trajectory

MILLI = 1000
"""Milli-votes of a plain vote, which no vote exceeds."""


# --- the chance of one rival ---


class Race(NamedTuple):
    """One rival against the winner, in whole votes."""

    leading: int
    """The winner's votes."""
    following: int
    """The rival's votes."""
    neither: int
    """Attempts that ended for neither."""
    to_come: int
    lead: int
    """Votes by which the rival must be ahead: 0 where it wins ties, else 1."""

    @property
    def behind(self) -> int:
        """How many more of the votes to come the rival needs than the winner gets."""
        return self.leading + self.lead - self.following


@lru_cache(maxsize=2**12)
def chance_to_overtake(race: Race) -> Fraction:
    """The exact chance that the rival overtakes the winner; linear in the votes to come.

    Of n votes to come X go to the winner, Y to the rival and the others to neither. The rival overtakes when
    X <= Y - `behind`, so its chance is E[F(Y)], where F(y) is the chance that the winner gets at most y - `behind` of
    the n - y votes that are cast for it or for neither. F(y + 1) follows from F(y): an urn with one draw fewer has
    P(X' <= k) = P(X <= k) + P(X' = k) P(the next draw is the winner's).
    """
    first = max(0, race.behind)
    if first > race.to_come:
        return Fraction(0)
    cast = comb(race.following + first, first)
    ways = 0
    for gained, others in enumerate(_ways_of_others(race, first), start=first):
        ways += cast * others
        cast = cast * (race.following + gained + 1) // (gained + 1)
    return Fraction(ways, comb(race.leading + race.following + race.neither + 2 + race.to_come, race.to_come))


def _ways_of_others(race: Race, first: int) -> Iterator[int]:
    """Weighted ways to cast the other votes so that a rival overtakes which gains `first` votes, `first` + 1, ….

    `edge` counts those that give the winner the most it may get.
    """
    leading, neither, most = race.leading, race.neither, first - race.behind
    num_others = race.to_come - first
    each = [comb(leading + x, x) * comb(neither + num_others - x, neither) for x in range(min(most, num_others) + 1)]
    ways, edge = sum(each), each[-1] if most <= num_others else 0
    yield ways
    for others in range(num_others, 0, -1):
        rest = max(0, others - most)
        edge = edge * rest // max(1, neither + rest)
        ways = (ways * others + edge * (leading + most + 1)) // (leading + neither + 1 + others)
        edge = edge * (leading + most + 1) * max(0, rest - 1) // ((most + 1) * max(1, neither + rest - 1))
        ways += edge
        most += 1
        yield ways


# --- votes ---


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes so far; adding one makes a new ballot."""

    votes: Mapping[int, int] = field(default_factory=dict)
    """Milli-votes by answer."""
    invalid: Mapping[NoAnswer, int] = field(default_factory=dict)
    """Attempts that ended without a vote, by reason."""

    def add(self, answer: ExtractedAnswer, weight: int = MILLI) -> "Ballot":
        """The ballot after one more attempt: with its vote of `weight` milli-votes, or its reason for none."""
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
        return self.ranking[0][0] if self.votes else None

    def is_decided(self, outstanding: int) -> bool:
        """Whether `outstanding` more milli-votes, however cast, can't change the winner.

        A larger answer wins a tie, so against those, and against answers not seen yet, the lead must exceed them.
        """
        leader = self.winner
        if leader is None:
            return outstanding <= 0
        lead = (self.votes[leader], leader)
        reach = ((votes + outstanding, answer) for answer, votes in self.votes.items() if answer != leader)
        return outstanding < lead[0] and all(rival < lead for rival in reach)

    def chance_of_change(self, outstanding: int) -> Fraction:
        """An upper bound of the chance, 0 to 1, that `outstanding` more milli-votes give another winner.

        It is the sum of the chances of each rival alone, an answer not seen yet among them. Votes to come go to the
        winner, to the rival or to neither (as do attempts without a vote), in unknown proportions with a uniform prior
        and the attempts so far as observations.
        Fractions of votes count against the winner.
        """
        winner = self.winner
        if winner is None:
            return Fraction(1)
        return min(Fraction(1), sum(self._chances(winner, outstanding), Fraction()))

    def changes_with_less(self, epsilon: float, outstanding: int) -> bool:
        """Whether `chance_of_change` is below `epsilon`; usually the likeliest rival alone says no."""
        winner = self.winner
        if winner is None:
            return epsilon > 1
        return all(chance < epsilon for chance in accumulate(self._chances(winner, outstanding)))

    def _chances(self, winner: int, outstanding: int) -> Iterator[Fraction]:
        """The chances of all rivals with as many votes, the likeliest first."""
        return (count * chance_to_overtake(race) for race, count in self._races(winner, outstanding))

    def _races(self, winner: int, outstanding: int) -> Iterator[tuple[Race, int]]:
        """The rivals of `winner`, an answer not seen yet among them, equal ones counted; most votes first."""
        leading, invalid = self.votes[winner], sum(self.invalid.values())
        others, to_come = sum(self.votes.values()) - leading, -(-outstanding // MILLI)
        rivals = Counter(
            (-(-votes // MILLI), (others - votes) // MILLI, answer > winner)
            for answer, votes in self.votes.items()
            if answer != winner
        )
        rivals[0, others // MILLI, True] += 1
        for (following, neither, ties), count in sorted(rivals.items(), reverse=True):
            yield Race(leading // MILLI, following, neither + invalid, to_come, lead=0 if ties else 1), count


# --- weights ---


_PLAIN = VoteWeights()


def weigh(trajectory: Trajectory, weights: VoteWeights) -> int:
    """The weight of the vote of `trajectory`: 1 to `MILLI` milli-votes, or 0 for a partial text that doesn't count."""
    if weights == _PLAIN:
        return MILLI
    partial = weights.partial if trajectory.outcome is Outcome.CUTOFF else 1.0
    if partial == 0:
        return 0
    value = trajectory.answer.value
    is_confirmed = trajectory.printed == value
    by_code = weights.no_code if not trajectory.executions else 1.0 if is_confirmed else weights.unconfirmed
    # Wrong answers are often small or round (imagination-research's rule of AIMO-2).
    by_value = weights.suspicious if value is not None and (value <= 20 or value % 100 == 0) else 1.0
    share = by_code * by_value * _by_text(trajectory, weights)
    return max(1, round(MILLI * share * partial))


def _by_text(trajectory: Trajectory, weights: VoteWeights) -> float:
    """Right attempts are shorter than wrong ones at the same problem, and more probable."""
    num_tokens = max(1, trajectory.num_tokens)
    by_length = min(1.0, weights.length_tokens / num_tokens) if weights.length_tokens else 1.0
    logprobs = [turn.completion.cumulative_logprob for turn in trajectory.turns]
    known = [logprob for logprob in logprobs if logprob is not None]
    if not weights.logprob or not known or len(known) < len(logprobs):
        return by_length
    return by_length * math.exp(weights.logprob * min(0.0, sum(known)) / num_tokens)
