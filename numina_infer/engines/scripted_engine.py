"""An engine that writes texts prepared beforehand: for tests, demos and rehearsals.

It stops, counts, and is cut off as a real engine is. A token is up to four bytes of UTF-8, its id those bytes as a
number behind a 1, so that stop strings and characters do fall across tokens.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from anyio.lowlevel import checkpoint

from numina_infer.core.config import SamplingParams, require_whole
from numina_infer.core.ports import Cutoff, EngineStats
from numina_infer.core.records import Completion, Part, plain_text
from numina_infer.core.slots import Slots
from numina_infer.engines.context import Transcript, render
from numina_infer.engines.scripts import Cue, Script, as_script
from numina_infer.engines.vocabulary import Vocabulary

_TOKEN_BYTES = 4


@dataclass(frozen=True, slots=True)
class ByteVocabulary:
    """The bytes of a text as tokens; every spelling is a special token's."""

    bos: tuple[int, ...] = ()
    end_ids: frozenset[int] = frozenset({0})

    @property
    def fingerprint(self) -> str:
        """The default's, or that of a vocabulary that puts `bos` in front of a text."""
        return f"bytes {self.bos}" if self.bos else "bytes"

    def encode(self, text: str) -> list[int]:
        """`text` as token ids."""
        data = text.encode()
        return [int.from_bytes(b"\1" + data[at : at + _TOKEN_BYTES]) for at in range(0, len(data), _TOKEN_BYTES)]

    def has(self, token_id: int) -> bool:
        """Whether there is such a token."""
        data = _bytes(token_id)
        is_special = data[1 : _TOKEN_BYTES + 2] == bytes(_TOKEN_BYTES + 1)
        return data[:1] == b"\1" and (len(data) <= _TOKEN_BYTES + 1 or is_special)

    def decode(self, ids: Sequence[int]) -> str:
        """Token ids as text, U+FFFD where bytes are no UTF-8."""
        return b"".join(_bytes(token_id)[1:] for token_id in ids).decode(errors="replace")

    def special(self, token: str) -> int:
        """An id apart from those of plain text, which is at most four bytes a token."""
        return int.from_bytes(b"\1" + bytes(_TOKEN_BYTES + 1) + token.encode())


def _bytes(token_id: int) -> bytes:
    return token_id.to_bytes((token_id.bit_length() + 7) // 8)


VOCABULARY: Vocabulary = ByteVocabulary()


class ScriptedEngine:
    """An `Engine` over a script: a function `(context_text, seed) -> text`, a list of trajectories, or a `Script`.

    It runs without being entered; `async with` works as with other engines.
    """

    def __init__(
        self,
        script: Callable[[str, int], str] | Sequence[Sequence[str]] | Script,
        *,
        max_num_seqs: int = 48,
        max_model_len: int = 1_000_000,
    ) -> None:
        require_whole("max_num_seqs", max_num_seqs, 1)
        self._script = as_script(script)
        self._slots = Slots(max_num_seqs)
        self._max_num_seqs, self._max_model_len = max_num_seqs, max_model_len
        self._num_tokens = self._num_running = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to end."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator["ScriptedDecoder"]:
        """A place for one trajectory."""
        async with self._slots.hold(ticket):
            yield ScriptedDecoder(self, ticket)

    @property
    def stats(self) -> EngineStats:
        """Tokens written and trajectories that are writing."""
        return EngineStats(num_tokens=self._num_tokens, num_running=self._num_running)

    def describe(self) -> Mapping[str, str | int | float]:
        """Which script, and the capacity."""
        return {
            "engine": "scripted",
            "model": self._script.name,
            "tokenizer": VOCABULARY.fingerprint,
            "max_num_seqs": self._max_num_seqs,
            "max_model_len": self._max_model_len,
        }

    async def speak(
        self, context: Sequence[Part], params: SamplingParams, *, ticket: int, seed: int, cutoff: Cutoff
    ) -> Completion:
        """One turn of the trajectory with `ticket`."""
        prompt_ids = render(context, VOCABULARY)
        room = self._max_model_len - len(prompt_ids)
        transcript = Transcript(VOCABULARY.decode, params, room=room, prompt_ids=prompt_ids)
        if transcript.finish_reason is None and not cutoff.has_passed:
            turn = sum(isinstance(part, Completion) for part in context)
            line = self._script.line(Cue(plain_text(context), seed, ticket, turn))
            await self._write(line, transcript, cutoff)
        return transcript.completion(seed=seed, num_prompt_tokens=len(prompt_ids))

    async def _write(self, line: str, transcript: Transcript, cutoff: Cutoff) -> None:
        """Write `line` token by token; other tasks run in between."""
        self._num_running += 1
        try:
            for token_id in [*VOCABULARY.encode(line.encode(errors="replace").decode()), None]:
                await checkpoint()
                if cutoff.has_passed:
                    return
                self._num_tokens += 1
                if (transcript.push_eos() if token_id is None else transcript.push(token_id)) is not None:
                    return
        finally:
            self._num_running -= 1


@dataclass(frozen=True, slots=True)
class ScriptedDecoder:
    """One slot of a `ScriptedEngine`."""

    engine: ScriptedEngine
    ticket: int

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        return await self.engine.speak(context, params, ticket=self.ticket, seed=seed, cutoff=cutoff)
