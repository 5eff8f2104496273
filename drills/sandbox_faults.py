"""What goes wrong with the sandbox, as the contest sees it: errors, and programs that get no place."""

import anyio

from drills.engine_faults import from_there_on
from drills.fault import Expected, Fault, struck
from drills.scene import Scene
from drills.seen import Reply, Seen
from drills.wrapped import WrappedSandbox
from numina_infer.core.errors import SandboxError
from numina_infer.core.ports import Cutoff, Sandbox, Session
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.host.process import until

_PATIENCE_S = 10.0
"""Before a program is refused."""


class RefusingSandbox(WrappedSandbox):
    """Named fake: a sandbox that fails at programs, as often as it is told to."""

    def __init__(self, sandbox: Sandbox, why: str, num_left: list[float]) -> None:
        super().__init__(sandbox)
        self._why, self._num_left = why, num_left

    async def execute(self, session: Session, code: str, *, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        """Fail, or run it."""
        if self._num_left[0] > 0:
            self._num_left[0] -= 1
            raise SandboxError(self._why)
        return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)


class StuckSandbox(WrappedSandbox):
    """Named fake: every slot belongs to a program whose kill the kernel hasn't confirmed, so none comes free."""

    def __init__(self, sandbox: Sandbox, is_stuck: list[bool]) -> None:
        super().__init__(sandbox)
        self._is_stuck = is_stuck

    async def execute(self, session: Session, code: str, *, timeout_s: float, cutoff: Cutoff | None) -> Execution:
        """Be refused after some seconds, or run it."""
        if not self._is_stuck[0]:
            return await session.execute(code, timeout_s=timeout_s, cutoff=cutoff)
        with until(cutoff):
            await anyio.sleep(_PATIENCE_S)
            raise SandboxError("all slots wait for programs that were killed and don't end")
        return Execution(ExecutionStatus.TIMEOUT, "")


def _zygote_dies(scene: Scene, numbers: frozenset[int]) -> None:
    num_left = [0.0]
    why = "the sandbox's zygote died while it ran a program"
    scene.around_sandbox.append(lambda sandbox: RefusingSandbox(sandbox, why, num_left))
    scene.then(numbers, lambda _moment: num_left.__setitem__(0, 2.0))
    scene.then(frozenset(number + 1 for number in numbers), lambda _moment: num_left.__setitem__(0, 0.0))


def _self_test_fails(scene: Scene, numbers: frozenset[int]) -> None:
    num_left = [0.0]
    why = "the sandbox's self-test fails: a program reached the network"
    scene.around_sandbox.append(lambda sandbox: RefusingSandbox(sandbox, why, num_left))
    scene.then(numbers, lambda _moment: num_left.__setitem__(0, float("inf")))


def _slots_stick(scene: Scene, numbers: frozenset[int]) -> None:
    is_stuck = [False]
    scene.around_sandbox.append(lambda sandbox: StuckSandbox(sandbox, is_stuck))
    scene.then(frozenset({min(numbers)}), lambda _moment: is_stuck.__setitem__(0, True))
    scene.then(frozenset({max(numbers)}), lambda _moment: is_stuck.__setitem__(0, False))


def _in_between(numbers: frozenset[int], reply: Reply, _seen: Seen) -> bool:
    return min(numbers) <= reply.number <= max(numbers)


SANDBOX_FAULTS = (
    Fault(
        "zygote-dies",
        "The zygote is killed, the two next programs of a problem are lost with it, and it is started again.",
        _zygote_dies,
        Expected(struck, 0, says=("the sandbox's zygote died",)),
        at=(0.4,),
    ),
    Fault(
        "slots-stuck",
        "For five problems every slot waits for a kill that isn't confirmed.",
        _slots_stick,
        Expected(_in_between, 0, says=("all slots wait for programs that were killed",)),
        at=(0.4, 0.5),
    ),
    Fault(
        "self-test-fails",
        "From the middle on the sandbox's self-test fails, so every program is refused.",
        _self_test_fails,
        Expected(from_there_on, 0, says=("the sandbox's self-test fails",)),
        at=(0.5,),
    ),
)
