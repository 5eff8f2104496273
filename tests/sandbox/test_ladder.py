"""The ladder: which rung is taken, why not the one above, and what each keeps programs from."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from types import ModuleType

import pytest

from numina_infer.core.config import LADDER, Rung, SandboxConfig
from numina_infer.core.errors import ConfigError, SandboxError
from numina_infer.sandbox import ExecutionStatus, Sandbox
from numina_infer.sandbox.host import ladder, self_test

pytestmark = pytest.mark.anyio
MEMORY = 512 * 1024**2


@pytest.fixture(scope="module", params=[rung for rung in LADDER if rung is not Rung.LIMITS])
async def on_rung(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A sandbox on one rung, with all others forbidden; skipped where that rung doesn't hold."""
    rung: Rung = request.param
    sandbox = Sandbox(SandboxConfig(num_slots=1, memory_bytes=MEMORY, highest_rung=rung, lowest_rung=rung))
    try:
        await sandbox.__aenter__()
    except SandboxError as error:
        pytest.skip(str(error))
    try:
        yield sandbox
    finally:
        await sandbox.__aexit__(None, None, None)


async def test_each_rung_refuses_what_it_promises_to(on_rung: Sandbox) -> None:
    """Everything that the self-test tries; only the filter alone lets files be read."""
    standing = on_rung.standing
    done = {name for name, result in standing.tried.items() if result == "done"}
    assert len(standing.tried) == len(self_test.attempts(0, ""))
    assert done <= ({"read a secret", "look into the host"} if standing.rung is Rung.SECCOMP else set())


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("import threading\nt = threading.Thread(target=print, args=(1,))\nt.start(); t.join()", "1"),
        ("from concurrent.futures import ThreadPoolExecutor as T\nlist(T(8).map(abs, [-1, 2]))", "[1, 2]"),
        ("import sqlite3, bz2, xml.dom.minidom, scipy.spatial, sympy.stats\n'loaded'", "loaded"),
        ("import tempfile, random, secrets\nlen(secrets.token_hex(4))", "8"),
        ("np.linalg.det(np.eye(50)) == 1.0", "True"),
        ("import signal\nsignal.alarm(0)\nimport os\nos.kill(os.getpid(), 0)\nos.cpu_count() > 0", "True"),
        ("import resource\nresource.setrlimit(resource.RLIMIT_STACK, (10**6, 10**8))\n1", "1"),
    ],
)
async def test_ordinary_programs_run_on_each_rung(on_rung: Sandbox, code: str, output: str) -> None:
    """Threads, libraries that nobody loaded before, linear algebra, alarms, own limits."""
    execution = await on_rung.execute(code, timeout_s=20)
    assert (execution.status, execution.output) == (ExecutionStatus.OK, output)


async def test_the_highest_rung_that_holds_is_taken_and_the_ones_above_are_explained() -> None:
    """In the standing and in what goes to the run log."""
    async with Sandbox(SandboxConfig(num_slots=1, preload=False, lowest_rung=Rung.LIMITS)) as sandbox:
        standing = sandbox.standing
        described = sandbox.describe()
    above = LADDER[: LADDER.index(standing.rung)]
    assert tuple(standing.refused) == above
    assert all(standing.refused.values())
    assert described["rung"] == standing.rung
    assert [described[f"not {rung}"] for rung in above] == list(standing.refused.values())


async def test_an_interpreter_that_others_cannot_reach_fails_its_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that can't be imported is reason enough, and the sandbox doesn't fall to limits by itself."""
    monkeypatch.setattr(ladder, "installed_modules", lambda preloaded: ["wave", "no_such_module"])
    with pytest.raises(SandboxError, match=r"could not import no_such_module.*--allow-limits-only"):
        async with Sandbox(SandboxConfig(num_slots=1, preload=False)):
            pass


def test_a_module_that_somebody_made_up_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook may put a stand-in for a library where Python looks for loaded ones; programs don't see it."""
    monkeypatch.setitem(sys.modules, "wave", ModuleType("wave"))
    assert "wave" not in ladder.installed_modules(preloaded=False)


async def test_limits_alone_have_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the sandbox starts where nothing else holds, and says why."""
    monkeypatch.setattr(ladder, "installed_modules", lambda preloaded: ["no_such_module"])
    async with Sandbox(SandboxConfig(num_slots=1, preload=False, lowest_rung=Rung.LIMITS)) as sandbox:
        assert sandbox.standing.rung is Rung.LIMITS
        assert set(sandbox.standing.refused) == set(LADDER) - {Rung.LIMITS}
        assert (await sandbox.execute("6 * 7", timeout_s=20)).output == "42"


def test_rungs_in_the_wrong_order_are_refused() -> None:
    """The message names both."""
    with pytest.raises(ConfigError, match="lowest_rung uid stands above highest_rung limits"):
        replace(SandboxConfig(), highest_rung=Rung.LIMITS, lowest_rung=Rung.UID)
