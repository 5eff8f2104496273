"""An engine that writes texts prepared beforehand, for tests, demos and rehearsals: functions, lists of texts, files.

It stops, counts, and is cut off as a real engine is. A token is up to four bytes of UTF-8, its id those bytes as a
number behind a 1, so that stop strings and characters do fall across tokens.
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anyio.lowlevel import checkpoint

from numina_infer.core.config import SamplingParams, require, require_whole
from numina_infer.core.errors import ConfigError, EngineRefusalError
from numina_infer.core.ports import Cutoff, EngineStats
from numina_infer.core.records import Completion, Part, plain_text
from numina_infer.core.restarts import Openable
from numina_infer.core.slots import Slots
from numina_infer.engines.context import Transcript, render
from numina_infer.engines.vocabulary import Vocabulary

_TOKEN_BYTES = 4
_STATEMENT = re.compile(r".*### Problem:(?P<statement>.*?)### Solution:(?P<solution>.*)", re.DOTALL)
_LAST_OUTPUT = re.compile(r".*```output\n(?P<output>.*?)\n?```", re.DOTALL)
_OPENINGS = ("We add the numbers with Python.", "The answer is the sum of the given numbers.", "Let us add them up.")


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


@dataclass(frozen=True, slots=True)
class Cue:
    """Where a trajectory asks for its next text."""

    context_text: str
    """The prompt and everything after it."""
    seed: int
    ticket: int
    turn: int
    """Counted from 0."""


class Script(Protocol):
    """Texts for trajectories."""

    @property
    def name(self) -> str:
        """Its name in a run log, different for different scripts."""

    def line(self, cue: Cue) -> str:
        """All that the model would write from here on; the engine cuts it at stop strings and limits."""


@dataclass(frozen=True, slots=True)
class Improvised:
    """A script that is a function of the context's text and the turn's seed."""

    name: str
    function: Callable[[str, int], str]

    def line(self, cue: Cue) -> str:
        """The function's text."""
        return self.function(cue.context_text, cue.seed)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lists of trajectories by problem, each a list of its turns; ticket t speaks entry t modulo their number.

    The problem whose text occurs last in the context is the one to solve, of several the longest; an empty text is
    any problem's. A trajectory that has no line left ends its text at once.
    """

    name: str
    by_problem: Mapping[str, Sequence[Sequence[str]]]

    def line(self, cue: Cue) -> str:
        """The text for this problem, ticket and turn."""
        place, _, problem = max((cue.context_text.rfind(text), len(text), text) for text in self.by_problem)
        if place < 0:
            raise EngineRefusalError(f"the script {self.name} has no row for the problem that was asked")
        trajectories = self.by_problem[problem]
        turns = trajectories[cue.ticket % len(trajectories)]
        return turns[cue.turn] if cue.turn < len(turns) else ""


AnyScript = Callable[[str, int], str] | Sequence[Sequence[str]] | Script
"""A function `(context_text, seed) -> text`, a list of trajectories, or a `Script`."""


def as_script(script: AnyScript) -> Script:
    """`script` as a `Script`."""
    if callable(script):
        return Improvised(getattr(script, "__qualname__", type(script).__name__), script)
    if not isinstance(script, Sequence):
        return script
    require(bool(script), "the script is empty; give at least one trajectory")
    is_flat = any(isinstance(turns, str) for turns in script)
    require(not is_flat, "the script is a list of texts; give a list of trajectories, each a list of turns")
    return Lines(f"lines-{_short_hash(repr([list(turns) for turns in script]))}", {"": script})


def load_script(path: Path) -> Lines:
    r"""Read a script from JSON lines.

    A row is `{"problem": "a text in the statement", "completions": [["turn 1", "turn 2"], ["turn 1"]]}`: one list of
    turns a trajectory, of which ticket t takes number t modulo their count.

    Raises:
        ConfigError: the file can't be read, or a row isn't of this shape; the text says which and why.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the script {path} can't be read: {error}") from error
    rows = text.split("\n")
    read = [_row(row, f"{path}, line {number}") for number, row in enumerate(rows, 1) if row.strip()]
    require(bool(read), f"the script {path} has no rows")
    lines = dict(read)
    require(len(lines) == len(read), f"the script {path} has two rows for one problem; put them into one")
    return Lines(f"{path.name}-{_short_hash(text)}", lines)


def _row(text: str, place: str) -> tuple[str, list[list[str]]]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{place} is no JSON: {error}") from error
    require(isinstance(row, dict), f"{place} is no JSON object")
    problem, completions = row.get("problem"), row.get("completions")
    require(isinstance(problem, str) and bool(problem.strip()), f"{place}: problem is {problem!r}; give a text")
    require(
        isinstance(completions, list) and bool(completions) and all(map(_is_turns, completions)),
        f"{place}: completions must be a list with at least one list of texts, one text a turn",
    )
    return problem, completions


def _is_turns(turns: object) -> bool:
    return isinstance(turns, list) and all(isinstance(turn, str) for turn in turns)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sum_of_numbers(context_text: str, seed: int) -> str:
    """Write a program that adds the whole numbers in the last problem, then box what its output block says.

    The sum is left to the program, so the answer is right only if the sandbox ran it.
    `seed` chooses the wording.
    """
    parts = _STATEMENT.fullmatch(context_text)
    statement, solution = (parts["statement"], parts["solution"]) if parts else (context_text, "")
    if last := _LAST_OUTPUT.match(solution):
        output = last["output"].strip()
        if re.fullmatch(r"\d+", output):
            return f"\nThe answer is $\\boxed{{{output}}}$."
        return "\nThe program printed no whole number, so there is no answer to give."
    numbers = ", ".join(re.findall(r"\d+", statement))
    opening = _OPENINGS[seed % len(_OPENINGS)]
    return f"{opening}\n```python\nnumbers = [{numbers}]\nprint(sum(numbers))\n```\n```output\n"


class ScriptedEngine(Openable):
    """An `Engine` over a script; it runs without being entered, and `async with` works as with other engines."""

    def __init__(self, script: AnyScript, *, max_num_seqs: int = 48, max_model_len: int = 1_000_000) -> None:
        require_whole("max_num_seqs", max_num_seqs, 1)
        self._script = as_script(script)
        self._slots = Slots(max_num_seqs)
        self._max_num_seqs, self._max_model_len = max_num_seqs, max_model_len
        self._num_tokens = self._num_running = 0

    async def _open(self, stack: AsyncExitStack) -> None:
        """Nothing to start."""

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
