"""The time bank gives each problem its slice of the time that the contest has left.

AIMO's winners shared their time by hand-made rules and borrowed early; replays of recorded samples show that saved
time should be carried on and none borrowed (docs/experiments.md).

- A fair share is the time left divided by the problems left; a slice is at most 1.25 of it.
- The bank keeps a floor for every problem to come, and for each the grace of its reply. If the time left is too short
  for that, all of them shrink alike.
- So no reply comes after the hard end, and every later problem keeps its floor, whatever engine and sandbox do.
- Time that a problem didn't use stays in the bank.
"""

from dataclasses import dataclass, replace

from numina_infer.core.config import BankConfig, ContestConfig
from numina_infer.core.records import Bound, Slice

USUAL_NUM_PROBLEMS = 50
"""The number of problems that is expected if it isn't known: that of all three AIMO contests."""
_TRAVEL_S = 15.0
"""The part of the competition's limit for one reply that is kept for its way; a twentieth of a short limit."""
FEWEST_LEFT = 5
"""The least number still expected, if the number isn't known or more came than were announced."""


@dataclass(frozen=True, slots=True)
class Bank:
    """The time of one contest; cutting a slice makes the next bank."""

    config: ContestConfig
    started_at: float
    """Loop time at which the contest began."""
    num_seen: int = 0
    """Problems that have had a slice."""

    def cut(self, now: float) -> "tuple[Slice, Bank]":
        """The slice of a problem that arrives at loop time `now`, and the bank after it."""
        bank = self.config.bank
        most = Slice(self.config.problem_time_s, self.config.reply_grace_s, Bound.MOST)
        return self._slice(bank, now) if bank else most, replace(self, num_seen=self.num_seen + 1)

    def _slice(self, bank: BankConfig, now: float) -> Slice:
        left_s = max(0.0, self.started_at + bank.time_limit_s - bank.reserve_s - now)
        num_left = self._num_left(bank)
        floor_s, grace_s = self._kept(bank, left_s / num_left)
        bounds = [
            (self.config.problem_time_s, Bound.MOST),
            (bank.most_of_fair_share * left_s / num_left, Bound.SHARE),
            (left_s - grace_s - (num_left - 1) * (floor_s + grace_s), Bound.FLOORS),
        ]
        if bank.predict_limit_s is not None:
            # The competition's clock starts before ours, and the reply takes time to arrive.
            travel_s = min(_TRAVEL_S, bank.predict_limit_s / 20)
            bounds.append((bank.predict_limit_s - grace_s - travel_s, Bound.PREDICT_LIMIT))
        seconds, bound = min(bounds)
        return Slice(max(0.0, seconds), grace_s, bound, left_s, num_left)

    def _num_left(self, bank: BankConfig) -> int:
        expected = USUAL_NUM_PROBLEMS if bank.num_problems is None else bank.num_problems
        num_left = expected - self.num_seen
        is_known = bank.num_problems is not None and num_left >= 1
        return num_left if is_known else max(num_left, FEWEST_LEFT)

    def _kept(self, bank: BankConfig, fair_s: float) -> tuple[float, float]:
        """Floor and grace of every problem in seconds, each a quarter of the first fair share at most."""
        first_fair_s = (bank.time_limit_s - bank.reserve_s) / (bank.num_problems or USUAL_NUM_PROBLEMS)
        floor_s, grace_s = min(bank.floor_s, first_fair_s / 4), min(self.config.reply_grace_s, first_fair_s / 4)
        if bank.predict_limit_s is not None:
            grace_s = min(grace_s, bank.predict_limit_s / 4)
        scale = min(1.0, fair_s / (floor_s + grace_s))
        return scale * floor_s, scale * grace_s
