"""Opening engines and the like, and starting again what broke.

Engine, sandbox and vLLM's servers share one policy, that of every supervisor (Erlang's, systemd's): start again, after
a pause where starts cost something, forget earlier failures once a start works, and give up after too many failures in
a row.
"""

import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import anyio

from numina_infer.core.config import require_positive, require_whole
from numina_infer.core.errors import NuminaError

_log = logging.getLogger(__name__)


class Openable:
    """A base for what is opened with `async with`.

    Entered, it calls `_open`; what that put on the stack is closed when it is left, or at once where it
    fails.
    """

    _stack: AsyncExitStack | None = None

    async def _open(self, stack: AsyncExitStack) -> None:
        """Start, and put on `stack` what is to be closed, in the order of starting."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._stack is not None:
            await self._stack.aclose()


async def run_in_background(stack: AsyncExitStack, *tasks: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run `tasks` until `stack` is closed; one that fails cancels the task that opened it, and raises on closing."""
    group = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(group.cancel_scope.cancel)
    for task in tasks:
        group.start_soon(task)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a start is tried."""

    max_starts: int | None = 5
    """Starts that fail in a row until it is given up; None never gives up."""
    pause_s: float = 20.0
    """Between two starts."""

    def __post_init__(self) -> None:
        if self.max_starts is not None:
            require_whole("max_starts", self.max_starts, 1)
        require_positive("pause_s", self.pause_s)


class Restarts:
    """The restarts of one thing: counts and logs what fails, and says when to give up."""

    def __init__(self, name: str, policy: RestartPolicy) -> None:
        """`name` begins sentences, such as `the engine`."""
        self.name, self.policy = name, policy
        self.num_in_vain = 0
        """Failures in a row."""
        self.why = ""
        """The last failure's cause."""

    def gives_up(self) -> bool:
        """Whether it failed too often in a row to be started again."""
        return self.policy.max_starts is not None and self.num_in_vain >= self.policy.max_starts

    def worked(self) -> None:
        """Forget earlier failures."""
        self.num_in_vain = 0

    def failed(self, what: str, error: Exception | None = None) -> str:
        """Count and log a failure; returns it as a sentence: name, `what`, and the cause where `error` gives one."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        self.num_in_vain += 1
        self.why = what if error is None else str(error) or repr(error)
        sentence = f"{self.name} {what}" if error is None else f"{self.name} {what}: {self.why}"
        _log.warning("%s", sentence, exc_info=None if isinstance(error, NuminaError | OSError) else error)
        return sentence

    async def pause(self) -> None:
        """Wait before another start; the first start waits for nothing."""
        if self.why:
            await anyio.sleep(self.policy.pause_s)
