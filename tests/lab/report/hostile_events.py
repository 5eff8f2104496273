"""A problem in which every text is hostile."""

from numina_infer.core.events import Ended, Event, Opened, Solved, Started
from numina_infer.core.records import (
    AnswerSource,
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
)
from tests.lab.report.pages import HOSTILE


def hostile_events() -> list[Event]:
    """A problem in which everything that is a text is hostile."""
    events: list[Event] = []
    for number, text in enumerate(HOSTILE):
        problem = Problem(f"{number} {text}", text)
        execution = Execution(ExecutionStatus.ERROR, text, text, text, 0.5)
        turn = Turn(Completion(text, (), FinishReason.EOS), code=text, execution=execution, observation=text)
        answer = ExtractedAnswer(None, NoAnswer.UNREADABLE, AnswerSource.BOXED, text)
        solution = Solution(
            problem.id, 0, is_fallback=True, stop_reason=StopReason.FAILED, error=text, incidents=(text,)
        )
        events += [
            Opened(problem, text, deadline=10.0, num_samples=1, at=0.0),
            Started(problem.id, 0, 0.0),
            Ended(Trajectory(problem.id, 0, (turn,), Outcome.ENGINE_ERROR, answer, error=text), 1.0),
            Solved(solution, 2.0),
        ]
    return events
