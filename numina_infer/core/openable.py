"""A base for engines and other things that are opened with `async with`."""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self

import anyio


class Openable:
    """Entered, it calls `_open`; what that put on the stack is closed when it is left, or at once where it fails."""

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
