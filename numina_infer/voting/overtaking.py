"""The chance that a rival overtakes the winner: exactly, or between bounds if those are enough.

Of n votes to come X go to the winner, Y to the rival and the others to neither, by the Dirichlet-multinomial law
(Pólya's urn, uniform prior). The rival overtakes when X <= Y - d, so its chance is E[F(Y)], where F(y) is the chance
that the winner gets at most y - d of the n - y votes that are cast for it or for neither.

The exact chance is one sum over y in integers. F(y + 1) follows from F(y): an urn with one draw fewer has
P(X' <= k) = P(X <= k) + P(X' = k) P(the next draw is the winner's).

The bounds are floats, without a sum over y. F never falls, so between two points it lies between its values there;
F and the tails of Y at a point are hypergeometric tails (by stars and bars). The next point halves the widest gap.
`Race.margin` allows for rounding, and exact chances decide where the bounds don't, so decisions don't depend on the
machine.
"""

import heapq
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from math import comb, exp, inf, lgamma, log
from typing import NamedTuple

_ROUNDING = 2.0**-47
"""The largest error of a probability, divided by N log N: nine log-gammas, a few units in the last place each."""
_NEGLIGIBLE = 2.0**-56
_FEW = 64
"""Up to so many votes to come the exact chance is as quick as a few points, and more often in the cache."""
_MOST_POINTS = 512
"""After so many points the exact chances are quicker (measured at horizons of 48 to 10,000)."""


class Race(NamedTuple):
    """One rival against the winner, in whole votes; a tuple, since it is a key of caches."""

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

    @property
    def margin(self) -> float:
        """The rounding error of a bound, at most: the errors of all its points telescope to those of three."""
        size = self.leading + self.following + self.neither + self.to_come + 2
        return 4 * _ROUNDING * size * log(size)


Races = Iterable[tuple[Race, int]]
"""Races, with the number of rivals in each; usually the likeliest to overtake come first."""


def chances(races: Races) -> Iterator[Fraction]:
    """The exact chance of each race, summed over its rivals."""
    return (count * chance_to_overtake(race) for race, count in races)


def is_below(races: Races, bound: float) -> bool:
    """Whether the chances of all `races` add up to less than `bound`; usually a few points of one race exclude it."""
    bounds = _Bounds(bound)
    for low, high in bounds.narrowing(races):
        if low - bounds.margin >= bound:
            return False
        if high + bounds.margin < bound:
            return True
    return sum(chances(bounds.races)) < bound


@lru_cache(maxsize=2**12)
def chance_to_overtake(race: Race) -> Fraction:
    """P(following + Y >= leading + X + lead), see the module's docstring; linear in the votes to come."""
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


class _Point(NamedTuple):
    """The probabilities at one number of votes that the rival gains."""

    gained: int
    at_least: float
    """P(Y >= gained)."""
    above: float
    """P(Y > gained)."""
    overtakes: float
    """F(gained)."""


@lru_cache(maxsize=2**15)
def _point(race: Race, gained: int) -> _Point:
    leading, following, neither, others = race.leading, race.following, race.neither, race.to_come - gained
    at_least = _at_most(others, race.to_come, leading + neither + 2, following + 1)
    ways = _log_comb(following + gained, gained) + _log_comb(leading + neither + 1 + others, others)
    just = exp(ways - _log_comb(leading + following + neither + 2 + race.to_come, race.to_come))
    overtakes = _at_most(gained - race.behind, others, leading + 1, neither + 1)
    return _Point(gained, at_least, at_least - just, overtakes)


class _Gap(NamedTuple):
    """The gap between two points; the widest sorts first."""

    order: float
    number: int
    """Of the race."""
    left: _Point
    right: _Point


