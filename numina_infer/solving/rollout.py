"""One attempt: generate text, run its program, append the output, until the model is done or something ends it.

The loop is SC-TIR's (NuminaMath's 2024 kernel, process_code), without its rounds: no attempt waits for another.
A context only grows: each turn's is the one before with a completion and an observation appended.
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
    """The seed of one turn, 0 to 2**31 - 1; it doesn't depend on the order in which problems or turns come."""
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
    """Attempt the draft's problem once, write each turn into `draft`, and return how it ended.

    Errors of engine and sandbox go on to the caller, `draft.end_of`, which reads the draft as it stands then.
    """
    draft.started_at = anyio.current_time()
    draft.outcome = await _Attempt(draft, decoder, session, config, run_seed, cutoff).take_turns()
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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt's parts, the same for all its turns."""

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
        """Append turns until the attempt ends."""
        fmt, turns = self.draft.fmt, self.draft.turns
        context: list[Part] = [*fmt.prompt(self.draft.problem.statement)]
        while True:
            completion = await self.decoder.generate(context, self.sampling, seed=self.next_seed, cutoff=self.cutoff)
            require_recordable(completion)
            end = _ENDS.get(completion.finish_reason)
            turns.append(Turn(completion))  # first of all: a format that fails to read it loses none of it
            code = None if end else fmt.program(completion)
            turns[-1] = Turn(completion, code)
            if code is None:
                return end or Outcome.FINISHED
            if len(turns) == self.config.max_turns:
                return Outcome.MAX_TURNS
            execution = await self.session.execute(code, timeout_s=self.config.code_timeout_s, cutoff=self.cutoff)
            if self.cutoff.has_passed and execution.status is ExecutionStatus.TIMEOUT:
                return Outcome.CUTOFF  # the cutoff ended the program, not its own time-out
            turns[-1] = Turn(completion, code, execution, fmt.observation(completion, execution))
            if self.cutoff.has_passed:
                return Outcome.CUTOFF
            context += [completion, turns[-1].observation]
