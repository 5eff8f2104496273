"""The text of one attempt, kept outside the coroutine that writes it, and the ways in which an attempt ends.

The attempt is the failure domain: an error in it ends this attempt alone, and the text so far still counts.
The idea is a supervisor's one-for-one strategy (Erlang/OTP): a child that dies takes nobody with it.
"""

import math
from collections.abc import Awaitable
from dataclasses import dataclass, field

import anyio

from numina_infer.answers.expression import read_integer
from numina_infer.answers.extract import extract_answer
from numina_infer.core.errors import EngineError, EngineGoneError, EngineRefusalError, SandboxError, SandboxGoneError
from numina_infer.core.ports import Cutoff, Format
from numina_infer.core.records import (
    AnswerRange,
    ExecutionStatus,
    ExtractedAnswer,
    NoAnswer,
    Outcome,
    Problem,
    Trajectory,
    Turn,
)

_CUT_SHORT = {Outcome.MAX_TOKENS, Outcome.CONTEXT_FULL, Outcome.CUTOFF}
"""Outcomes of attempts whose text was cut off in the middle of a turn."""


@dataclass(slots=True)
class Draft:
    """One attempt while it is written; every way to end makes a trajectory of it."""

    problem: Problem
    index: int
    """0, 1, 2, … within the problem."""
    fmt: Format
    answer_range: AnswerRange
    started_at: float | None = None
    """Loop time at which it had its slots in engine and sandbox; None before."""
    turns: list[Turn] = field(default_factory=list)
    outcome: Outcome | None = None
    """How the attempt ended; an error while it gives its slots back changes nothing any more."""

    def ended(self, outcome: Outcome, now: float, error: str = "") -> Trajectory:
        """The trajectory so far, ended at loop time `now`, with `outcome` unless it has one of its own.

        If its format fails to read the turns, the attempt loses its vote and keeps its turns.
        """
        answer, printed = ExtractedAnswer(None, NoAnswer.UNFINISHED), None
        outcome = self.outcome or outcome
        try:
            if self.turns:
                answer = read_answer(list(map(self.fmt.said, self.turns)), outcome, self.answer_range)
                printed = read_printed(self.turns, self.answer_range)
        except BaseException as raised:  # noqa: BLE001 (the attempt is the failure domain)
            outcome, error = Outcome.FAILED, error or describe(raised)
        return Trajectory(
            problem_id=self.problem.id,
            index=self.index,
            turns=tuple(self.turns),
            outcome=outcome,
            answer=answer,
            printed=printed,
            started_at=now if self.started_at is None else self.started_at,
            ended_at=now,
            error=error,
        )


async def end_of(draft: Draft, work: Awaitable[Outcome], cutoff: Cutoff) -> Trajectory:
    """Do `work`, which writes `draft`, and return how it ended; raises only the cancellation of this very task.

    An error of engine or sandbox behind the cutoff counts as cut off.
    """
    error = ""
    try:
        outcome = await work
    except BaseException as raised:  # noqa: BLE001 (the attempt is the failure domain)
        outcome, error = failure_of(raised)
        if cutoff.has_passed and outcome is not Outcome.FAILED:
            outcome = Outcome.CUTOFF
    return draft.ended(outcome, anyio.current_time(), error)


def failure_of(raised: BaseException) -> tuple[Outcome, str]:
    """The outcome of an attempt that raised `raised`, and the text of its error.

    The cancellation of this very task is raised again. Any other, such as one that escapes from a package that we use,
    is a failure: if it went on, the task group would end all other attempts.
    """
    if isinstance(raised, anyio.get_cancelled_exc_class()) and anyio.current_effective_deadline() == -math.inf:
        raise raised
    return _outcome_of(_first(raised)), describe(raised)


def _first(raised: BaseException) -> BaseException:
    """The first error of a group, as task groups raise them."""
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised


def _outcome_of(raised: BaseException) -> Outcome:
    match raised:
        case EngineGoneError():
            return Outcome.ENGINE_GONE
        case EngineRefusalError():
            return Outcome.ENGINE_REFUSED
        case EngineError():
            return Outcome.ENGINE_ERROR
        case SandboxGoneError():
            return Outcome.SANDBOX_GONE
        case SandboxError():
            return Outcome.SANDBOX_ERROR
        case _:
            return Outcome.FAILED


def describe(raised: BaseException) -> str:
    """The text of an error of engine or sandbox; any other error's type too."""
    first = _first(raised)
    try:
        return str(first) if isinstance(first, EngineError | SandboxError) and str(first) else repr(first)
    except Exception:  # noqa: BLE001 (a foreign exception may fail to print itself)
        return type(first).__name__


def read_answer(said: list[str], outcome: Outcome, answer_range: AnswerRange) -> ExtractedAnswer:
    """The answer that the model stated in any of its turns; outputs of programs don't count.

    The text of an attempt that failed is read like one that a limit cut short.
    """
    is_whole = outcome not in _CUT_SHORT and not outcome.is_failure
    answer = extract_answer("\n".join(said), answer_range, complete=is_whole)
    is_ended_from_outside = outcome is Outcome.CUTOFF or outcome.is_failure
    if answer.reason is NoAnswer.NOT_STATED and is_ended_from_outside:
        return ExtractedAnswer(None, NoAnswer.UNFINISHED)
    return answer


def read_printed(turns: list[Turn], answer_range: AnswerRange) -> int | None:
    """The integer in range that the last program printed as its last line; None if it failed or printed none."""
    executions = [turn.execution for turn in turns if turn.execution is not None]
    if not executions or executions[-1].status is not ExecutionStatus.OK:
        return None
    integer = read_integer(executions[-1].output.rpartition("\n")[2])
    vote = integer if isinstance(integer, NoAnswer) else answer_range.place(integer)
    return None if isinstance(vote, NoAnswer) else vote
