"""Plays one drill: a whole contest in this process, with a gateway that calls `predict` and notes each reply.

Between that gateway and the fakes is what a submission runs: `make_predict`, the contest, the bank, the solver, the
run log, and a kernel's supervised engine and sandbox (`app/composition.py`).
"""

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.from_thread import BlockingPortal

from drills.contest_plan import ContestPlan, right_answer
from drills.engines.faulty import FaultyEngine
from drills.fault import Fault
from drills.leftovers import Held, left_behind
from drills.log_seen import read_log, read_summary
from drills.model import Pace, PacedEngine, Words
from drills.pauses import start_pause
from drills.scaled_clock import scaled_clock
from drills.scene import Call, Moment, Round, Scene
from drills.seen import Reply, Seen
from numina_infer.app.composition import supervised_parts
from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.gateways import make_predict
from numina_infer.competitions.mock.kaggle_evaluation import read_reply
from numina_infer.core.clock import Clock, virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig
from numina_infer.core.events import Event, Opened
from numina_infer.core.ports import Engine, Sandbox
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.log import RunLog
from numina_infer.sandbox.simulated_sandbox import SimulatedSandbox
from numina_infer.solving.contest import Contest

_VERSION = API_VERSIONS["0.9.0"]
_REAL_SLACK_S = 0.7
"""Real seconds that threads of a busy machine may be late."""
_NUM_SLOTS = 3
_LOOK_EVERY_S = 0.02
_PATIENCE_S = 60.0
"""Real seconds by which every reply has to be there, whatever the drill's clock says."""


def play(faults: Sequence[Fault], plan: ContestPlan) -> Seen:
    """The contest of `plan` with `faults` in it."""
    began = time.monotonic()
    scene = Scene(plan)
    for fault in faults:
        fault.inject(scene, plan.at(fault.at))
    _warm_up()
    before = Held()
    with TemporaryDirectory(prefix="numina-drill-") as folder, _quiet(), ExitStack() as around:
        for enter in scene.around:
            around.enter_context(enter())
        seen = _PlayedContest(scene, Path(folder) / "run").play()
    return _with_end(seen, before, time.monotonic() - began)


def _in_thread(work: Callable[[], Reply]) -> "Future[Reply]":
    """The result of `work` on a thread of its own, which nothing waits for when it hangs."""
    coming = Future[Reply]()

    def run() -> None:
        try:
            coming.set_result(work())
        except BaseException as error:  # noqa: BLE001 (whoever waits for the reply has it)
            coming.set_exception(error)

    threading.Thread(target=run, name="drill-asking", daemon=True).start()
    return coming


def _in_order(replies: Sequence[Reply]) -> Iterator[Reply]:
    """Replies, with the first to each problem marked."""
    known = set[int]()
    for reply in replies:
        yield replace(reply, is_first=reply.number not in known)
        known.add(reply.number)


def _with_end(seen: Seen, before: Held, wall_s: float) -> Seen:
    return replace(seen, left=left_behind(before), wall_s=wall_s)


def _warm_up() -> None:
    """Load what a first reply loads, since modules keep descriptors open."""
    _read(make_predict(lambda _: 0), Problem("warm", "up"), ())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's warnings off the screen."""
    logger = logging.getLogger("numina_infer")
    handler = logging.NullHandler()
    was = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = was
        logger.removeHandler(handler)


def _read(predict: Predict, problem: Problem, extra: tuple[str, ...]) -> object:
    """`predict`'s reply as the relay reads it."""
    return read_reply(predict(problem.id, problem.statement, *extra), problem.id, _VERSION)


