"""All faults that are drilled, by name, and the drills of them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from drills.bank_faults import BANK_FAULTS
from drills.clock_faults import CLOCK_FAULTS
from drills.contest_plan import ContestPlan
from drills.disk_faults import DISK_FAULTS
from drills.engine_faults import ENGINE_FAULTS
from drills.fault import Drill, Fault, Place, together
from drills.gateway_faults import GATEWAY_FAULTS
from drills.model_faults import MODEL_FAULTS
from drills.play import play
from drills.process_faults import process_drills
from drills.real_faults import REAL_FAULTS
from drills.sandbox_faults import SANDBOX_FAULTS
from drills.session_faults import SESSION_FAULTS
from numina_infer.core.config import require, require_whole

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for faults in (
        *(ENGINE_FAULTS, MODEL_FAULTS, SANDBOX_FAULTS, DISK_FAULTS, CLOCK_FAULTS, GATEWAY_FAULTS, BANK_FAULTS),
        *(REAL_FAULTS, SESSION_FAULTS),
    )
    for fault in faults
}
"""Those that one process can play."""

FEWEST, MOST = 2, 4
"""Faults of a combination."""
NUM_COMBINED = 12
"""Problems of a combination's contest."""


def drills(names: Sequence[str] = ()) -> tuple[Drill, ...]:
    """The drills of these names, all without one.

    Raises:
        ConfigError: there is none of a name.
    """
    known = {name: together([fault], ContestPlan(), play) for name, fault in FAULTS.items()}
    known |= {drill.name: drill for drill in process_drills()}
    for name in names:
        require(name in known, f"no fault is called {name!r}; python -m drills --list names them all")
    return tuple(known[name] for name in dict.fromkeys(names) or known)


def combinations(number: int, seed: int) -> Iterator[Drill]:
    """So many drills of two to four faults at once, drawn from `seed`; each strikes at other problems.

    Raises:
        ConfigError: a number can't be used.
    """
    require_whole("random", number, 1)
    require_whole("seed", seed, 0)
    return islice(_combinations(random.Random(seed)), number)  # noqa: S311 (repeatable, no secret)


def _combinations(chance: random.Random) -> Iterator[Drill]:
    combinable = [fault for fault in FAULTS.values() if fault.place is Place.VIRTUAL]
    while True:
        faults = chance.sample(combinable, chance.randint(FEWEST, MOST))
        plan = ContestPlan(NUM_COMBINED, chance.randrange(NUM_COMBINED), chance.randrange(10**6))
        yield together(faults, plan, play)
