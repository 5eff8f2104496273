"""Engine and sandbox that start behind the contest's back, and are started again when they break.

Kaggle's relay wants an answering server within minutes, while wheels and weights take as long as they take. So the
contest opens at once; whoever needs the engine waits for it, and the problem's clock counts.
The idea is that of every supervisor: start, watch, start again after a pause, and give up on what never comes.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import anyio

from numina_infer.core.config import Mode, SamplingParams, require_positive, require_whole
from numina_infer.core.errors import EngineError, EngineGoneError, NuminaError, SandboxError, SandboxGoneError
from numina_infer.core.ports import Cutoff, Decoder, Engine, EngineStats, Sandbox, Session
from numina_infer.core.records import Completion, Execution, FinishReason
from numina_infer.core.records import Part as ContextPart

_log = logging.getLogger(__name__)

Part = TypeVar("Part")

_NOTICE_S = 1.0
"""How long a break may take to be noticed."""
_MAX_LOSSES = 3
"""How often one turn may be lost with its engine."""

Make = Callable[[], Awaitable[AbstractAsyncContextManager[Part]]]
"""Prepares what is needed and makes the part, not opened yet; asked again for every start."""


@dataclass(frozen=True, slots=True)
class LateConfig:
    """How often a start is tried."""

    max_starts: int = 5
    """In vain, in a row; then it is given up."""
    pause_s: float = 20.0
    """Between two starts."""

    def __post_init__(self) -> None:
        require_whole("max_starts", self.max_starts, 1)
        require_positive("pause_s", self.pause_s)


class _Late(Generic[Part]):
    """One part: started in the background while this is entered, and started again when it breaks."""

    def __init__(
        self,
        name: str,
        make: Make[Part],
        config: LateConfig,
        report: Callable[[str], None],
        error: type[NuminaError],
        on_ready: Callable[[Part], None],
    ) -> None:
        self._name, self._make, self._config, self._report = name, make, config, report
        self._error, self._on_ready = error, on_ready
        self._news: anyio.Event | None = None
        self._is_condemned = anyio.Event()
        self._num_in_vain = 0
        self._why = ""
        self.part: Part | None = None
        """None while it isn't there."""
        self.incidents: list[str] = []
        """What broke."""
        self.is_given_up = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it running in the background."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep)
            yield
            tasks.cancel_scope.cancel()

    async def get(self) -> Part:
        """The part, waited for.

        Raises:
            NuminaError: it was given up.
        """
        while self.part is None:
            if self.is_given_up:
                raise self._error(f"the {self._name} doesn't start: {self._why}")
            await self._wait()
        return self.part

    async def is_gone(self, part: Part) -> bool:
        """Whether `part` isn't what there is any more; one that breaks right now is waited for."""
        with anyio.move_on_after(_NOTICE_S):
            while self.part is part:
                await self._wait()
        return self.part is not part

    def condemn(self, part: Part, error: NuminaError) -> None:
        """Have `part` left and another made, since it is beyond its own help; whoever says so first is heard."""
        if self.part is part:
            self._tell_broken(error)
            self._is_condemned.set()

    async def _wait(self) -> None:
        self._news = self._news or anyio.Event()
        await self._news.wait()

    async def _keep(self) -> None:
        while self._num_in_vain < self._config.max_starts:
            if self._why:
                await anyio.sleep(self._config.pause_s)
            begun = anyio.current_time()
            try:
                async with await self._make() as part:
                    self._tell_ready(part, anyio.current_time() - begun)
                    await self._is_condemned.wait()  # a sleep without an end would let virtual time run on
            except Exception as error:  # noqa: BLE001 (whatever breaks while it starts or runs, it is started again)
                if self._is_condemned.is_set():
                    _log.warning("the %s that was left doesn't close well: %r", self._name, error)
                else:
                    self._tell_broken(error)
            self._is_condemned = anyio.Event()
        self.is_given_up = True
        self._tell()
        self._report(f"the {self._name} is given up after {self._num_in_vain} starts in vain")

    def _tell_ready(self, part: Part, seconds: float) -> None:
        self.part, self._num_in_vain = part, 0
        if self._news is not None:
            self.incidents.append(f"the {self._name} was waited for, {seconds:.0f} s in its start")
        self._tell()
        self._report(f"the {self._name} is ready after {seconds:.0f} s")
        self._on_ready(part)

    def _tell_broken(self, error: Exception) -> None:
        was_ready, self.part = self.part is not None, None
        self._num_in_vain += 1
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        self._why = str(error) or repr(error)
        what = "broke" if was_ready else "didn't start"
        self.incidents.append(f"the {self._name} {what}: {self._why}")
        self._tell()
        _log.warning("%s", self.incidents[-1], exc_info=not isinstance(error, NuminaError))

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
        self._news = None


def _ignore(_: object) -> None:
    """Nobody wants to know."""


