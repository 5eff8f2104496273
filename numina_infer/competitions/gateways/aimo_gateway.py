"""Our side of AIMO-1's API: `import aimo; AimoGateway(aimo.make_env()).serve(answer)`.

It uses that API as the Numina kernel does (project-numina/aimo-progress-prize, kaggle-solution.ipynb).
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem

if TYPE_CHECKING:
    import pandas as pd


class AimoEnv(Protocol):
    """The result of `aimo.make_env()` and of `mock.aimo.make_env`."""

    def iter_test(self) -> "Iterator[tuple[pd.DataFrame, pd.DataFrame] | None]":
        """Frames of one row, `test` (id, problem) and `sample_submission` (id, answer)."""
        ...

    def predict(self, submission: "pd.DataFrame", /) -> None:
        """Take `sample_submission` with its answer set."""
        ...


class AimoGateway:
    """Iterates over the competition's problems, and answers each before it takes the next."""

    def __init__(self, env: AimoEnv) -> None:
        self._env = env

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Ask `answer` for every problem; the competition's frame goes back unchanged but for the answer.

        Raises:
            GatewayError: the competition gave no problem, or its frames aren't of this API's shape.
        """
        for batch in self._env.iter_test():
            if batch is None:
                raise GatewayError(
                    "the competition gave no problem, since it has not taken the last answer; "
                    "nothing else may iterate over this env: make a new one and serve it once"
                )
            test, sample_submission = batch
            self._env.predict(sample_submission.assign(answer=answer(_problem(test))))


def _problem(test: "pd.DataFrame") -> Problem:
    if len(test) != 1 or any(list(test.columns).count(name) != 1 for name in ("id", "problem")):
        raise GatewayError(
            f"the competition sent {len(test)} rows of {list(test.columns)} where one of id and problem was due; "
            "check which API it speaks: kaggle_evaluation is the other"
        )
    return Problem(id=str(test["id"].iloc[0]), statement=str(test["problem"].iloc[0]))
