"""Looks at the machine for the preflight: GPUs, memory, disk, sandbox, model, wheels. No look can end the run.

All looks run at the same time, so together they take as long as the slowest, the sandbox's self-test: two seconds.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import anyio

from numina_infer.core.config import Rung, SandboxConfig
from numina_infer.core.errors import EngineError, NuminaError
from numina_infer.engines.local import smollm2
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.vllm_python import find_vllm_python
from numina_infer.kaggle.mounted_package import Package, find_package, is_installed
from numina_infer.kaggle.preflight.run_plan import RunPlan
from numina_infer.kaggle.wheel_prefix import find_installed
from numina_infer.kaggle.wheels import Version, Wheels, read_wheels
from numina_infer.models.gpus import Device, GpuState, find_cpu, find_gpus, look_at_gpus
from numina_infer.models.profiles import Profile, find_profile

_PATIENCE_S = 30.0
"""For a look that hangs, on a driver or a network disk."""
_EMBEDDED_IMPORTS = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk that a folder is on."""

    folder: Path
    free_bytes: int
    is_writable: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    """The findings. A field whose look failed is empty, and `broken` says why."""

    python: Version = (sys.version_info.major, sys.version_info.minor)
    gpus: tuple[Device, ...] = ()
    gpu_states: tuple[GpuState, ...] = ()
    """Of `gpus`, in the same order."""
    cpu: Device | None = None
    """Its memory is all that this process may use, free or not."""
    free_memory_bytes: int | None = None
    shared_memory_bytes: int | None = None
    """Free in /dev/shm."""
    prefix: DiskSpace | None = None
    output: DiskSpace | None = None
    package: Package = field(default_factory=Package)
    rung: Rung | None = None
    refused: Mapping[Rung, str] = field(default_factory=dict)
    """Why the stricter rungs don't work here."""
    profile: Profile | None = None
    is_embedded_here: bool = False
    """Whether the embedded model was fetched before."""
    missing: tuple[str, ...] = ()
    """Modules that a model in this process needs and that aren't installed."""
    vllm_python: Path | None = None
    """An interpreter that has vLLM."""
    wheels: Wheels | None = None
    """The wheelhouse that vLLM must be installed from."""
    problems: Path | None = None
    now_s: float = 0.0
    """The time of day, since 1970."""
    age_s: float = 0.0
    """Since this process started, which is the kernel's start in a notebook."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Looks that failed, and why."""


Found = Mapping[str, Any]
"""Fields of `Machine`."""
Look = Callable[[RunPlan], Found]


def look(plan: RunPlan, looks: Mapping[str, Look] | None = None) -> Machine:
    """Look at everything that `plan` needs; a look that fails is noted and never raises."""
    outcomes: dict[str, Found | str] = {}
    chosen = LOOKS if looks is None else looks
    threads = [Thread(target=_try, args=(name, chosen[name], plan, outcomes), daemon=True) for name in chosen]
    for thread in threads:
        thread.start()
    end = time.monotonic() + _PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    done = dict(outcomes)
    unfinished = {name: "this look did not come to its end" for name in chosen if name not in done}
    broken = {name: said for name, said in done.items() if isinstance(said, str)}
    found = [said for said in done.values() if not isinstance(said, str)]
    return Machine(**{key: value for each in found for key, value in each.items()}, broken=broken | unfinished)


def _try(name: str, look_at: Look, plan: RunPlan, outcomes: dict[str, Found | str]) -> None:
    try:
        outcomes[name] = look_at(plan)
    except subprocess.CalledProcessError as error:
        outcomes[name] = f"{Path(error.cmd[0]).name} ended with {error.returncode}: {_first_line(error.stdout)}"
    except NuminaError as error:
        outcomes[name] = str(error)
    except (OSError, subprocess.SubprocessError, ImportError, RuntimeError, ValueError, LookupError) as error:
        outcomes[name] = f"this look broke: {type(error).__name__}: {error}"


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "it said nothing")


