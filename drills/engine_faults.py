"""What goes wrong with servers: they come late or never, die, hang, slow down, run out of memory, talk nonsense."""

import asyncio
import math
import random
from collections.abc import Sequence
from functools import partial
from itertools import cycle

import anyio

from drills.engines.faulty import Faults
from drills.fault import Expected, Fault, everything, since, struck, without_engine
from drills.model import asked_number, retold
from drills.scene import Scene
from drills.seen import Reply, Seen
from drills.wrapped import WrappedEngine
from numina_infer.core.config import SamplingParams
from numina_infer.core.ports import Cutoff, Decoder, Engine
from numina_infer.core.records import Completion, Part, plain_text

_LATE_S = 20 * 60.0
_SLOW_SINCE = 1 / 3
_CRAWL_S = 1e6
_ALL_BUT_THREE = tuple(number / 49 for number in range(47))
"""In shares of fifty problems."""


class _TalkingEngine(WrappedEngine):
    """An engine whose turns on some problems come to something else."""

    def __init__(self, engine: Engine, numbers: frozenset[int]) -> None:
        super().__init__(engine)
        self._numbers = numbers

    async def generate(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """What the engine inside says, unless the problem is one of those."""
        said = await decoder.generate(context, params, seed=seed, cutoff=cutoff)
        return self._instead(said, seed) if asked_number(plain_text(context)) in self._numbers else said

    def _instead(self, said: Completion, seed: int) -> Completion:
        raise NotImplementedError


class GarblingEngine(_TalkingEngine):
    """Named fake: tokens that no vocabulary has, and bytes that are no text."""

    def _instead(self, said: Completion, seed: int) -> Completion:
        chance = random.Random(seed)  # noqa: S311 (nonsense, no secret)
        ids = tuple(chance.choice([-1, 2**63, chance.getrandbits(70)]) for _ in range(40))
        return retold(said, chance.randbytes(200).decode(errors="replace"), ids)


class CrawlingEngine(_TalkingEngine):
    """Named fake: turns that come to nothing until their cutoff, which they heed."""

    async def generate(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """What the engine inside says, too late where the problem is one of those."""
        if asked_number(plain_text(context)) in self._numbers:
            with cutoff.scope():
                await anyio.sleep(_CRAWL_S)
        return await decoder.generate(context, params, seed=seed, cutoff=cutoff)


class TrippingEngine(_TalkingEngine):
    """Named fake: one turn on each of those problems raises what nobody foresaw, each time something else."""

    def __init__(self, engine: Engine, numbers: frozenset[int]) -> None:
        super().__init__(engine, numbers)
        self._left = dict(zip(sorted(numbers), cycle(_UNFORESEEN), strict=False))

    async def generate(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """What the engine inside says, but for the first turn to end on one of those problems."""
        said = await super().generate(decoder, context, params, seed=seed, cutoff=cutoff)
        raised = self._left.pop(asked_number(plain_text(context)), None)
        if raised is not None:
            raise raised
        return said

    def _instead(self, said: Completion, seed: int) -> Completion:  # noqa: ARG002 (it has no luck either)
        return said


_UNFORESEEN = (
    KeyError("a token that nobody thought of"),
    SystemExit("a package ends the process"),
    asyncio.CancelledError("a package loses its own cancellation"),
)


class SilentEngine(_TalkingEngine):
    """Named fake: every turn ends before its first token."""

    def _instead(self, said: Completion, seed: int) -> Completion:  # noqa: ARG002 (silence has no luck)
        return retold(said, "", ())


def _servers(faults: Faults, scene: Scene, _numbers: frozenset[int]) -> None:
    # Faults wear off as they happen, so that every scene has its own.
    scene.engine_faults.append(Faults(**{name: getattr(faults, name) for name in Faults.__slots__}))


def _die(num_deaths: int, scene: Scene, numbers: frozenset[int]) -> None:
    scene.engine_faults += [Faults(dies_on=f"What is {number} ", num_deaths=num_deaths) for number in numbers]


def _hang(scene: Scene, numbers: frozenset[int]) -> None:
    scene.engine_faults += [Faults(hangs_on=f"What is {number} ") for number in numbers]


def _garble(scene: Scene, numbers: frozenset[int]) -> None:
    scene.around_engine.append(lambda engine: GarblingEngine(engine, numbers))


def _trip(scene: Scene, numbers: frozenset[int]) -> None:
    scene.around_engine.append(lambda engine: TrippingEngine(engine, numbers))


def _crawl(scene: Scene, numbers: frozenset[int]) -> None:
    scene.around_engine.append(lambda engine: CrawlingEngine(engine, numbers))


def _fall_silent(scene: Scene, numbers: frozenset[int]) -> None:
    rest = frozenset(range(min(numbers), scene.plan.num_problems + 1))
    scene.around_engine.append(lambda engine: SilentEngine(engine, rest))


def _hang_for_good(scene: Scene, numbers: frozenset[int]) -> None:
    _hang(scene, frozenset(range(min(numbers), scene.plan.num_problems + 1)))


def _slow_down(scene: Scene, _numbers: frozenset[int]) -> None:
    slow_since_s = _SLOW_SINCE * scene.plan.time_limit_s
    scene.slower.append(lambda seconds: 10.0 if seconds >= slow_since_s else 1.0)


def from_there_on(numbers: frozenset[int], reply: Reply, _seen: Seen) -> bool:
    """The problem at which it strikes, and all behind it."""
    return reply.number >= min(numbers)


_CROWDING = ("several-threads", "servers-hang", "servers-hang-for-good")
"""Many turns at once, or such as never leave their place."""

ENGINE_FAULTS = (
    Fault(
        "servers-never-start",
        "Every start of the servers ends in an error.",
        partial(_servers, Faults(num_failed_starts=math.inf)),
        Expected(everything, 50, says=("the engine didn't start", "50 without a vote")),
    ),
    Fault(
        "servers-start-late",
        "The servers are there twenty minutes after the contest has begun.",
        partial(_servers, Faults(start_s=_LATE_S)),
        Expected(without_engine, 1, says=("1 without a vote",), says_once=("the engine was waited for, 1200 s",)),
    ),
    Fault(
        "servers-die",
        "The servers die at a problem, with all that they were writing.",
        partial(_die, 1),
        Expected(without_engine, says_once=("the engine broke",)),
        at=(0.3,),
    ),
    Fault(
        "servers-die-twice",
        "They die at a problem, and once more when they are back at it.",
        partial(_die, 2),
        Expected(without_engine, says=("the engine broke: the server died (2 times)",)),
        at=(0.5,),
    ),
    Fault(
        "servers-hang",
        "Turns on two problems, the last among them, neither end nor take notice of anything.",
        _hang,
        Expected(struck, 2, says=("didn't hand over in time", "2 without a vote")),
        at=(0.2, 1.0),
    ),
    Fault(
        "servers-hang-for-good",
        "From the middle on no turn comes to an end, and the places in the engine run out too.",
        _hang_for_good,
        Expected(from_there_on, 26, says=("didn't hand over in time", "26 without a vote")),
        at=(0.5,),
    ),
    Fault(
        "servers-crawl",
        "On all problems but the last three no turn ends before its deadline; then all is well.",
        _crawl,
        Expected(struck, 47, says=("47 without a vote", "47 deadline")),
        at=_ALL_BUT_THREE,
    ),
    Fault(
        "attempt-raises",
        "On three problems one attempt meets an exception that nobody foresaw.",
        _trip,
        Expected(
            says_once=("a token that nobody thought of", "a package ends the process", "its own cancellation"),
        ),
        at=(0.1, 0.5, 0.9),
    ),
    Fault(
        "garbage-tokens",
        "On three problems the engine gives token ids that no vocabulary has and bytes that are no text.",
        _garble,
        Expected(struck, 3, says=("3 without a vote", "36 not_stated")),
        at=(0.1, 0.4, 0.8),
    ),
    Fault(
        "empty-completions",
        "From there on every completion is empty.",
        _fall_silent,
        Expected(from_there_on, 16, says=("16 without a vote", "192 not_stated")),
        at=(0.7,),
    ),
    Fault(
        "out-of-memory",
        "A batch of three runs out of memory, so that one turn of three ends in an error.",
        partial(_servers, Faults(max_batch=2)),
        Expected(everything, costs_votes_with=_CROWDING, says=("CUDA out of memory",)),
    ),
    Fault(
        "slows-down",
        "From the third of nine hours on everything takes ten times as long.",
        _slow_down,
        Expected(since(_SLOW_SINCE), costs_votes_with=("*",), says=("deadline",)),
    ),
)
