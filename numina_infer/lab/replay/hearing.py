"""The referee hears recorded events, one after another, until it says stop.

It is asked when the solver asked it: after an opening, after the starts that it had ordered, after every ending, and
when a time has come until which it waited; each time for the time of the last event, or for that time. So it decides
as it did live.

Where another policy would have replaced a lost attempt, the next attempt of the log that it had no place for stands
in: its seeds are the same, only its times are those of the log.
"""

from collections.abc import Sequence
from dataclasses import replace

from numina_infer.core.config import Policy
from numina_infer.core.events import Ended, Opened, Started, Stopped
from numina_infer.core.records import StopReason
from numina_infer.voting.referee import Stop, Wait, decide, fold

Attempted = Started | Ended | Stopped
"""What happens to a problem between its opening and its verdict."""


class Hearing:
    """One problem's events under `policy`, with `deadline` (loop time) in the place of its own."""

    def __init__(self, opened: Opened, policy: Policy, deadline: float | None = None) -> None:
        self.policy = policy
        self.ledger = fold(None, opened if deadline is None else replace(opened, deadline=deadline))
        self.num_tokens = 0
        """Sampled by the trajectories that have ended."""
        self._started: set[int] = set()
        self._passed_over: dict[int, Ended | None] = {}
        """Attempts that the policy had no place for, by index, with their endings."""
        self._has_own_deadline = self.ledger.deadline == opened.deadline

    def until_stop(self, events: Sequence[Attempted]) -> tuple[int, StopReason | None]:
        """How many of `events` the referee heard before it stopped, and why; None where it would have gone on.

        The run's own stop isn't passed: nothing behind it says what would have come instead.
        """
        # Where the log doesn't tell when the deadline was noticed, an event behind it does.
        is_told = self._has_own_deadline and any(isinstance(event, Stopped) for event in events)
        number = self._take_starts(events, 0)
        while number < len(events):
            event = events[number]
            is_own_stop = isinstance(event, Stopped)
            reason = self._reason(event.at, may_be_late=is_own_stop or not is_told)
            if reason is not None or is_own_stop:
                return number, reason
            self._take_ending(event)
            number = self._take_starts(events, number + 1)
        return number, self._reason(self.ledger.at, may_be_late=False)

    def take(self, events: Sequence[Attempted]) -> None:
        """Count `events` without asking: what attempts handed over behind a stop."""
        number = self._take_starts(events, 0)
        while number < len(events):
            self._take_ending(events[number])
            number = self._take_starts(events, number + 1)

    def _reason(self, coming_at: float, *, may_be_late: bool) -> StopReason | None:
        """Why the problem stops before an event at `coming_at`, if it does."""
        now = self.ledger.at
        while not isinstance(decision := decide(self.policy, self.ledger, now), Stop):
            until = decision.until if isinstance(decision, Wait) else self.ledger.deadline
            if not may_be_late or not now < until <= coming_at:
                return None
            now = until
        return decision.reason

    def _take_starts(self, events: Sequence[Attempted], number: int) -> int:
        """Fold the starts from `events[number]` on in one, but for those beyond the horizon; where they end."""
        last_at, num_before = self.ledger.at, len(self._started)
        while number < len(events) and isinstance(event := events[number], Started):
            number += 1
            if event.index < self._horizon:
                self._started.add(event.index)
                last_at = event.at
            else:
                self._passed_over[event.index] = None
        if len(self._started) > num_before:
            self.ledger = self.ledger.started(last_at, len(self._started) - num_before)
        return number

    @property
    def _horizon(self) -> int:
        return self.ledger.horizon(self.policy.num_samples)

    def _take_ending(self, event: Attempted) -> None:
        """Fold one ending, unless it is of a trajectory that the policy has no place for; others may stand in then."""
        ending = event if isinstance(event, Ended) else None
        while ending is not None:
            index = ending.trajectory.index
            if index in self._passed_over:
                self._passed_over[index] = ending
            elif index in self._started:
                self.num_tokens += ending.trajectory.num_tokens
                self.ledger = fold(self.ledger, ending, self.policy.weights)
            ending = self._stand_in()

    def _stand_in(self) -> Ended | None:
        """Have an attempt that was passed over replace one that was lost; its ending, if that has come already."""
        index = min(self._passed_over, default=None)
        if index is None or index >= self._horizon:
            return None
        ending = self._passed_over.pop(index)
        self._started.add(index)
        self.ledger = self.ledger.started(self.ledger.at)
        return None if ending is None else replace(ending, at=self.ledger.at)
