"""The ballot of a problem: its votes, their winner, and whether votes still to come can change it.

Self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer wins. Votes are integer milli-votes, since
float sums depend on the order of arrival, and a tie goes to the larger answer, so only the votes determine the winner.
The exact rule is lossless: it stops only when no votes to come, however cast, give another winner.
The predictive rule stops when `chance_of_change` is below a bound. That is the posterior predictive law of the
Dirichlet-multinomial model (Pólya's urn; see `overtaking.py`); adaptive consistency (arXiv 2305.11860) has the Beta
posterior that this becomes without a horizon.
`weigh` sets a vote's weight; it never exceeds a plain vote's.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from numina_infer.core.config import VoteWeights
from numina_infer.core.records import ExtractedAnswer, NoAnswer, Outcome, Trajectory
from numina_infer.voting.overtaking import Race, chances, is_below

MILLI = 1000
"""Milli-votes of a plain vote, which no vote exceeds."""


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
        most = max(self.votes.values(), default=0)
        return max((answer for answer, votes in self.votes.items() if votes == most), default=None)

    @property
    def margin(self) -> int:
        """Milli-votes by which the winner leads the runner-up; all of its votes without a runner-up."""
        ranked = [votes for _, votes in self.ranking]
        return ranked[0] - (ranked[1] if len(ranked) > 1 else 0) if ranked else 0

    def is_decided(self, outstanding: int) -> bool:
        """Whether `outstanding` more milli-votes, however cast, can't change the winner.

        A larger answer wins a tie, so against those, and against answers not seen yet, the lead must exceed them.
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
        """An upper bound of the chance, 0 to 1, that `outstanding` more milli-votes give another winner.

        It is the sum of the chances of each rival alone, an answer not seen yet among them. Votes to come go to the
        winner, to the rival or to neither (as do attempts without a vote), in unknown proportions with a uniform prior
        and the attempts so far as observations.
        It is exact, so that a replay on another machine decides the same; fractions of votes count against the winner.
        """
        winner = self.winner
        if winner is None:
            return Fraction(1)
        return min(Fraction(1), sum(chances(self._races(winner, outstanding)), Fraction()))

    def changes_with_less(self, epsilon: float, outstanding: int) -> bool:
        """Whether `chance_of_change` is below `epsilon`; computed exactly only if quick bounds leave it open."""
        winner = self.winner
        return epsilon > 1 if winner is None else is_below(self._races(winner, outstanding), epsilon)

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


def weigh(trajectory: Trajectory, weights: VoteWeights) -> int:
    """The weight of the vote of `trajectory`: 1 to `MILLI` milli-votes, or 0 for a partial text that doesn't count."""
    if weights == _PLAIN:
        return MILLI
    is_partial = trajectory.outcome is Outcome.CUTOFF
    if is_partial and weights.partial == 0:
        return 0
    share = _by_code(trajectory, weights) * _by_value(trajectory.answer.value, weights) * _by_text(trajectory, weights)
    return max(1, round(MILLI * share * (weights.partial if is_partial else 1.0)))


_PLAIN = VoteWeights()


def _by_code(trajectory: Trajectory, weights: VoteWeights) -> float:
    """An attempt is confirmed if its last program printed its answer."""
    if not trajectory.executions:
        return weights.no_code
    return 1.0 if trajectory.printed == trajectory.answer.value else weights.unconfirmed


def _by_value(value: int | None, weights: VoteWeights) -> float:
    """Wrong answers are often small or round (imagination-research's rule of AIMO-2)."""
    is_suspicious = value is not None and (value <= 20 or value % 100 == 0)
    return weights.suspicious if is_suspicious else 1.0


def _by_text(trajectory: Trajectory, weights: VoteWeights) -> float:
    """Right attempts are shorter than wrong ones at the same problem, and more probable."""
    num_tokens = max(1, trajectory.num_tokens)
    by_length = min(1.0, weights.length_tokens / num_tokens) if weights.length_tokens else 1.0
    logprobs = [turn.completion.cumulative_logprob for turn in trajectory.turns]
    known = [logprob for logprob in logprobs if logprob is not None]
    if not weights.logprob or not known or len(known) < len(logprobs):
        return by_length
    return by_length * math.exp(weights.logprob * min(0.0, sum(known)) / num_tokens)
