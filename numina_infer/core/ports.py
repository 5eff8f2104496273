"""The seams: what the core asks of formats, engines, sandboxes and gateways, and the deadline that can move.

Everything here runs on one event loop; times are `anyio.current_time()`.
Fakes implement the same Protocols and pass the same contract tests (tests/contracts).
`Cutoff` follows trio's way with time: absolute deadlines inside, durations only at the edge.
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


class Cutoff:
    """A deadline that can move earlier, never later, with the reason why it stands where it stands."""

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
        """Why the cutoff stands at `at`."""
        return self._reason

    @property
    def has_passed(self) -> bool:
        """True once it is time to hand over."""
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
        """A cancel scope that ends at the cutoff, wherever that moves; look at `cancelled_caught` after it."""
        with anyio.CancelScope(deadline=self._at) as scope:
            self._scopes[scope] = None
            try:
                yield scope
            finally:
                self._scopes.pop(scope, None)


class Format(Protocol):
    """How a family of models writes: our text for them, and what to make of theirs."""

    @property
    def name(self) -> str:
        """What it is chosen by."""
        ...

    @property
    def mode(self) -> Mode:
        """What the programs of one trajectory share, as the model expects it."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """The stop strings of every turn; a model's special tokens end its text without them."""
        ...

    def prompt(self, statement: str) -> tuple[str | SpecialToken, ...]:
        """What the model continues."""
        ...

    def program(self, completion: Completion) -> str | None:
        """The program that the model waits for the output of, or None when this was its last word."""
        ...

    def observation(self, completion: Completion, execution: Execution) -> str:
        """What is appended behind `completion`: nothing of an output can end its block or open a turn or a call."""
        ...

    def said(self, turn: Turn) -> str:
        """The turn's text for the answer reader, in which a program stands in a Python block."""
        ...


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters of a generation cache since it was opened."""

    num_hits: int = 0
    """Turns that were there."""
    num_misses: int = 0
    """Turns that were generated to their end, and kept."""
    num_saved_tokens: int = 0
    """Tokens of the turns that were there."""

    @property
    def line(self) -> str:
        """What it was good for, in one sentence."""
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
    """What went wrong with it and was put right, in order."""
    cache: CacheStats | None = None
    """None where there is no cache."""


class Decoder(Protocol):
    """One trajectory's place in the engine."""

    async def generate(
        self,
        context: Sequence[Part],
        params: SamplingParams,
        *,
        seed: int,
        cutoff: Cutoff,
    ) -> Completion:
        """Continue `context` until a stop string, the model's end, a limit, or the cutoff.

        `context` alternates text of ours (prompt, program outputs) and earlier completions of the same trajectory;
        it only ever grows.
        Text of ours is plain text: special tokens in it are spelled out, never obeyed. A `SpecialToken` is obeyed.
        At the cutoff what there is comes back with `FinishReason.ABORT`, at once and without an exception.
        The same context, params and seed give the same text on engines that promise it.

        Raises:
            EngineError: the engine failed, or the context holds a special token that the model doesn't have.
        """
        ...


class Engine(Protocol):
    """A language model. It owns tokenisation, capacity and replicas."""

    def slot(self, ticket: int) -> AbstractAsyncContextManager[Decoder]:
        """A place for one trajectory, waited for in order of `ticket` (lower first), given back on exit."""
        ...

    @property
    def stats(self) -> EngineStats:
        """What it has done so far."""
        ...

    def describe(self) -> Mapping[str, str | int | float]:
        """Which engine, model, weights and versions these are, for the run log."""
        ...


class Session(Protocol):
    """The programs of one trajectory."""

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:
        """Run `code`; kill it when its time is over or at the cutoff (status `timeout` either way).

        `timeout_s` counts processor seconds where the sandbox can tell them; what may pass on the wall clock is the
        sandbox's own, larger limit.

        Raises:
            SandboxError: the sandbox failed, not the program.
            ConfigError: `timeout_s` isn't above 0.
        """
        ...


class Sandbox(Protocol):
    """Where programs run."""

    @property
    def incidents(self) -> tuple[str, ...]:
        """What went wrong with it and was put right, in order."""
        ...

    def session(self, mode: Mode = Mode.SESSION) -> AbstractAsyncContextManager[Session]:
        """A place for the programs of one trajectory; leaving it kills what still runs."""
        ...

    def describe(self) -> Mapping[str, str | int | float]:
        """What holds programs back here, for the run log."""
        ...


class Gateway(Protocol):
    """The competition, seen from inside: both API shapes look the same."""

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Ask `answer` for every problem that comes, until the competition has no more.

        Raises:
            GatewayError: the competition's side broke off.
        """
        ...
