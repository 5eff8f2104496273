"""Supervises an engine or a sandbox: starts it in the background, and starts it again when it breaks.

Kaggle's relay wants an answering server within minutes, while wheels and weights take as long as they take. So the
contest opens at once; a trajectory that needs the engine waits for it, while the problem's clock counts.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Generic, TypeVar

import anyio

from numina_infer.core.config import Mode, SamplingParams
from numina_infer.core.errors import EngineError, EngineGoneError, NuminaError, SandboxError, SandboxGoneError
from numina_infer.core.ports import Announce, Cutoff, Decoder, Engine, EngineStats, Sandbox, Session
from numina_infer.core.records import Completion, Execution, FinishReason
from numina_infer.core.records import Part as ContextPart
from numina_infer.core.restarts import Openable, RestartPolicy, Restarts, run_in_background

_log = logging.getLogger(__name__)

Part = TypeVar("Part")

_NOTICE_S = 1.0
"""How long a break may take to be noticed."""
_MAX_LOSSES = 3
"""How often one turn may be lost with its engine."""

Make = Callable[[], Awaitable[AbstractAsyncContextManager[Part]]]
"""Prepares what is needed and makes the part, not opened yet; called again for every start."""


class _Supervised(Openable, Generic[Part]):
    """One part: started in the background while this is entered, and started again when it breaks."""

    name: str
    gone: type[NuminaError]
    """The error for those who need the part once it is given up."""
    incidents_of: "attrgetter[tuple[str, ...]]"
    """Gives the part's own incidents."""

    def __init__(
        self,
        make: Make[Part],
        *,
        policy: RestartPolicy | None = None,
        report: Announce = _log.info,
        on_ready: Callable[[Part], None] = lambda _part: None,
    ) -> None:
        """`on_ready` is called on the loop, each time that the part has started."""
        self._make, self._report, self._on_ready = make, report, on_ready
        self._restarts = Restarts(f"the {self.name}", policy or RestartPolicy())
        self._news: anyio.Event | None = None
        """Set when the part comes, breaks or is given up; None while nobody waits."""
        self._is_condemned = anyio.Event()
        self._is_given_up = False
        self.part: Part | None = None
        """None while it isn't there."""
        self._last: Part | None = None
        self._earlier: tuple[str, ...] = ()
        """Incidents from before the last part was ready."""
        self._own: list[str] = []
        """Breaks and failed starts since then."""

    async def _open(self, stack: AsyncExitStack) -> None:
        await run_in_background(stack, self._keep)

    @property
    def incidents(self) -> tuple[str, ...]:
        """The part's, with what broke it; their order never changes."""
        inside = () if self._last is None else self.incidents_of(self._last)
        return (*self._earlier, *inside, *self._own)

    @property
    def _state(self) -> str:
        return "given up" if self._is_given_up else "starting"

    async def get(self) -> Part:
        """The part, waited for.

        Raises:
            NuminaError: it was given up.
        """
        while self.part is None:
            if self._is_given_up:
                raise self.gone(f"the {self.name} doesn't start: {self._restarts.why}")
            await self._wait()
        return self.part

    async def is_gone(self, part: Part) -> bool:
        """Whether `part` has been replaced or is about to be: a break is waited for, up to `_NOTICE_S`."""
        with anyio.move_on_after(_NOTICE_S):
            while self.part is part:
                await self._wait()
        return self.part is not part

    def condemn(self, part: Part, error: NuminaError) -> None:
        """Leave `part`, which can't help itself any more, and make another; only the first call counts."""
        if self.part is part:
            self._note_broken(error)
            self._is_condemned.set()

    async def _wait(self) -> None:
        self._news = self._news or anyio.Event()
        await self._news.wait()

    async def _keep(self) -> None:
        while not self._restarts.gives_up():
            await self._restarts.pause()
            begun = anyio.current_time()
            try:
                async with await self._make() as part:
                    self._note_ready(part, anyio.current_time() - begun)
                    await self._is_condemned.wait()  # a sleep without an end would let virtual time run on
            except Exception as error:  # noqa: BLE001 (whatever breaks while it starts or runs, it is started again)
                if self._is_condemned.is_set():
                    _log.warning("the %s that was left doesn't close well: %r", self.name, error)
                else:
                    self._note_broken(error)
            self._is_condemned = anyio.Event()
        self._is_given_up = True
        self._wake()
        self._report(f"the {self.name} is given up after {self._restarts.num_in_vain} starts in vain")

    def _note_ready(self, part: Part, seconds: float) -> None:
        self.part = part
        self._restarts.worked()
        if self._news is not None:
            self._own.append(f"the {self.name} was waited for, {seconds:.0f} s in its start")
        self._earlier, self._own, self._last = self.incidents, [], part
        self._wake()
        self._report(f"the {self.name} is ready after {seconds:.0f} s")
        self._on_ready(part)

    def _note_broken(self, error: Exception) -> None:
        what = "didn't start" if self.part is None else "broke"
        self.part = None
        self._own.append(self._restarts.failed(what, error))
        self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
        self._news = None