class _Around(Generic[Part]):
    """Keeps a late part running while this is entered; entering returns at once."""

    def __init__(
        self,
        name: str,
        make: Make[Part],
        config: LateConfig | None,
        report: Callable[[str], None],
        error: type[NuminaError],
        on_ready: Callable[[Part], None],
    ) -> None:
        self._late = _Late(name, make, config or LateConfig(), report, error, self._note_ready)
        self._on_ready = on_ready
        self._stack = AsyncExitStack()
        self._last: Part | None = None
        self._told_before: tuple[str, ...] = ()
        """What parts that are gone told, and what broke them, in order."""
        self._num_own_told = 0

    def _note_ready(self, part: Part) -> None:
        self._told_before = self.incidents
        self._num_own_told = len(self._late.incidents)
        self._last = part
        self._on_ready(part)

    @property
    def incidents(self) -> tuple[str, ...]:
        """The part's, with what broke it; what was told once stays in its place."""
        inside = () if self._last is None else self._told_by(self._last)
        return (*self._told_before, *inside, *self._late.incidents[self._num_own_told :])

    def _told_by(self, part: Part) -> tuple[str, ...]:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._late.running())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._stack.aclose()

    @property
    def _state(self) -> str:
        return "given up" if self._late.is_given_up else "starting"


class LateEngine(_Around[Engine]):
    """An Engine around an Engine: `async with LateEngine(make) as engine` returns at once.

    Slots are waited for until the engine is there.
    """

    def __init__(
        self,
        make: Make[Engine],
        *,
        config: LateConfig | None = None,
        report: Callable[[str], None] = _log.info,
        on_ready: Callable[[Engine], None] = _ignore,
    ) -> None:
        """`on_ready` is told on the loop, each time that it has started."""
        super().__init__("engine", make, config, report, EngineGoneError, on_ready)

    def _told_by(self, part: Engine) -> tuple[str, ...]:
        return part.stats.incidents

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place for one trajectory, once there is an engine.

        Raises:
            EngineGoneError: it was given up.
        """
        async with AsyncExitStack() as place:
            decoder = _LateDecoder(self._late, ticket, place)
            await decoder.move()
            yield decoder

    @property
    def stats(self) -> EngineStats:
        """The engine's, with all incidents."""
        stats = EngineStats() if self._last is None else self._last.stats
        return replace(stats, incidents=self.incidents)

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine's, once there is one."""
        part = self._late.part
        return {"engine": "late", "state": self._state} if part is None else part.describe()


class _LateDecoder:
    """One trajectory's place; a turn that is lost with its engine is written again by the next."""

    def __init__(self, late: _Late[Engine], ticket: int, place: AsyncExitStack) -> None:
        self._late, self._ticket, self._place = late, ticket, place
        self._engine: Engine | None = None
        self._decoder: Decoder | None = None

    async def move(self) -> None:
        """Take a slot in the engine that there is, or in the next where that one is gone."""
        while True:
            await self._place.aclose()
            self._engine = await self._late.get()
            try:
                self._decoder = await self._place.enter_async_context(self._engine.slot(self._ticket))
            except EngineGoneError as error:
                self._late.condemn(self._engine, error)
            else:
                return

    async def generate(
        self, context: Sequence[ContextPart], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says; where the cutoff comes before another engine, with nothing."""
        for _ in range(_MAX_LOSSES):
            decoder, engine = self._decoder, self._engine
            if decoder is None or engine is None:
                break
            try:
                return await decoder.generate(context, params, seed=seed, cutoff=cutoff)
            except EngineGoneError as error:
                self._late.condemn(engine, error)
            except EngineError:
                if not await self._late.is_gone(engine):
                    raise
            with cutoff.scope():
                await self.move()
            if cutoff.has_passed:
                return Completion("", (), FinishReason.ABORT, seed=seed)
        raise EngineError("the turn was lost with its engine")


class LateSandbox(_Around[Sandbox]):
    """A Sandbox around a Sandbox, as `LateEngine` is; where it was given up, programs are refused and no text is."""

    def __init__(
        self,
        make: Make[Sandbox],
        *,
        config: LateConfig | None = None,
        report: Callable[[str], None] = _log.info,
        on_ready: Callable[[Sandbox], None] = _ignore,
    ) -> None:
        """`on_ready` is told on the loop, each time that it has started."""
        super().__init__("sandbox", make, config, report, SandboxGoneError, on_ready)

    def _told_by(self, part: Sandbox) -> tuple[str, ...]:
        return part.incidents

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A place for the programs of one trajectory; trajectories that run none get on without a sandbox."""
        try:
            sandbox = await self._late.get()
        except SandboxError as error:
            yield _Refusal(error)
            return
        async with sandbox.session(mode) as session:
            yield session

    def describe(self) -> Mapping[str, str | int | float]:
        """The sandbox's, once there is one."""
        part = self._late.part
        return {"rung": "none", "state": self._state} if part is None else part.describe()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The session of a sandbox that never came."""

    error: SandboxError

    async def execute(self, code: str, *, timeout_s: float, cutoff: Cutoff | None = None) -> Execution:  # noqa: ARG002
        """Refuse `code`, since nothing holds it back.

        Raises:
            SandboxError: always.
        """
        raise self.error
