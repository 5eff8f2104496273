"""The scene of a drill: a contest in which everything is right, until faults change it.

A fault changes what it needs and leaves the rest, so that several can share a scene.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from drills.contest_plan import ContestPlan
from drills.engines.faulty import Faults
from drills.model import Says
from numina_infer.core.clock import Clock
from numina_infer.core.config import Policy, RolloutConfig
from numina_infer.core.ports import Engine, Sandbox
from numina_infer.core.records import Problem


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the gateway."""

    number: int
    """The problem's."""
    problem: Problem
    extra: tuple[str, ...] = ()
    """Further arguments after the statement."""
    pause_s: float = 0.0
    """Seconds that the gateway takes before it calls."""


Round = tuple[Call, ...]
"""Calls that are made at the same moment, each from a thread of its own."""


@dataclass(slots=True)
class Moment:
    """What a fault can reach while the contest runs."""

    folder: Path
    clock: Clock


Act = Callable[[Moment], None]
OpenEngine = Callable[[Callable[[str, int], str]], AbstractAsyncContextManager[Engine]]


@dataclass(slots=True)
class Scene:
    """Everything that a fault can change."""

    plan: ContestPlan
    pace_s: float = 80.0
    """Seconds of a turn of the model, give or take a quarter."""
    policy: Policy = field(default_factory=lambda: Policy(num_samples=12, width=3))
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    problem_time_s: float = 1500.0
    speed: float = 0.0
    """Seconds of the contest in a real one; 0 is virtual time."""
    grace_s: float = 10.0
    num_announced: int = 0
    """How many problems the bank expects."""
    says: list[Says] = field(default_factory=list)
    """Turns of the model in place of the right ones; the first that says anything counts."""
    slower: list[Callable[[float], float]] = field(default_factory=list)
    """Loop time since the beginning → a factor on how long turns take."""
    engine_faults: list[Faults] = field(default_factory=list)
    open_engine: OpenEngine | None = None
    """Makes another engine than the scripted one, from the script."""
    around_engine: list[Callable[[Engine], Engine]] = field(default_factory=list)
    open_sandbox: Callable[[], AbstractAsyncContextManager[Sandbox]] | None = None
    """Makes another sandbox than the simulated one."""
    around_sandbox: list[Callable[[Sandbox], Sandbox]] = field(default_factory=list)
    before: dict[int, list[Act]] = field(default_factory=dict)
    """Acts on the gateway's thread before a problem is first asked, by its number."""
    reorder: list[Callable[[Sequence[Round]], Sequence[Round]]] = field(default_factory=list)
    """Changes to the calls and their order."""
    around: list[Callable[[], AbstractContextManager[object]]] = field(default_factory=list)
    """Contexts that are entered for as long as the contest runs."""
    disk_patience_s: float = 10.0
    """Real seconds that a write of the run log may take."""

    def __post_init__(self) -> None:
        self.num_announced = self.num_announced or self.plan.num_problems

    def then(self, numbers: frozenset[int], act: Act) -> None:
        """Have `act` happen before each of these problems."""
        for number in numbers:
            self.before.setdefault(number, []).append(act)

    def rounds(self) -> Sequence[Round]:
        """All calls, in order."""
        rounds: Sequence[Round] = [
            (Call(number, problem),) for number, problem in enumerate(self.plan.problems, start=1)
        ]
        for reorder in self.reorder:
            rounds = reorder(rounds)
        return rounds

    def calls_changed(self, numbers: frozenset[int], change: Callable[[Call], Call]) -> None:
        """Change the calls for these problems."""

        def reorder(rounds: Sequence[Round]) -> Sequence[Round]:
            return [tuple(change(call) if call.number in numbers else call for call in calls) for calls in rounds]

        self.reorder.append(reorder)
