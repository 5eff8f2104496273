"""Tool-integrated-reasoning self-consistency for olympiad mathematics.

    from numina_infer import Choices, solve
    solution = solve("What is 815 minus 368?", Choices(num_samples=8))
    print(solution.answer, solution.votes)

Names are imported when they are first used, so `import numina_infer` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numina_infer.answers.extract import extract_answer
    from numina_infer.app.choices import Choices
    from numina_infer.app.composition import solve
    from numina_infer.competitions.known import Competition
    from numina_infer.core.records import AnswerRange, ExtractedAnswer, Problem, Solution, Trajectory
    from numina_infer.kaggle.kernel import Kernel
    from numina_infer.runs.history import Run, read_run
    from numina_infer.runs.problems import read_problems

__all__ = [
    "AnswerRange",
    "Choices",
    "Competition",
    "ExtractedAnswer",
    "Kernel",
    "Problem",
    "Run",
    "Solution",
    "Trajectory",
    "extract_answer",
    "read_problems",
    "read_run",
    "solve",
]

_HOMES = {
    "AnswerRange": "core.records",
    "Choices": "app.choices",
    "Competition": "competitions.known",
    "ExtractedAnswer": "core.records",
    "Kernel": "kaggle.kernel",
    "Problem": "core.records",
    "Run": "runs.history",
    "Solution": "core.records",
    "Trajectory": "core.records",
    "extract_answer": "answers.extract",
    "read_problems": "runs.problems",
    "read_run": "runs.history",
    "solve": "app.composition",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
