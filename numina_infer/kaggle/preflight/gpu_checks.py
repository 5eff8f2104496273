"""Rules of the preflight for GPUs and for the weights on them; a rule returns a check, or None where it doesn't apply.

CUDA's drivers are compatible within a major version (docs.nvidia.com, CUDA compatibility: 525 for CUDA 12, 580 for
CUDA 13); compute capabilities, data types and memory come from `models.fit`.
"""

from collections.abc import Mapping, Sequence

from numina_infer.core.errors import ConfigError
from numina_infer.engines.vllm.launch import lay_out, wanted_dtype
from numina_infer.kaggle.preflight.light import Check, Light, amber, green, red
from numina_infer.kaggle.preflight.machine import Machine, RunPlan
from numina_infer.kaggle.wheel_prefix import Version
from numina_infer.models.fit import LEAST_CAPABILITY, choose_dtype, require_supported
from numina_infer.models.gpus import Device
from numina_infer.models.weights import gib

PINNED_CUDA: Version = (12, 8)
"""Of vLLM 0.19.1's wheels, where no wheelhouse says otherwise."""
LEAST_DRIVER: Mapping[int, int] = {11: 450, 12: 525, 13: 580}
"""By the major version of CUDA: the least major version of a driver that runs it."""
_LEAST_SHARED_BYTES = 1024**3
"""Two workers of vLLM pass messages through rings of 160 to 240 MiB each way; an assumption with room to spare."""


def check_gpus(machine: Machine, plan: RunPlan) -> Check:
    """The GPUs by name: none, too old, too few, or others than the competition's."""
    name = "GPUs"
    if not plan.is_vllm:
        return green(name, f"not needed: engine {plan.engine}")
    if "gpus" in machine.broken:
        advice = "Start the session again; where it stays, without a GPU"
        return Check(name, Light.RED if plan.place.is_kaggle else Light.AMBER, machine.broken["gpus"], advice)
    if not machine.gpus:
        no_gpu = amber(name, "none: vLLM computes on the CPU", "Rehearse here, measure on Kaggle")
        return red(name, "none", _take(plan)) if plan.place.is_kaggle else no_gpu
    weakest = _weakest(machine.gpus)
    if weakest.compute_capability == (0, 0):
        return amber(name, f"{_list(machine.gpus)}; the driver doesn't tell what they compute", _take(plan))
    if _is_too_old(weakest):
        finding = (
            f"{_list(machine.gpus)}: compute capability {weakest.capability}, and vLLM has kernels for 7.0 and up"
        )
        return red(name, finding, _take(plan))
    return _compare(name, machine.gpus, plan)


def _take(plan: RunPlan) -> str:
    """The advice that gets the competition's own machine."""
    shape = plan.competition.machine_shape
    spoken = "«GPU T4 x2»" if shape == "NvidiaTeslaT4" else f"with {_list(plan.competition.devices)}"
    return (
        f"Choose the accelerator {spoken} in the session options, or {shape} as machine_shape: a push without one may "
        "get another GPU, or none"
    )


def _compare(name: str, gpus: Sequence[Device], plan: RunPlan) -> Check:
    """Compare the GPUs with those that the competition is scored on."""
    wanted = plan.competition.devices
    if not plan.place.is_kaggle:
        return green(name, _list(gpus))
    if {gpu.name for gpu in gpus} != {gpu.name for gpu in wanted}:
        advice = f"Times found here aren't those of the rerun; machine_shape {plan.competition.machine_shape} has them"
        return amber(name, f"{_list(gpus)}, where {plan.competition.name} has {_list(wanted)}", advice)
    if len(gpus) < len(wanted):
        finding = (
            f"{_list(gpus)}: {len(wanted) - len(gpus)} of {len(wanted)} is missing, and with it its memory and speed"
        )
        return amber(name, finding, f"{_take(plan)}; if CUDA_VISIBLE_DEVICES is set, let it name all of them")
    return green(name, _list(gpus))


def check_driver(machine: Machine, plan: RunPlan) -> Check | None:
    """The driver against the CUDA that comes with the wheels."""
    drivers = sorted({state.driver for state in machine.gpu_states})
    if not (plan.is_vllm and drivers):
        return None
    cuda = (machine.wheels.cuda if machine.wheels is not None else None) or PINNED_CUDA
    least, major = LEAST_DRIVER.get(cuda[0]), drivers[0].partition(".")[0]
    written = f"{cuda[0]}.{cuda[1]}"
    if least is None or not major.isdigit():
        return amber(
            "driver",
            f"{drivers[0]}; whether it runs CUDA {written} isn't known here",
            "Start vLLM here once before a submission depends on it",
        )
    if int(major) < least:
        finding = f"{drivers[0]} is too old for CUDA {written} of the wheels, which takes {least} or newer"
        runs = [str(cuda) for cuda, oldest in LEAST_DRIVER.items() if oldest <= int(major)] or ["of its time"]
        advice = f"Build the wheelhouse with a vLLM for CUDA {runs[-1]} (0.19.1, which is pinned, is for 12.8)"
        return red("driver", finding, f"{advice}, or take Kaggle's latest environment in the session options")
    return green("driver", f"{drivers[0]} runs CUDA {written}")


