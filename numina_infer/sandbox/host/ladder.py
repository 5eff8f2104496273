"""Which rung holds on this machine: found at the start by trying, from the top, what must not work and what must.

gVisor's and bubblewrap's troubles inside containers show that asking for features says little; a self-test that runs
the attack itself says all. An interpreter in a folder that other users can't enter is the usual reason for a rung to
fail: the lock-down holds and no module loads.
"""

import importlib.util
import inspect
import json
import logging
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from numina_infer.core.config import Rung, SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.sandbox.child.channel import ChildEnded
from numina_infer.sandbox.child.output import clean
from numina_infer.sandbox.host import self_test as probe
from numina_infer.sandbox.host import verdict
from numina_infer.sandbox.host.forkserver import ForkServer
from numina_infer.sandbox.host.process import ServerLostError

_logger = logging.getLogger(__name__)
_PROBE_S = 20.0
_ENDLESS_S = 0.05
_READS = frozenset({"read a secret", "look into the host"})


@dataclass(frozen=True, slots=True)
class RungInForce:
    """The rung in force and what was found on the way to it."""

    rung: Rung
    refused: Mapping[Rung, str] = field(default_factory=dict)
    """Why each higher rung doesn't hold."""
    tried: Mapping[str, str] = field(default_factory=dict)
    """What the self-test tried on the rung in force → «done», or why it couldn't; empty where it wasn't run."""


async def find_standing(server: ForkServer, config: SandboxConfig) -> RungInForce:
    """Try the rungs that `config` allows on `server`, from the highest.

    Raises:
        SandboxError: none holds; the message tells what each failed and what to do.
    """
    refused: dict[Rung, str] = {}
    installed = installed_modules()
    for rung in config.rungs:
        if rung is Rung.LIMITS:
            _logger.warning(
                "only resource limits hold programs back here: %s", _reasons(refused) or "as was asked for"
            )
            return RungInForce(rung, refused)
        server.rung = rung
        tried, reason = await _try_rung(server, installed)
        if not reason:
            return RungInForce(rung, refused, tried)
        refused[rung] = reason
    raise SandboxError(
        f"programs can't be locked down here ({_reasons(refused)}). Run where a higher rung holds (as root in a "
        "container, or on Linux 5.13 with Landlock, on x86-64), or accept that programs may do what this user may: "
        "--allow-limits-only, or SandboxConfig(lowest_rung=Rung.LIMITS)"
    )


def installed_modules() -> list[str]:
    """Those of the probe's modules that the host itself could import."""
    return [name for name in probe.MODULES if _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


async def _try_rung(server: ForkServer, installed: list[str]) -> tuple[Mapping[str, str], str]:
    """What was tried, and the reason why the rung doesn't hold; no reason if it does."""
    secret = server.folder / "secret"
    secret.write_text(secrets.token_hex())
    secret.chmod(0o600)
    code = f"{inspect.getsource(probe)}\nprint(report({os.getpid()}, {str(secret)!r}, {installed!r}))"
    try:
        printed = await _run(server, code)
        found = json.loads(printed)
        reason = _judge(server.rung, found["tried"], found["missing"]) or await _kill(server)
    except ServerLostError:
        raise
    except (SandboxError, ValueError) as error:
        return {}, str(error)
    return found["tried"], reason


def _judge(rung: Rung, tried: Mapping[str, str], missing: list[str]) -> str:
    permitted = _READS if rung is Rung.SECCOMP else frozenset()
    done = [name for name, result in tried.items() if result == "done" and name not in permitted]
    if done:
        return f"a program could {', '.join(done)}"
    if missing:
        others = f" and {len(missing) - 3} others" if len(missing) > 3 else ""
        return f"a program could not import {', '.join(missing[:3])}{others}"
    return ""


async def _run(server: ForkServer, code: str) -> str:
    process = server.spawn(_PROBE_S, [code])
    try:
        await process.finish(_PROBE_S, anyio.current_time() + _PROBE_S, None, 1.0)
        if not isinstance(process.end, ChildEnded):
            raise SandboxError("the self-test did not come to its end")
        if process.end.trouble:
            raise SandboxError(process.end.trouble)
        found = verdict.of_exit(process.end, overran=process.is_killed, seconds=_PROBE_S)
        if found.note:
            raise SandboxError(f"the self-test failed: {clean(found.note).splitlines()[-1]}")
        return clean(process.stdout.kept)
    finally:
        process.close()


async def _kill(server: ForkServer) -> str:
    """See that a program can be killed: signals to another user's process need a capability."""
    process = server.spawn(_ENDLESS_S, ["while True: pass"])
    try:
        await process.finish(_ENDLESS_S, math.inf, None, 2.0)
        return "" if process.end is not None else "a program could not be killed"
    finally:
        process.close()


def _reasons(refused: Mapping[Rung, str]) -> str:
    return "; ".join(f"{rung}: {reason}" for rung, reason in refused.items())