def _gpus(_: RunPlan) -> Found:
    states = look_at_gpus()
    return {"gpus": find_gpus(), "gpu_states": states}


def _memory(_: RunPlan) -> Found:
    cpu = find_cpu()
    return {"cpu": cpu, "free_memory_bytes": min(_free_memory_bytes(), cpu.memory_bytes)}


def _free_memory_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(available[0]) * 1024


def _shared_memory(_: RunPlan) -> Found:
    return {"shared_memory_bytes": shutil.disk_usage("/dev/shm").free}  # noqa: S108 (looked at, not written)


def _disk(plan: RunPlan) -> Found:
    return {"prefix": _room(plan.prefix), "output": _room(plan.output)}


def _room(folder: Path) -> DiskSpace:
    """The disk of `folder`, or of the place where it would be made."""
    there = folder.absolute()
    while not there.is_dir() and there != there.parent:
        there = there.parent
    return DiskSpace(folder, shutil.disk_usage(there).free, os.access(there, os.W_OK | os.X_OK))


def _package(plan: RunPlan) -> Found:
    return {"package": find_package(plan.competition, plan.inputs)} if plan.place.is_kaggle else {}


def _sandbox(_: RunPlan) -> Found:
    return anyio.run(_standing)


async def _standing() -> Found:
    from numina_infer.sandbox.host.forking_sandbox import Sandbox

    async with Sandbox(SandboxConfig(num_slots=1, lowest_rung=Rung.LIMITS)) as sandbox:
        return {"rung": sandbox.standing.rung, "refused": sandbox.standing.refused}


def _model(plan: RunPlan) -> Found:
    if not plan.has_model:
        return {}
    embedded = smollm2.cache_folder() / smollm2.FOLDER
    if plan.is_embedded:
        here = embedded.is_dir()
        return {"is_embedded_here": here, "profile": find_profile(str(embedded)) if here else None}
    return {"profile": find_profile(_folder(plan))}


def _folder(plan: RunPlan) -> str:
    """The model's folder; away from Kaggle the name of a known model will do."""
    is_named = bool(plan.model) and (Path(plan.model).expanduser().is_dir() or not plan.place.is_kaggle)
    return plan.model if is_named else str(plan.inputs.model(plan.model))


def _engine(plan: RunPlan) -> Found:
    if not plan.is_vllm:
        return {"missing": tuple(name for name in _EMBEDDED_IMPORTS if plan.has_model and not is_installed(name))}
    wheelhouse = plan.inputs.wheelhouse()
    installed = find_installed(wheelhouse, plan.prefix) if wheelhouse is not None else None
    python = installed or _vllm_python(plan.vllm_python)
    needs_wheels = wheelhouse is not None and python is None
    return {"vllm_python": python, "wheels": read_wheels(wheelhouse) if needs_wheels and wheelhouse else None}


def _vllm_python(named: str) -> Path | None:
    try:
        return find_vllm_python(named)
    except EngineError:
        return None


def _problems(plan: RunPlan) -> Found:
    return {"problems": plan.inputs.problems(plan.competition.slug)}


def _clock(_: RunPlan) -> Found:
    return {"now_s": time.time(), "age_s": process_age_s()}


def process_age_s() -> float:
    """Seconds since this process started, by the kernel's own count, whatever the time of day was set to.

    Raises:
        LookupError: the kernel doesn't tell.
    """
    ticks = server_place.born(os.getpid())
    if not ticks:
        raise LookupError("/proc doesn't tell when this process started")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


LOOKS: Mapping[str, Look] = {
    "gpus": _gpus,
    "memory": _memory,
    "shared memory": _shared_memory,
    "disk": _disk,
    "package": _package,
    "sandbox": _sandbox,
    "model": _model,
    "engine": _engine,
    "problems": _problems,
    "clock": _clock,
}
"""By the names that `Machine.broken` has."""