class SupervisedEngine(_Supervised[Engine]):
    """An Engine around an Engine: `async with SupervisedEngine(make) as engine` returns at once.

    Slots are waited for until the engine is there.
    """

    name, gone, incidents_of = "engine", EngineGoneError, attrgetter("stats.incidents")

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place for one trajectory, once there is an engine.

        Raises:
            EngineGoneError: it was given up.
        """
        async with AsyncExitStack() as place:
            decoder = _SupervisedDecoder(self, ticket, place)
            await decoder.move()
            yield decoder

    @property
    def stats(self) -> EngineStats:
        """The engine's, with all incidents."""
        stats = EngineStats() if self._last is None else self._last.stats
        return replace(stats, incidents=self.incidents)

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine's, once there is one."""
        part = self.part
        return {"engine": "late", "state": self._state} if part is None else part.describe()


@dataclass(slots=True)
class _SupervisedDecoder:
    """One trajectory's place; a turn that is lost with its engine is written again by the next."""

    supervised: SupervisedEngine
    ticket: int
    place: AsyncExitStack
    engine: Engine = field(init=False)
    decoder: Decoder = field(init=False)

    async def move(self) -> None:
        """Take a slot in the engine that there is, or in the next where that one is gone."""
        while True:
            await self.place.aclose()
            self.engine = await self.supervised.get()
            try:
                self.decoder = await self.place.enter_async_context(self.engine.slot(self.ticket))
            except EngineGoneError as error:
                self.supervised.condemn(self.engine, error)
            else:
                return

    async def generate(
        self, context: Sequence[ContextPart], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says; where the cutoff comes before another engine, with nothing."""
        for _ in range(_MAX_LOSSES):
            engine = self.engine
            try:
                return await self.decoder.generate(context, params, seed=seed, cutoff=cutoff)
            except EngineGoneError as error:
                self.supervised.condemn(engine, error)
            except EngineError:
                if not await self.supervised.is_gone(engine):
                    raise
            with cutoff.scope():
                await self.move()
            if cutoff.has_passed:
                return Completion("", (), FinishReason.ABORT, seed=seed)
        raise EngineError("the turn was lost with its engine")


class SupervisedSandbox(_Supervised[Sandbox]):
    """A Sandbox around a Sandbox, as `SupervisedEngine` is; once it is given up programs are refused, texts go on."""

    name, gone, incidents_of = "sandbox", SandboxGoneError, attrgetter("incidents")

    @asynccontextmanager
    async def session(self, mode: Mode = Mode.SESSION) -> AsyncIterator[Session]:
        """A place for the programs of one trajectory; trajectories that run none get on without a sandbox."""
        try:
            sandbox = await self.get()
        except SandboxError as error:
            yield _Refusal(error)
            return
        async with sandbox.session(mode) as session:
            yield session

    def describe(self) -> Mapping[str, str | int | float]:
        """The sandbox's, once there is one."""
        part = self.part
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
