"""Feeds a problem's recorded events to the referee, one after another, until it says stop.

The referee is asked at the moments at which the solver asked it: after the opening, after the starts that it ordered,
after every ending, and when a wait is over. So it decides as it did live.
Where another policy would have replaced a lost attempt, the next unused attempt of the log takes its place: it has the
seeds that the replacement would have had, and the log's times.
"""

from collections.abc import Sequence
from dataclasses import replace

from numina_infer.core.config import Policy
from numina_infer.core.events import Ended, Opened, Started, Stopped
from numina_infer.core.records import StopReason
from numina_infer.voting.referee import Stop, Wait, decide, fold

AttemptEvent = Started | Ended | Stopped
"""What happens to a problem between its opening and its verdict."""


class ReplayReferee:
    """Replays one problem under `policy`, with `deadline` (loop time) instead of its own."""

    def __init__(self, opened: Opened, policy: Policy, deadline: float | None = None) -> None:
        self.policy = policy
        self.ledger = fold(None, opened if deadline is None else replace(opened, deadline=deadline))
        self.num_tokens = 0
        """Sampled by the trajectories that have ended."""
        self._started: set[int] = set()
        self._passed_over: dict[int, Ended | None] = {}
        """Attempts that the policy wouldn't have started, by index, with their endings."""
        self._has_own_deadline = self.ledger.deadline == opened.deadline

    def until_stop(self, events: Sequence[AttemptEvent]) -> tuple[int, StopReason | None]:
        """The number of `events` before the referee stops, and the reason; None where it would have gone on.

        It never goes beyond the run's own stop: the log doesn't say what would have come instead.
        """
        # Where the log doesn't say when the deadline was noticed, the next event shows it.
        is_known = self._has_own_deadline and any(isinstance(event, Stopped) for event in events)
        number = self._take_starts(events, 0)
        while number < len(events):
            event = events[number]
            is_own_stop = isinstance(event, Stopped)
            reason = self._reason(event.at, may_be_late=is_own_stop or not is_known)
            if reason is not None or is_own_stop:
                return number, reason
            self._take_ending(event)
            number = self._take_starts(events, number + 1)
        return number, self._reason(self.ledger.at, may_be_late=False)

    def take(self, events: Sequence[AttemptEvent]) -> None:
        """Count `events` without asking the referee: attempts that end after a stop still hand over answers."""
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

    def _take_starts(self, events: Sequence[AttemptEvent], number: int) -> int:
        """Fold the starts from `events[number]` on at once; returns the number of the first event that is no start.

        Starts beyond the horizon are passed over.
        """
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

    def _take_ending(self, event: AttemptEvent) -> None:
        """Fold one ending, unless the policy wouldn't have started its trajectory; a lost one may be replaced then."""
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
        """Replace a lost attempt by one that was passed over; returns its ending, if that was recorded already."""
        index = min(self._passed_over, default=None)
        if index is None or index >= self._horizon:
            return None
        ending = self._passed_over.pop(index)
        self._started.add(index)
        self.ledger = self.ledger.started(self.ledger.at)
        return None if ending is None else replace(ending, at=self.ledger.at)
