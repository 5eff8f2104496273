"""What the bank alone can save: so little time is left that every problem lives on what was kept for it.

The floors of the bank bind where the time left is short, and those before use up all that they get.
"""

from functools import partial

from drills.engine_faults import CrawlingEngine
from drills.fault import Expected, Fault, Place
from drills.gateway_faults import late, open_since
from drills.scene import Scene

_LATE_SHARE = 0.92
"""Of the contest; it leaves some forty seconds for each problem of its second half, grace counted."""
_PACE_S = 14.0
"""A floor has room for two turns, and what is left without floors has room for none."""
_NUM_WELL = 3


def _hardly_any_time(scene: Scene, numbers: frozenset[int]) -> None:
    scene.pace_s = _PACE_S
    late(_LATE_SHARE, scene, numbers)
    crawling = frozenset(range(min(numbers), scene.plan.num_problems - _NUM_WELL + 1))
    scene.around_engine.append(partial(CrawlingEngine, numbers=crawling))


BANK_FAULTS = (
    Fault(
        "hardly-any-time",
        "Once the gateway takes over eight hours before it asks, then no turn ends in time but on the last three.",
        _hardly_any_time,
        Expected(open_since, 23, says=("23 without a vote", "between problems 8:16:48")),
        at=(0.5,),
        place=Place.ALONE,
    ),
)
