"""A host that has no descriptor left, in every mode: an error of the sandbox's, and the session goes on."""

from contextlib import suppress

import pytest

from drills.session_faults import no_descriptor_left
from numina_infer.core.config import Mode
from numina_infer.core.errors import SandboxError
from numina_infer.sandbox import Sandbox

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("spare", range(4))
@pytest.mark.parametrize("mode", list(Mode))
async def test_without_descriptors_a_program_is_refused_and_its_session_goes_on(
    sandbox: Sandbox, mode: Mode, spare: int
) -> None:
    """As an error of the sandbox's, wherever in the way of a program they run out, or not at all."""
    async with sandbox.session(mode) as session:
        await session.execute("x = 1", timeout_s=20)
        with no_descriptor_left(spare), suppress(SandboxError):
            assert (await session.execute("print(2)", timeout_s=20)).output == "2"
        assert (await session.execute("print(6 * 7)", timeout_s=20)).output == "42"


async def test_without_descriptors_a_dead_zygote_is_an_error_of_the_sandbox(sandbox: Sandbox) -> None:
    """Until there are some again, and another is started."""
    async with sandbox.session() as session:
        await session.execute("x = 1", timeout_s=20)
        server = await sandbox._opened().server()
        with no_descriptor_left():
            server._zygote.kill()
            for _ in range(2):
                with pytest.raises(SandboxError):
                    await session.execute("x", timeout_s=20)
        assert (await session.execute("x", timeout_s=20)).output == "1"


async def test_a_refused_block_costs_a_session_nothing_that_it_knew(sandbox: Sandbox) -> None:
    """Not even what no block could be run again for: its child is as it was."""
    async with sandbox.session() as session:
        await session.execute("x = 20\n1 / 0", timeout_s=20)
        with no_descriptor_left(), pytest.raises(SandboxError, match="Too many open files"):
            await session.execute("x += 1", timeout_s=20)
        assert (await session.execute("x", timeout_s=20)).output == "20"
