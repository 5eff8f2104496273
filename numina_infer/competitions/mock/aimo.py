"""Kaggle's side of AIMO-1: a mock of the module `aimo`, whose problems a kernel iterates over.

    env = make_env(read_problems("test.csv"))
    for test, sample_submission in env.iter_test():
        env.predict(sample_submission.assign(answer=52))

The real module was compiled and is no longer available. The order of calls, and how a wrong order fails, follow the
testing utility that Kaggle published for this family of APIs; where that says nothing, the mock refuses.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.competitions.mock.exam_state import ExamState, ExamStatus
from numina_infer.competitions.mock.submission import Submission, writable_folder
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import AnswerRange, Problem
from numina_infer.runs.problems import ProblemSet

if TYPE_CHECKING:
    import pandas as pd


class MockAimoEnv:
    """The competition, one problem at a time."""

    def __init__(self, problem_set: ProblemSet, output_dir: Path, answer_range: AnswerRange) -> None:
        self._state = ExamState(problem_set)
        self._output_dir = output_dir
        self._answer_range = answer_range

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return self._state.submission

    def write_submission(self, folder: str | Path | None = None) -> None:
        """Write the answers so far into `folder`, by default the output folder.

        Raises:
            ConfigError: the folder can't be written to.
        """
        self.submission.write(self._output_dir if folder is None else folder)

    def iter_test(self) -> "Iterator[tuple[pd.DataFrame, pd.DataFrame] | None]":
        """Yield `(test, sample_submission)`: frames of one row, `id, problem` and `id, answer`.

        Going on without `predict` prints a warning and yields None, each time.
        The submission is written when the iterator is exhausted, so not if the loop is left early.

        Raises:
            GatewayError: it was iterated before.
        """
        if self._state.status is not ExamStatus.INITIALIZED:
            raise GatewayError("iter_test() can be iterated only once; make a new env")
        while (state := self._state.advance()).status is not ExamStatus.FINISHED:
            self._state = state
            yield _frames(state.pending.problem)
            while self._state.status is ExamStatus.PREDICTION_NEEDED:
                print("iter_test() waits: call predict() with an answer first", flush=True)  # noqa: T201 - as Kaggle
                yield None
        self._state = state
        self.write_submission()

    def predict(self, submission: "pd.DataFrame") -> None:
        """Take the answer to the posed problem: its `sample_submission` with `answer` set.

        Raises:
            GatewayError: no problem waits for an answer, or this isn't one row with its id and an integer in range;
                the problem then waits on.
        """
        self._state = self._state.accept(self._answer(submission, self._state.pending.problem))

    def _answer(self, submission: object, problem: Problem) -> int:
        import numpy as np
        import pandas as pd

        if not isinstance(submission, pd.DataFrame):
            raise GatewayError(f"predict() got a {type(submission).__name__}; give it the sample_submission DataFrame")
        if len(submission) != 1 or not {"id", "answer"} <= set(submission.columns):
            raise GatewayError(
                f"predict() got {len(submission)} rows of {list(submission.columns)}; give it one row of id and answer"
            )
        if submission["id"].iloc[0] != problem.id:
            raise GatewayError(
                f"predict() got id {submission['id'].iloc[0]!r} for {problem.id!r}; keep the id it came with"
            )
        answer = submission["answer"].iloc[0]
        if isinstance(answer, bool) or not isinstance(answer, int | np.integer):
            raise GatewayError(f"the answer {answer!r} to {problem.id!r} is no integer; give an integer")
        largest = self._answer_range.largest
        if not 0 <= answer <= largest:
            raise GatewayError(f"the answer {answer} to {problem.id!r} is out of range; give 0 to {largest}")
        return int(answer)


def make_env(
    problem_set: ProblemSet,
    *,
    output_dir: str | Path = ".",
    shuffle_seed: int | None = None,
    answer_range: AnswerRange = AnswerRange.MOD_1000,
) -> MockAimoEnv:
    """The environment that poses `problem_set` in its order, or shuffled by `shuffle_seed`, as Kaggle did.

    Raises:
        ConfigError: `output_dir`, the folder for the submission, can't be written to.
    """
    ordered = problem_set if shuffle_seed is None else problem_set.shuffled(shuffle_seed)
    return MockAimoEnv(ordered, writable_folder(output_dir), answer_range)


def _frames(problem: Problem) -> "tuple[pd.DataFrame, pd.DataFrame]":
    import pandas as pd

    test = pd.DataFrame({"id": [problem.id], "problem": [problem.statement]})
    return test, pd.DataFrame({"id": [problem.id], "answer": [0]})