class _Bounds:
    """Bounds of the sum of the chances of all races; each may be off by `margin`."""

    def __init__(self, wanted: float) -> None:
        self._wanted = wanted
        self._low: list[float] = []
        self._high: list[float] = []
        self._gaps: list[_Gap] = []
        self.races: list[tuple[Race, int]] = []
        self.margin = 0.0

    def narrowing(self, races: Races) -> Iterator[tuple[float, float]]:
        """Ever closer lower and upper bounds: after one more race, one more point, at last one more exact chance."""
        yield from self._looking_at(races)
        for _ in range(_MOST_POINTS):
            yield sum(self._low), sum(self._high)
            if self._widest <= self.margin:
                break
            self._narrow()
        for number in range(len(self.races)):
            self._settle(number)
            yield sum(self._low), sum(self._high)

    def _looking_at(self, races: Races) -> Iterator[tuple[float, float]]:
        """Take up one race after another, when those before it are known to about `wanted`: the first may be enough.

        Until all are taken up there is no upper bound.
        """
        for race, count in races:
            self._open(race, count)
            while self._widest > max(self._wanted, self.margin):
                yield sum(self._low), inf
                self._narrow()
            yield sum(self._low), inf

    @property
    def _widest(self) -> float:
        return -self._gaps[0].order if self._gaps else 0.0

    def _open(self, race: Race, count: int) -> None:
        number = len(self.races)
        self.races.append((race, count))
        self.margin += count * race.margin
        self._low.append(0.0)
        self._high.append(float(count))
        if race.to_come <= _FEW or race.behind > race.to_come:
            self._settle(number)
        else:
            ends = _Point(-1, 1.0, 1.0, 0.0), _Point(race.to_come + 1, 0.0, 0.0, 1.0)
            heapq.heappush(self._gaps, _Gap(-float(count), number, *ends))

    def _settle(self, number: int) -> None:
        race, count = self.races[number]
        self._low[number] = self._high[number] = count * float(chance_to_overtake(race))

    def _narrow(self) -> None:
        """Put a point into the middle of the widest gap, if a whole number lies there."""
        _, number, left, right = heapq.heappop(self._gaps)
        race, count = self.races[number]
        gained = _middle(race, left.gained, right.gained)
        if not left.gained < gained < right.gained:
            return
        point = _point(race, gained)
        self._low[number] += count * (point.at_least - right.at_least) * (point.overtakes - left.overtakes)
        self._high[number] -= count * (left.above - point.above) * (right.overtakes - point.overtakes)
        for one, other in ((left, point), (point, right)):
            width = count * (one.above - other.at_least) * (other.overtakes - one.overtakes)
            heapq.heappush(self._gaps, _Gap(-width, number, one, other))


def _middle(race: Race, left: int, right: int) -> int:
    """The middle between the two, where F isn't known: it is 0 before `race.behind` and 1 from `surely` on."""
    surely = -(-(race.to_come + race.behind) // 2)
    return (max(left, race.behind - 2) + min(right, surely + 1)) // 2


def _at_most(most: int, draws: int, wins: int, losses: int) -> float:
    """P(X <= most), X wins of `draws` from an urn that begins with `wins` and `losses`; sums the smaller tail."""
    if most < 0 or most >= draws:
        return float(most >= 0)
    if (wins + most) * (wins + losses - 1) < wins * (draws + wins + losses - 1):
        return _tail(most, draws, wins, losses)
    return 1.0 - _tail(draws - most - 1, draws, losses, wins)


def _tail(most: int, draws: int, wins: int, losses: int) -> float:
    """The same, summed term by term.

    Put `draws` new things and `wins + losses - 1` old ones in a row at random; X are the new ones before the `wins`th
    old one. X <= most means that of the first `wins + most` at least `wins` are old.
    """
    first = _log_comb(wins + losses - 1, wins) + _log_comb(draws, most)
    term = total = exp(first - _log_comb(draws + wins + losses - 1, wins + most))
    missed = draws - most + 1
    for more in range(min(losses - 1, most)):
        term *= (losses - 1 - more) * (most - more) / ((wins + 1 + more) * (missed + more))
        total += term
        if term * losses < total * _NEGLIGIBLE:
            break
    return total


def _log_comb(of: int, chosen: int) -> float:
    return lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)
