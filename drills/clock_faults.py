"""What goes wrong with time: the wall clock jumps, and the event loop stands still."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drills.fault import Expected, Fault, Place
from drills.scene import Scene
from drills.seen import Reply, Seen
from numina_infer.core.config import Policy

_DAY_S = 24 * 3600.0
_BLOCKED_S = 120.0
_SPEED = 20.0
_MEANWHILE = 3
"""Problems that come while the loop is blocked, at most."""


@dataclass(slots=True)
class _WallClock:
    """`time.time`, off by so many seconds; the jumps take turns forwards and back."""

    off_s: float = 0.0
    num_jumps: int = 0

    def jump(self, _moment: object) -> None:
        """A day or two ahead, or back behind where it began."""
        self.num_jumps += 1
        self.off_s += self.num_jumps * _DAY_S * (1 if self.num_jumps % 2 else -1)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Everybody is told the wrong time."""
        right = time.time
        time.time = lambda: right() + self.off_s
        try:
            yield
        finally:
            time.time = right


def _by_a_real_clock(scene: Scene) -> None:
    scene.speed, scene.pace_s, scene.problem_time_s = _SPEED, 0.3, 25.0
    scene.policy = Policy(num_samples=6, width=3)


def _jump(scene: Scene, numbers: frozenset[int]) -> None:
    _by_a_real_clock(scene)
    clock = _WallClock()
    scene.around.append(clock.patched)
    scene.then(numbers, clock.jump)


@dataclass(slots=True)
class _Blocks:
    """Blocks the loop once, from inside the model."""

    numbers: frozenset[int]

    def __call__(self, number: int, _text: str, _seed: int) -> None:
        if number in self.numbers:
            self.numbers -= {number}
            time.sleep(_BLOCKED_S / _SPEED)


def _block(scene: Scene, numbers: frozenset[int]) -> None:
    _by_a_real_clock(scene)
    scene.says.append(_Blocks(numbers))


def _blocked_and_next(numbers: frozenset[int], reply: Reply, _seen: Seen) -> bool:
    return any(number <= reply.number <= number + _MEANWHILE for number in numbers)


CLOCK_FAULTS = (
    Fault(
        "wall-clock-jumps",
        "The wall clock jumps a day ahead, two back, three ahead.",
        _jump,
        at=(0.2, 0.5, 0.8),
        place=Place.REAL,
    ),
    Fault(
        "loop-blocked",
        "The event loop is blocked for two minutes, in which several problems come and have to be answered.",
        _block,
        Expected(_blocked_and_next, 1 + _MEANWHILE, says=("no verdict in time",)),
        at=(0.4,),
        place=Place.REAL,
    ),
)
