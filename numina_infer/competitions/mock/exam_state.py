"""The state that the mocks of both APIs share: one problem is posed at a time, and each gets one answer.

The states are those of the time-series API that Kaggle's own public testing utility mirrors.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from numina_infer.competitions.mock.submission import Submission, SubmittedAnswer
from numina_infer.core.errors import GatewayError
from numina_infer.runs.problems import ProblemRow, ProblemSet


class ExamStatus(StrEnum):
    """Which move comes next."""

    INITIALIZED = "initialized"
    """No problem has been posed yet."""
    PREDICTION_NEEDED = "prediction_needed"
    """A problem is posed and has no answer yet."""
    PREDICTION_RECEIVED = "prediction_received"
    """The posed problem has its answer; the next one hasn't been asked for."""
    FINISHED = "finished"
    """Every problem has its answer, and a further one was asked for."""


@dataclass(frozen=True, slots=True)
class ExamState:
    """How far a run through the problems has come; each move makes a new state."""

    problem_set: ProblemSet
    answers: tuple[SubmittedAnswer, ...] = ()
    status: ExamStatus = ExamStatus.INITIALIZED

    @property
    def pending(self) -> ProblemRow:
        """The posed problem.

        Raises:
            GatewayError: none waits for an answer.
        """
        self._require_pending()
        return self.problem_set.rows[len(self.answers)]

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        answered = self.problem_set.problems[: len(self.answers)]
        return Submission(tuple(problem.id for problem in answered), self.answers)

    def advance(self) -> "ExamState":
        """Pose the next problem, or finish if there is none.

        Raises:
            GatewayError: the posed problem has no answer yet, or the run is finished.
        """
        if self.status is ExamStatus.PREDICTION_NEEDED:
            raise GatewayError(f"problem {self.pending.problem.id!r} has no answer yet; answer it before the next")
        if self.status is ExamStatus.FINISHED:
            raise GatewayError("this competition was run already; make a new one to run it again")
        is_over = len(self.answers) == len(self.problem_set.rows)
        return replace(self, status=ExamStatus.FINISHED if is_over else ExamStatus.PREDICTION_NEEDED)

    def accept(self, answer: SubmittedAnswer) -> "ExamState":
        """Take `answer` for the posed problem.

        Raises:
            GatewayError: none waits for an answer.
        """
        self._require_pending()
        return replace(self, answers=(*self.answers, answer), status=ExamStatus.PREDICTION_RECEIVED)

    def _require_pending(self) -> None:
        if self.status is ExamStatus.FINISHED:
            raise GatewayError("every problem is answered already; predict once a problem, and no more")
        if self.status is not ExamStatus.PREDICTION_NEEDED:
            raise GatewayError("no problem is waiting for an answer; take the next one first")
