"""One attempt: generate text, run its program, append the output, until the model is done or something ends it.

The loop is SC-TIR's (NuminaMath's 2024 kernel, process_code), without its rounds: no attempt waits for another.
A context only grows: each turn's is the one before with a completion and an observation appended.

The text is kept in a draft, outside the coroutine that writes it. The attempt is the failure domain: an error in it
ends this attempt alone, and the text so far still counts. The idea is a supervisor's one-for-one strategy
(Erlang/OTP): a child that dies takes nobody with it.
"""

import hashlib
import json
import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from numina_infer.answers.expression import read_integer
from numina_infer.answers.extract import extract_answer
from numina_infer.core.config import RolloutConfig
from numina_infer.core.errors import EngineError, EngineGoneError, EngineRefusalError, SandboxError, SandboxGoneError
from numina_infer.core.ports import Cutoff, Decoder, Format, Session
from numina_infer.core.records import (
    AnswerRange,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Part,
    Problem,
    Trajectory,
    Turn,
)

# --- writing ---

_ENDS: Mapping[FinishReason, Outcome] = {
    FinishReason.LENGTH: Outcome.MAX_TOKENS,
    FinishReason.CONTEXT: Outcome.CONTEXT_FULL,
    FinishReason.ABORT: Outcome.CUTOFF,
}


def turn_seed(run_seed: int, statement: str, index: int, turn: int) -> int:
    """The seed of one turn, 0 to 2**31 - 1; it doesn't depend on the order in which problems or turns come."""
    key = json.dumps([run_seed, statement, index, turn]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") >> 1


async def rollout(
    draft: "Draft",
    *,
    decoder: Decoder,
    session: Session,
    config: RolloutConfig,
    run_seed: int,
    cutoff: Cutoff,
) -> Outcome:
    """Attempt the draft's problem once, write each turn into `draft`, and return how it ended.

    Errors of engine and sandbox go on to the caller, `end_of`, which reads the draft as it stands then.
    """
    draft.started_at = anyio.current_time()
    fmt, turns, statement = draft.fmt, draft.turns, draft.problem.statement
    sampling = replace(config.sampling, stop=fmt.stop)
    context: list[Part] = [*fmt.prompt(statement)]
    while draft.outcome is None:
        seed = turn_seed(run_seed, statement, draft.index, len(turns))
        completion = await decoder.generate(context, sampling, seed=seed, cutoff=cutoff)
        require_recordable(completion)
        turns.append(Turn(completion))  # first of all: a format that fails to read it loses none of it
        draft.outcome = _ENDS.get(completion.finish_reason)
        code = None if draft.outcome else fmt.program(completion)
        turns[-1] = Turn(completion, code)
        if code is None:
            draft.outcome = draft.outcome or Outcome.FINISHED
        elif len(turns) == config.max_turns:
            draft.outcome = Outcome.MAX_TURNS
        else:
            execution = await session.execute(code, timeout_s=config.code_timeout_s, cutoff=cutoff)
            # Behind the cutoff a time-out isn't the program's own.
            if not (cutoff.has_passed and execution.status is ExecutionStatus.TIMEOUT):
                turns[-1] = Turn(completion, code, execution, fmt.observation(completion, execution))
            draft.outcome = Outcome.CUTOFF if cutoff.has_passed else None
            context += [completion, turns[-1].observation]
    return draft.outcome


def require_recordable(completion: Any) -> None:
    """Refuse a completion that the run log can't hold: one odd value would end the log for all attempts.

    Raises:
        TypeError: a field is of another type.
    """
    numbers = (completion.num_tokens, completion.num_prompt_tokens, completion.num_cached_tokens, completion.seed)
    is_whole = (
        isinstance(completion.text, str)
        and isinstance(completion.tail, str)
        and isinstance(completion.finish_reason, FinishReason)
        and isinstance(completion.stop_reason, str | None)
        and isinstance(completion.cumulative_logprob, float | int | None)
        and {*map(type, completion.token_ids), *map(type, numbers)} == {int}
    )
    if not is_whole:
        raise TypeError("the engine gave a completion that no log can hold: its fields are of other types")


# --- what was written, and how it ended ---

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
                answer, printed = self.read(outcome)
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

    def read(self, outcome: Outcome) -> tuple[ExtractedAnswer, int | None]:
        """The answer of an attempt with `outcome`, and the integer that its last program printed."""
        answer = read_answer(list(map(self.fmt.said, self.turns)), outcome, self.answer_range)
        return answer, read_printed(self.turns, self.answer_range)


_FAILURES = (
    (EngineGoneError, Outcome.ENGINE_GONE),
    (EngineRefusalError, Outcome.ENGINE_REFUSED),
    (EngineError, Outcome.ENGINE_ERROR),
    (SandboxGoneError, Outcome.SANDBOX_GONE),
    (SandboxError, Outcome.SANDBOX_ERROR),
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
    first = _first(raised)
    return next((outcome for kind, outcome in _FAILURES if isinstance(first, kind)), Outcome.FAILED), describe(raised)


def _first(raised: BaseException) -> BaseException:
    """The first error of a group, as task groups raise them."""
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised


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