class _NotingLog(RunLog):
    """A run log that notes when problems were opened, by statement, whatever its disk does."""

    def __init__(self, folder: Path, opened: dict[str, Opened], patience_s: float) -> None:
        super().__init__(folder, patience_s=patience_s)
        self._opened = opened

    def write(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._opened.setdefault(event.problem.statement, event)
        super().write(event)


@dataclass(slots=True)
class _PlayedContest:
    """One contest being played."""

    scene: Scene
    folder: Path
    clock: Clock = field(init=False)
    replies: list[Reply] = field(default_factory=list)
    opened: dict[str, Opened] = field(default_factory=dict)
    away: list[tuple[float, float]] = field(default_factory=list)
    num_before: int | None = None
    trouble: str = ""
    gone_at: float = 0.0
    is_there: bool = False
    portal: BlockingPortal | None = None
    log: RunLog | None = None

    def __post_init__(self) -> None:
        self.clock = scaled_clock(self.scene.speed) if self.scene.speed else virtual_clock()

    def play(self) -> Seen:
        plan, preset = self.scene.plan, self._preset()
        began_at = self.gone_at = self.clock.now()
        words = Words(tuple(self.scene.says))
        pace = Pace(self.scene.pace_s, tuple(self.scene.slower), began_at)

        async def make_engine() -> AbstractAsyncContextManager[Engine]:
            return self._engine(words, pace)

        parts = supervised_parts(preset, NUMINA, make_engine, self._sandbox, began_at=began_at)
        parts = replace(parts, engine=self._with_portal(parts.engine), clock=self.clock)
        with _NotingLog(self.folder, self.opened, self.scene.disk_patience_s) as log:
            self.log = log
            log.describe({"preset": asdict(preset)})
            with Contest(parts, log) as contest:
                rounds = self.scene.rounds()
                self._ask_all(contest, (*rounds, *self._all_again(rounds)))
            trouble = log.trouble
        if not self.is_there:
            self.away.append((self.gone_at, float("inf")))
        bank = preset.contest.bank or BankConfig()
        return Seen(
            plan=plan,
            replies=tuple(_in_order(self.replies)),
            num_due=2 * sum(map(len, rounds)),
            began_at=began_at,
            hard_end=began_at + bank.time_limit_s - bank.reserve_s,
            largest=preset.rollout.answer_range.largest,
            away=tuple(self.away),
            summary=read_summary(self.folder, preset, trouble),
            log=read_log(self.folder, {call.problem.statement: call.number for calls in rounds for call in calls}),
            num_before=self.num_before or 0,
            trouble=self.trouble,
            slack_s=_REAL_SLACK_S * self.scene.speed if self.scene.speed else 1e-6,
        )

    @staticmethod
    def _all_again(rounds: Sequence[Round]) -> Sequence[Round]:
        """Every call once more at the end, one after another."""
        return [(Call(call.number, call.problem, call.extra),) for calls in rounds for call in calls]

    def _preset(self) -> Preset:
        scene = self.scene
        bank = BankConfig.of_limit(scene.plan.time_limit_s)
        contest = ContestConfig(
            problem_time_s=scene.problem_time_s,
            bank=BankConfig(bank.time_limit_s, scene.num_announced, bank.reserve_s),
            reply_grace_s=scene.grace_s,
            seed=scene.plan.seed,
        )
        return Preset("numina", scene.rollout, scene.policy, contest)

    @asynccontextmanager
    async def _with_portal(self, opening: AbstractAsyncContextManager[Engine]) -> AsyncIterator[Engine]:
        """The engine, and for as long as it is open a way onto its loop."""
        async with opening as engine, BlockingPortal() as self.portal:
            yield engine

    @asynccontextmanager
    async def _engine(self, words: Words, pace: Pace) -> AsyncIterator[Engine]:
        """An engine, each time that one is started; notes from when until when there is none."""
        scene = self.scene
        async with AsyncExitStack() as stack:
            opened = (scene.open_engine or ScriptedEngine)(words)
            engine: Engine = PacedEngine(await stack.enter_async_context(opened), pace)
            for wrap in scene.around_engine:
                engine = wrap(engine)
            for faults in scene.engine_faults:
                engine = await stack.enter_async_context(FaultyEngine(engine, faults))
            self.away.append((self.gone_at, anyio.current_time()))
            self.is_there = True
            try:
                yield engine
            finally:
                self.is_there, self.gone_at = False, anyio.current_time()

    @asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[Sandbox]:
        opened = self.scene.open_sandbox() if self.scene.open_sandbox else SimulatedSandbox(_NUM_SLOTS)
        async with opened as inside:
            sandbox: Sandbox = inside
            for wrap in self.scene.around_sandbox:
                sandbox = wrap(sandbox)
            yield sandbox

    def _ask_all(self, contest: Contest, rounds: Sequence[Round]) -> None:
        """Make all calls; stop when one gets no reply at all, since each of the rest would wait as long."""
        with suppress(TimeoutError):
            for calls in rounds:
                self._ask(contest, calls)

    def _ask(self, contest: Contest, calls: Round) -> None:
        """Make one round of calls."""
        for call in calls:
            self._prepare(call)
        is_crowd = len({call.problem for call in calls}) > 1
        waiting = [(call, _in_thread(partial(self._reply, contest, call, is_crowd=is_crowd))) for call in calls]
        for call, coming in waiting:
            try:
                self.replies.append(coming.result(_PATIENCE_S))
            except Exception as error:
                self.trouble = self.trouble or f"problem {call.number}: {error!r}"
                if not coming.done():
                    raise

    def _prepare(self, call: Call) -> None:
        for act in self.scene.before.pop(call.number, ()):
            self.num_before = len(self.replies) if self.num_before is None else self.num_before
            if self.log is not None:
                self.log.flush(_PATIENCE_S)  # a reply with no time to spare doesn't wait for its place in the log
            act(Moment(self.folder, self.clock))
        if call.pause_s:
            self._pass_time(call.pause_s)

    def _pass_time(self, seconds: float) -> None:
        """Let the loop's time pass while no problem is asked.

        Raises:
            TimeoutError: it doesn't.
        """
        if self.portal is not None:
            start_pause(self.portal, self.clock, seconds).result(_PATIENCE_S)

    def _reply(self, contest: Contest, call: Call, *, is_crowd: bool) -> Reply:
        """One call, and when its reply was there.

        With several problems in work virtual time runs on before this thread can read the clock, so the verdict's own
        time is taken.
        """
        problem, solutions = call.problem, list[Solution]()

        def answer_it(problem: Problem) -> int:
            solutions.append(contest.solve(problem))
            return solutions[-1].answer

        asked_at = self.clock.now()
        answer = _read(make_predict(answer_it), problem, call.extra)
        replied_at = self.clock.now()
        (solution,) = solutions
        if is_crowd and self.clock.is_virtual:
            replied_at = max(asked_at, solution.solved_at)
        return Reply(
            number=call.number,
            right=right_answer(call.number),
            asked_at=asked_at,
            due_at=max(asked_at, self._due_at(problem)),
            replied_at=replied_at,
            answer=answer,
            solution=solution,
        )

    def _due_at(self, problem: Problem) -> float:
        opened = self.opened.get(problem.statement)
        if opened is None:
            return 0.0
        return opened.deadline + (opened.slice.grace_s if opened.slice else 0.0)
