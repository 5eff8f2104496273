"""Find the highest rung of the ladder that holds on this machine, by running a self-test on each, from the top.

gVisor's and bubblewrap's troubles inside containers show that a list of kernel features says little, so the self-test
tries the attacks themselves. A rung usually fails because other users can't enter the interpreter's folder: then the
lock-down holds, but no module loads.
"""

import importlib.util
import inspect
import json
import logging
import math
import os
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

import anyio

from numina_infer.core.config import PRELOADED, Rung, SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.sandbox.host import ending, self_test
from numina_infer.sandbox.host.forkserver import ForkServer
from numina_infer.sandbox.host.process import ServerLostError
from numina_infer.sandbox.host.program_clock import TimeLimit

_logger = logging.getLogger(__name__)
_SELF_TEST_S = 20.0
_ENDLESS_S = 0.05
_READS = frozenset({"read a secret", "look into the host"})


@dataclass(frozen=True, slots=True)
class RungInForce:
    """The rung in force, and the results of the self-tests."""

    rung: Rung
    refused: Mapping[Rung, str] = field(default_factory=dict)
    """Why each higher rung doesn't hold."""
    tried: Mapping[str, str] = field(default_factory=dict)
    """Each attempt of the self-test on the rung in force → «done», or its error; empty where it wasn't run."""


async def find_standing(server: ForkServer, config: SandboxConfig) -> RungInForce:
    """Try the rungs that `config` allows on `server`, from the highest.

    Raises:
        SandboxError: none holds; the message says why each failed and what to do.
    """
    refused: dict[Rung, str] = {}
    installed = installed_modules(preloaded=config.preload)
    for rung in config.rungs:
        if rung is Rung.LIMITS:
            _logger.warning(
                "only resource limits hold programs back here: %s", _reasons(refused) or "as was asked for"
            )
            return RungInForce(rung, refused)
        server.rung = rung
        try:
            return RungInForce(rung, refused, await _test(server, installed))
        except ServerLostError:
            raise
        except (SandboxError, ValueError) as error:
            refused[rung] = str(error)
    raise SandboxError(
        f"programs can't be locked down here ({_reasons(refused)}). Run where a higher rung holds (as root in a "
        "container, or on Linux 5.13 with Landlock, on x86-64), or accept that programs may do what this user may: "
        "--allow-limits-only, or SandboxConfig(lowest_rung=Rung.LIMITS)"
    )


def installed_modules(*, preloaded: bool = True) -> list[str]:
    """The self-test's modules that the host itself can import; of Python alone where no library is preloaded."""
    left_out = () if preloaded else PRELOADED
    tops = {name: name.partition(".")[0] for name in self_test.MODULES}
    return [name for name, top in tops.items() if top not in left_out and _is_installed(top)]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # something of that name stands in `sys.modules`, which no finder made
        return False


async def _test(server: ForkServer, installed: list[str]) -> Mapping[str, str]:
    """The results of the self-test's attempts on the server's rung.

    Raises:
        SandboxError: the rung doesn't hold.
    """
    secret = server.folder / "secret"
    secret.write_text(secrets.token_hex())
    secret.chmod(0o600)
    code = f"{inspect.getsource(self_test)}\nprint(report({os.getpid()}, {str(secret)!r}, {installed!r}))"
    found = json.loads(await _run(server, code))
    tried: Mapping[str, str] = found["tried"]
    missing: list[str] = found["missing"]
    permitted = _READS if server.rung is Rung.SECCOMP else frozenset()
    done = [name for name, result in tried.items() if result == "done" and name not in permitted]
    if done:
        raise SandboxError(f"a program could {', '.join(done)}")
    if missing:
        others = f" and {len(missing) - 3} others" if len(missing) > 3 else ""
        raise SandboxError(f"a program could not import {', '.join(missing[:3])}{others}")
    await _kill(server)
    return tried


async def _run(server: ForkServer, code: str) -> str:
    with closing(server.spawn(_SELF_TEST_S, [code])) as process:
        await process.finish(TimeLimit(_SELF_TEST_S, anyio.current_time() + _SELF_TEST_S, None, grace_s=1.0))
        if process.end is None:
            raise SandboxError("the self-test did not come to its end")
        if process.end.trouble:
            raise SandboxError(process.end.trouble)
        found = ending.of_exit(process.end, overran=process.is_killed, seconds=_SELF_TEST_S)
        if found.text:
            raise SandboxError(f"the self-test failed: {ending.clean(found.text).splitlines()[-1]}")
        return ending.clean(process.stdout.kept)


async def _kill(server: ForkServer) -> None:
    """Check that a program can be killed, since a signal to another user's process needs a capability."""
    with closing(server.spawn(_ENDLESS_S, ["while True: pass"])) as process:
        await process.finish(TimeLimit(_ENDLESS_S, math.inf, None, grace_s=2.0))
        if not process.is_gone:
            raise SandboxError("a program could not be killed")


def _reasons(refused: Mapping[Rung, str]) -> str:
    return "; ".join(f"{rung}: {reason}" for rung, reason in refused.items())
