"""The part that both API shapes share: one problem out at a time, one answer for each.

A sitting is a frozen record; its moves make the next one.
The states are those of the time-series API that Kaggle's own public testing utility mirrors.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from numina_infer.competitions.mock.submission import Submission, SubmittedAnswer
from numina_infer.core.errors import GatewayError
from numina_infer.runs.problems import ProblemRow, ProblemSet


class SittingStatus(StrEnum):
    """Whose turn it is."""

    INITIALIZED = "initialized"
    """No problem was posed yet."""
    PREDICTION_NEEDED = "prediction_needed"
    """A problem is out, its answer isn't in."""
    PREDICTION_RECEIVED = "prediction_received"
    """The answer is in; the next problem wasn't asked for yet."""
    FINISHED = "finished"
    """Every problem is answered, and the next one was asked for."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """One run through the problems."""

    problem_set: ProblemSet
    answers: tuple[SubmittedAnswer, ...] = ()
    status: SittingStatus = SittingStatus.INITIALIZED

    @property
    def pending(self) -> ProblemRow:
        """The problem that is out.

        Raises:
            GatewayError: none is.
        """
        self._require_pending()
        return self.problem_set.rows[len(self.answers)]

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        answered = self.problem_set.problems[: len(self.answers)]
        return Submission(tuple(problem.id for problem in answered), self.answers)

    def advance(self) -> "Sitting":
        """Pose the next problem, or finish where there is none.

        Raises:
            GatewayError: a problem is out still, or the sitting is over.
        """
        if self.status is SittingStatus.PREDICTION_NEEDED:
            raise GatewayError(f"problem {self.pending.problem.id!r} has no answer yet; answer it before the next")
        if self.status is SittingStatus.FINISHED:
            raise GatewayError("this competition was run already; make a new one to run it again")
        is_over = len(self.answers) == len(self.problem_set.rows)
        return replace(self, status=SittingStatus.FINISHED if is_over else SittingStatus.PREDICTION_NEEDED)

    def accept(self, answer: SubmittedAnswer) -> "Sitting":
        """Take `answer` for the problem that is out.

        Raises:
            GatewayError: no problem is.
        """
        self._require_pending()
        return replace(self, answers=(*self.answers, answer), status=SittingStatus.PREDICTION_RECEIVED)

    def _require_pending(self) -> None:
        if self.status is SittingStatus.FINISHED:
            raise GatewayError("every problem is answered already; predict once a problem, and no more")
        if self.status is not SittingStatus.PREDICTION_NEEDED:
            raise GatewayError("no problem is waiting for an answer; take the next one first")
