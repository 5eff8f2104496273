"""One trajectory: generate ⇄ execute, alone, until the model is done or something ends it.

The loop is SC-TIR's (NuminaMath's 2024 kernel, process_code), without its rounds: nothing here waits for
another trajectory.
History is only extended: each turn's context is the one before plus a completion and an observation.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio

from numina_infer.core.config import RolloutConfig, SamplingParams
from numina_infer.core.ports import Cutoff, Decoder, Session
from numina_infer.core.records import ExecutionStatus, FinishReason, Outcome, Part, Turn
from numina_infer.solving.draft import Draft

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
    draft: Draft,
    *,
    decoder: Decoder,
    session: Session,
    config: RolloutConfig,
    run_seed: int,
    cutoff: Cutoff,
) -> Outcome:
    """Attempt the draft's problem once, turn by turn into `draft`, and say how that ended.

    What engine and sandbox raise comes through; what was written by then is in `draft`, see `draft.end_of`.
    """
    draft.started_at = anyio.current_time()
    draft.outcome = await _Attempt(draft, decoder, session, config, run_seed, cutoff).take_turns()
    return draft.outcome


def require_recordable(completion: Any) -> None:
    """See that a log can hold what an engine gave: one odd value would end the log for all attempts.

    Raises:
        TypeError: it can't.
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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Everything that stays the same from turn to turn."""

    draft: Draft
    decoder: Decoder
    session: Session
    config: RolloutConfig
    run_seed: int
    cutoff: Cutoff

    @property
    def sampling(self) -> SamplingParams:
        return replace(self.config.sampling, stop=self.draft.fmt.stop)

    @property
    def next_seed(self) -> int:
        draft = self.draft
        return turn_seed(self.run_seed, draft.problem.statement, draft.index, len(draft.turns))

    async def take_turns(self) -> Outcome:
        """Append turns until the trajectory ends."""
        fmt, turns = self.draft.fmt, self.draft.turns
        context: list[Part] = [*fmt.prompt(self.draft.problem.statement)]
        while True:
            completion = await self.decoder.generate(context, self.sampling, seed=self.next_seed, cutoff=self.cutoff)
            require_recordable(completion)
            end = _ENDS.get(completion.finish_reason)
            turns.append(Turn(completion))  # before it is read: a format that breaks on it loses none of it
            code = None if end else fmt.program(completion)
            turns[-1] = Turn(completion, code)
            if code is None:
                return end or Outcome.FINISHED
            if len(turns) == self.config.max_turns:
                return Outcome.MAX_TURNS
            execution = await self.session.execute(code, timeout_s=self.config.code_timeout_s, cutoff=self.cutoff)
            if self.cutoff.has_passed and execution.status is ExecutionStatus.TIMEOUT:
                return Outcome.CUTOFF  # it was ended for our sake; a program's own time-out is something else
            turns[-1] = Turn(completion, code, execution, fmt.observation(completion, execution))
            if self.cutoff.has_passed:
                return Outcome.CUTOFF
            context += [completion, turns[-1].observation]
