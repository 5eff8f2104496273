"""Kaggle's side of AIMO-1: a mock of the module `aimo`, whose problems a kernel iterates over.

    env = MockAimoEnv(read_problems("test.csv"))
    for test, sample_submission in env.iter_test():
        env.predict(sample_submission.assign(answer=52))

The real module was compiled and is no longer available. The order of calls, and how a wrong order fails, follow the
testing utility that Kaggle published for this family of APIs; where that says nothing, the mock refuses.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.competitions.mock.exam import Exam, ExamStatus
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import AnswerRange, Problem
from numina_infer.runs.problems import ProblemSet

if TYPE_CHECKING:
    import pandas as pd


class MockAimoEnv(Exam):
    """The competition, one problem at a time; stands for the result of `aimo.make_env()`."""

    def __init__(
        self,
        problem_set: ProblemSet,
        *,
        output_dir: str | Path = ".",
        answer_range: AnswerRange = AnswerRange.MOD_1000,
    ) -> None:
        super().__init__(problem_set, output_dir)
        self._largest = answer_range.largest

    def iter_test(self) -> "Iterator[tuple[pd.DataFrame, pd.DataFrame] | None]":
        """Yield `(test, sample_submission)`: frames of one row, `id, problem` and `id, answer`.

        Going on without `predict` prints a warning and yields None, each time.
        The submission is written when the iterator is exhausted, so not if the loop is left early.

        Raises:
            GatewayError: it was iterated before.
        """
        import pandas as pd

        for row in self.pose_all():
            problem = row.problem
            test = pd.DataFrame({"id": [problem.id], "problem": [problem.statement]})
            yield test, pd.DataFrame({"id": [problem.id], "answer": [0]})
            while self.status is ExamStatus.PREDICTION_NEEDED:
                print("iter_test() waits: call predict() with an answer first", flush=True)  # noqa: T201 - as Kaggle
                yield None

    def predict(self, submission: "pd.DataFrame") -> None:
        """Take the answer to the posed problem: its `sample_submission` with `answer` set.

        Raises:
            GatewayError: no problem waits for an answer, or this isn't one row with its id and an integer in range;
                the problem then waits on.
        """
        self.accept(self._answer(submission, self.pending.problem))

    def _answer(self, submission: object, problem: Problem) -> int:
        import numpy as np
        import pandas as pd

        if not isinstance(submission, pd.DataFrame):
            raise GatewayError(f"predict() got a {type(submission).__name__}; give it the sample_submission DataFrame")
        if len(submission) != 1 or not {"id", "answer"} <= set(submission.columns):
            raise GatewayError(
                f"predict() got {len(submission)} rows of {list(submission.columns)}; give it one row of id and answer"
            )
        identifier, answer = submission["id"].iloc[0], submission["answer"].iloc[0]
        if identifier != problem.id:
            raise GatewayError(f"predict() got id {identifier!r} for {problem.id!r}; keep the id it came with")
        if isinstance(answer, bool) or not isinstance(answer, int | np.integer):
            raise GatewayError(f"the answer {answer!r} to {problem.id!r} is no integer; give an integer")
        if not 0 <= answer <= self._largest:
            raise GatewayError(f"the answer {answer} to {problem.id!r} is out of range; give 0 to {self._largest}")
        return int(answer)
