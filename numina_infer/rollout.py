"""One trajectory: generate ⇄ execute, alone, until the model is done or something ends it.

The loop is SC-TIR's (NuminaMath's 2024 kernel, process_code), without its rounds: nothing here waits for
another trajectory.
History is only extended: each turn's context is the one before plus a completion and an observation.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import anyio

from numina_infer.answer import extract_answer, read_integer
from numina_infer.config import RolloutConfig, SamplingParams
from numina_infer.errors import EngineError, SandboxError
from numina_infer.ports import Cutoff, Decoder, Format, Session
from numina_infer.trajectory import (
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

_ENDS: Mapping[FinishReason, Outcome] = {
    FinishReason.LENGTH: Outcome.MAX_TOKENS,
    FinishReason.CONTEXT: Outcome.CONTEXT_FULL,
    FinishReason.ABORT: Outcome.CUTOFF,
}


def turn_seed(run_seed: int, statement: str, index: int, turn: int) -> int:
    """The seed of one turn, 0 to 2**31 - 1: the same whatever the order in which problems or turns come."""
    key = json.dumps([run_seed, statement, index, turn]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") >> 1


async def rollout(
    problem: Problem,
    index: int,
    *,
    decoder: Decoder,
    session: Session,
    fmt: Format,
    config: RolloutConfig,
    run_seed: int,
    cutoff: Cutoff,
) -> Trajectory:
    """Attempt `problem` once; never raises for what the model, its programs, the engine or the sandbox do."""
    attempt = _Attempt(problem, index, decoder, session, fmt, config, run_seed, cutoff)
    turns: list[Turn] = []
    started_at = anyio.current_time()
    error = ""
    try:
        outcome = await attempt.take_turns(turns)
    except EngineError as engine_error:
        outcome, error = Outcome.ENGINE_ERROR, str(engine_error)
    except SandboxError as sandbox_error:
        outcome, error = Outcome.SANDBOX_ERROR, str(sandbox_error)
    return Trajectory(
        problem_id=problem.id,
        index=index,
        turns=tuple(turns),
        outcome=outcome,
        answer=read_answer(list(map(fmt.said, turns)), outcome, config.answer_range),
        printed=read_printed(turns, config.answer_range),
        started_at=started_at,
        ended_at=anyio.current_time(),
        error=error,
    )


def unbegun(problem: Problem, index: int, outcome: Outcome, now: float, error: str = "") -> Trajectory:
    """A trajectory that ended before its first turn."""
    nothing = ExtractedAnswer(None, NoAnswer.UNFINISHED)
    return Trajectory(problem.id, index, (), outcome, nothing, started_at=now, ended_at=now, error=error)


def read_answer(said: list[str], outcome: Outcome, answer_range: AnswerRange) -> ExtractedAnswer:
    """What the model stated over all its turns; outputs of programs are no statements of the model."""
    answer = extract_answer("\n".join(said), answer_range, complete=outcome not in _ENDS.values())
    if answer.reason is NoAnswer.NOT_STATED and outcome in _CUT_SHORT:
        return ExtractedAnswer(None, NoAnswer.UNFINISHED)
    return answer


_CUT_SHORT = {Outcome.CUTOFF, Outcome.ENGINE_ERROR, Outcome.SANDBOX_ERROR}


def read_printed(turns: list[Turn], answer_range: AnswerRange) -> int | None:
    """The integer in range that the last program printed last, if it ran well and did."""
    executions = [turn.execution for turn in turns if turn.execution is not None]
    if not executions or executions[-1].status is not ExecutionStatus.OK:
        return None
    integer = read_integer(executions[-1].output.rpartition("\n")[2])
    vote = integer if isinstance(integer, NoAnswer) else answer_range.place(integer)
    return None if isinstance(vote, NoAnswer) else vote


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Everything that stays the same from turn to turn."""

    problem: Problem
    index: int
    decoder: Decoder
    session: Session
    fmt: Format
    config: RolloutConfig
    run_seed: int
    cutoff: Cutoff

    @property
    def sampling(self) -> SamplingParams:
        return replace(self.config.sampling, stop=self.fmt.stop)

    async def take_turns(self, turns: list[Turn]) -> Outcome:
        """Append turns until the trajectory ends; what was done stays in `turns` if an error breaks out."""
        context: list[Part] = [*self.fmt.prompt(self.problem.statement)]
        while True:
            seed = turn_seed(self.run_seed, self.problem.statement, self.index, len(turns))
            completion = await self.decoder.generate(context, self.sampling, seed=seed, cutoff=self.cutoff)
            end = _ENDS.get(completion.finish_reason)
            code = None if end else self.fmt.program(completion)
            turns.append(Turn(completion, code))
            if code is None:
                return end or Outcome.FINISHED
            if len(turns) == self.config.max_turns:
                return Outcome.MAX_TURNS
            execution = await self.session.execute(code, timeout_s=self.config.code_timeout_s, cutoff=self.cutoff)
            if self.cutoff.has_passed and execution.status is ExecutionStatus.TIMEOUT:
                return Outcome.CUTOFF  # it was ended for our sake; a program's own time-out is something else
            turns[-1] = Turn(completion, code, execution, self.fmt.observation(completion, execution))
            if self.cutoff.has_passed:
                return Outcome.CUTOFF
            context += [completion, turns[-1].observation]