def check_weights(machine: Machine, plan: RunPlan) -> Check | None:
    """Quantisation and data type on these GPUs."""
    profile = machine.profile
    if not (plan.is_vllm and machine.gpus and profile) or _is_too_old(_weakest(machine.gpus)):
        return None
    device = _weakest(machine.gpus)
    try:
        require_supported(profile.weights, device)
    except ConfigError as error:
        return red("weights", str(error), "GPTQ and AWQ in 4 bits, or GPTQ in 8, run on every GPU from T4 on")
    try:
        dtype = choose_dtype(profile.weights, device, wanted_dtype(plan.server))
    except ConfigError as error:
        return red("weights", str(error), "Attach another family's weights: quantised or not, these need bfloat16")
    return green("weights", f"{profile.weights.kind}, saved in {profile.weights.dtype}, computed in {dtype}")


def check_gpu_memory(machine: Machine, plan: RunPlan) -> Check | None:
    """Free memory against what vLLM takes, and that against the model's arithmetic."""
    devices = machine.gpus or ((machine.cpu,) if machine.cpu else ())
    if not (plan.is_vllm and devices and machine.profile) or _is_too_old(_weakest(devices)):
        return None
    if taken := _taken(machine, plan):
        return taken
    try:
        fit = lay_out(machine.profile, plan.server, devices)
    except ConfigError as error:
        return _no_fit(str(error), machine, plan)
    warnings = machine.profile.warnings(fit.layout)
    finding = f"{fit.layout}, {fit.kv_tokens:,} tokens of KV, {fit.full_samples:.1f} full-length samples"
    return Check("model's memory", Light.AMBER if warnings else Light.GREEN, finding, " ".join(warnings))


def _taken(machine: Machine, plan: RunPlan) -> Check | None:
    """A check where another program holds the memory: vLLM takes its share of the whole, or doesn't start."""
    for gpu, state in zip(machine.gpus, machine.gpu_states, strict=False):
        needed = gpu.memory_bytes * plan.server.gpu_memory_utilization
        if state.free_bytes is not None and state.free_bytes < needed:
            finding = f"{gib(state.free_bytes)} of a {gpu.name} are free, and vLLM takes {gib(needed)}"
            advice = "End what holds it (nvidia-smi names it; `numina-infer serve --stop` for servers of ours)"
            return red("model's memory", finding, advice)
    return None


def _no_fit(reason: str, machine: Machine, plan: RunPlan) -> Check | None:
    """The model doesn't fit; None where `check_weights` says already that these GPUs can't compute it."""
    check = check_weights(machine, plan)
    if check is not None and check.light is Light.RED:
        return None
    has_few = len(machine.gpus) < len(plan.competition.devices) and plan.place.is_kaggle
    advice = "Get all GPUs of the competition's machine, or" if has_few else "Take"
    return red("model's memory", reason, f"{advice} weights of fewer bits, or a shorter max_model_len")


def check_shared_memory(machine: Machine, plan: RunPlan) -> Check | None:
    """Room in /dev/shm, through which the workers of a split model exchange messages."""
    name, free = "shared memory", machine.shared_memory_bytes
    if not (plan.is_vllm and len(machine.gpus) > 1):
        return None
    if free is not None and free >= _LEAST_SHARED_BYTES:
        return green(name, f"{gib(free)} in /dev/shm")
    finding = machine.broken.get(name, "not known") if free is None else f"{gib(free)} in /dev/shm, little for two"
    return amber(name, finding, "If vLLM dies with SIGBUS, take layout replicas, which needs none of it")


def _weakest(devices: Sequence[Device]) -> Device:
    return min(devices, key=lambda device: device.compute_capability or (99, 0))


def _is_too_old(device: Device) -> bool:
    return device.is_gpu and (0, 0) < (device.compute_capability or (0, 0)) < LEAST_CAPABILITY


def _list(gpus: Sequence[Device]) -> str:
    """As people say it: 2 × T4."""
    names = [gpu.name for gpu in gpus]
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
