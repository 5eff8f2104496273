"""The interfaces to formats, engines, sandboxes and gateways, and `Cutoff`, the deadline that can move.

Everything here runs on one event loop; times are `anyio.current_time()`.
Fakes implement the same Protocols and pass the same contract tests (tests/contracts).
As in trio, deadlines are absolute inside, and durations are used only at the edge.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio

from numina_infer.core.config import Mode, SamplingParams
from numina_infer.core.records import Completion, Execution, Part, Problem, SpecialToken, StopReason, Turn

Announce = Callable[[str], None]
"""Says one line of progress to the person who runs this: `print`, a console's, or a logger's."""
Advance = Callable[[int, int], None]
"""Moves a progress bar: called with how many are done, and with how many there are."""


class Cutoff:
    """A deadline with its reason; it can move earlier, never later."""

    def __init__(self, at: float, reason: StopReason = StopReason.DEADLINE) -> None:
        self._at = at
        self._reason = reason
        self._scopes: dict[anyio.CancelScope, None] = {}  # in order, so that a simulation is repeatable

    @property
    def at(self) -> float:
        """Loop time in seconds at which everything under this cutoff ends."""
        return self._at

    @property
    def reason(self) -> StopReason:
        """The reason for this time."""
        return self._reason

    @property
    def has_passed(self) -> bool:
        """Whether it is time to hand over."""
        return anyio.current_time() >= self._at

    def move(self, at: float, reason: StopReason) -> None:
        """Bring the cutoff forward to `at`; a later time changes nothing."""
        if at >= self._at:
            return
        self._at, self._reason = at, reason
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, at)

    @contextmanager
    def scope(self) -> Iterator[anyio.CancelScope]:
        """A cancel scope that ends at the cutoff, also when that moves; its `cancelled_caught` says if it did."""
        with anyio.CancelScope(deadline=self._at) as scope:
            self._scopes[scope] = None
            try:
                yield scope
            finally:
                self._scopes.pop(scope, None)


class Format(Protocol):
    """How a family of models is asked, and how its text is read."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def mode(self) -> Mode:
        """How much the programs of one trajectory share, as the model expects."""

    @property
    def stop(self) -> tuple[str, ...]:
        """The stop strings of every turn; a model's special tokens end its text without them."""

    def prompt(self, statement: str) -> tuple[str | SpecialToken, ...]:
        """The text that the model continues."""

    def program(self, completion: Completion) -> str | None:
        """The program whose output the model waits for, or None if `completion` was its last word."""

    def observation(self, completion: Completion, execution: Execution) -> str:
        """The text appended to `completion`: no program output can end its block or open a turn or a call."""

    def said(self, turn: Turn) -> str:
        """The turn's text for the answer reader, with the program in a Python block."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters of a generation cache since it was opened."""

    num_hits: int = 0
    """Turns found in it."""
    num_misses: int = 0
    """Turns that were generated to their end and kept."""
    num_saved_tokens: int = 0
    """Tokens of the turns found in it."""

    @property
    def line(self) -> str:
        """The counters in one sentence."""
        return (
            f"cache: {self.num_hits} turns were there, {self.num_misses} were generated; "
            f"{self.num_saved_tokens} tokens saved"
        )


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters of an engine since it started, for progress displays."""

    num_tokens: int = 0
    """Tokens sampled."""
    num_running: int = 0
    """Trajectories that are being decoded right now."""
    incidents: tuple[str, ...] = ()
    """Failures that it recovered from, in order."""
    cache: CacheStats | None = None
    """None without a cache."""


class Decoder(Protocol):
    """One trajectory's slot in the engine."""

    async def generate(
        self,
        context: Sequence[Part],
        params: SamplingParams,
        *,
        seed: int,
        cutoff: Cutoff,
    ) -> Completion:
        """Continue `context` until a stop string, the model's end, a limit, or the cutoff.

        `context` alternates our text (prompt, program outputs) with earlier completions of the same trajectory, and
        only ever grows. Special tokens in our text are plain text; only a `SpecialToken` acts as one.
        At the cutoff the text so far is returned with `FinishReason.ABORT`, at once and without an exception.
        The same context, params and seed give the same text on engines that promise it.

        Raises:
            EngineError: the engine failed, or the context holds a special token that the model doesn't have.
        """


class Engine(Protocol):
    """A language model. It owns tokenisation, capacity and replicas."""

    def slot(self, ticket: int) -> AbstractAsyncContextManager[Decoder]:
        """A slot for one trajectory; lower tickets get theirs first, and exit gives it back."""

    @property
    def stats(self) -> EngineStats:
        """Its counters so far."""

    def describe(self) -> Mapping[str, str | int | float]:
        """Engine, model, weights and versions, for the run log."""


class Session(Protocol):
    """The programs of one trajectory."""

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        """Run `code`; kill it when its time is over or at the cutoff (status `timeout` either way).

        `timeout_s` is in processor seconds, if the sandbox can count them; its wall-clock limit is larger.

        Raises:
            SandboxError: the sandbox failed, not the program.
            ConfigError: `timeout_s` isn't above 0.
        """


class Sandbox(Protocol):
    """Runs the programs."""

    @property
    def incidents(self) -> tuple[str, ...]:
        """Failures that it recovered from, in order."""

    def session(self, mode: Mode = Mode.SESSION) -> AbstractAsyncContextManager[Session]:
        """A session for the programs of one trajectory; its exit kills a program that still runs."""

    def describe(self) -> Mapping[str, str | int | float]:
        """The lock-down of programs, for the run log."""


class Gateway(Protocol):
    """Our side of the competition, the same for both API shapes."""

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Call `answer` with every problem that comes, until the competition has no more.

        Raises:
            GatewayError: the competition's side failed.
        """
