"""What one decision of the predictive rule costs, and what the exact chances would: at horizons of 48 to 10,000.

Problems are drawn: what part of the samples says what is given, and after every ending the rule is asked whether
another winner has a chance below 0.01, until that is so or 400 have ended. Every eighth decision is made by the exact
chances as well, and must be the same. Both begin with empty caches.
No target: a decision only has to be quick beside a trajectory.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random

from benchmarks.frame import finish, name_machine, read_options, show
from numina_infer.core.records import ExtractedAnswer, NoAnswer
from numina_infer.voting.ballot import MILLI, Ballot
from numina_infer.voting.overtaking import chance_to_overtake

HORIZONS = (48, 96, 192, 1000, 10_000)
PARTS = ((0.6, 0.1, 0.1), (0.3, 0.15, 0.1, 0.05, 0.05), (0.26, 0.2, 0.1, 0.1), (0.3, 0.28, 0.1))
"""Of the samples, by answer; of the rest half have no vote, and half an answer of their own."""
EPSILON = 0.01
MOST_ENDED = 400
NO_VOTE = ExtractedAnswer(None, NoAnswer.NOT_STATED)


@dataclass
class Cost:
    """Processor time of some decisions."""

    decisions: int = 0
    seconds: float = 0.0

    @property
    def ms(self) -> float:
        """Milliseconds a decision."""
        return 1000 * self.seconds / self.decisions

    def of(self, decide: Callable[[], bool]) -> bool:
        """Make one decision, and count it."""
        before = time.process_time()
        said = decide()
        self.seconds += time.process_time() - before
        self.decisions += 1
        return said


@dataclass(frozen=True)
class Asked:
    """What the rule was asked, and what it said."""

    ballot: Ballot
    outstanding: int
    said: bool


def samples(parts: Sequence[float], seed: int) -> Iterator[ExtractedAnswer]:
    """The endings of one problem."""
    drawn = Random(seed)  # noqa: S311 (samples, no secret)
    of_its_own, without = len(parts), len(parts) + 1
    weights = [*parts, *[(1 - sum(parts)) / 2] * 2]
    while True:
        (kind,) = drawn.choices(range(len(weights)), weights)
        own = drawn.randrange(1000, 10_000)
        yield NO_VOTE if kind == without else ExtractedAnswer(own if kind == of_its_own else kind)


def solve(horizon: int, parts: Sequence[float], seed: int, cost: Cost) -> Iterator[Asked]:
    """The decisions of one problem up to the one that stops it."""
    ballot = Ballot()
    for num_ended, answer in zip(range(1, min(horizon, MOST_ENDED) + 1), samples(parts, seed), strict=False):
        ballot, outstanding = ballot.add(answer), (horizon - num_ended) * MILLI
        said = cost.of(lambda: ballot.changes_with_less(EPSILON, outstanding))  # noqa: B023 (called at once)
        yield Asked(ballot, outstanding, said)
        if said:
            return


def measure(horizon: int, num_seeds: int) -> tuple[Cost, Cost]:
    """Of the rule, and of the exact chances."""
    quick, exact = Cost(), Cost()
    asked = [each for parts in PARTS for seed in range(num_seeds) for each in solve(horizon, parts, seed, quick)]
    chance_to_overtake.cache_clear()
    for each in asked[::8]:
        assert exact.of(lambda: each.ballot.chance_of_change(each.outstanding) < EPSILON) == each.said  # noqa: B023
    return quick, exact


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = read_options(__doc__, "one problem of each kind instead of four")
    print(name_machine())
    costs = {horizon: measure(horizon, 1 if options.short else 4) for horizon in HORIZONS}
    head = ["horizon", "decisions", "ms a decision", "exact chances alone, ms", "ratio"]
    show(head, [(n, quick.decisions, quick.ms, exact.ms, exact.ms / quick.ms) for n, (quick, exact) in costs.items()])
    finish(options, {str(n): [asdict(cost) for cost in both] for n, both in costs.items()}, [])


if __name__ == "__main__":
    main()
