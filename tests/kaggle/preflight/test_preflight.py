"""What a preflight says of faked machines; each trouble has its own words and its own advice."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from numina_infer.app.choices import EngineName
from numina_infer.competitions.known import get_competition
from numina_infer.core.config import Rung
from numina_infer.core.engine_config import ServerConfig
from numina_infer.kaggle.place import Place
from numina_infer.kaggle.preflight.light import Check, Light, Preflight
from numina_infer.kaggle.preflight.machine import LOOKS, DiskSpace, Machine, Package, RunPlan
from numina_infer.kaggle.preflight.preflight import RULES, judge
from numina_infer.kaggle.wheel_prefix import Wheels
from numina_infer.models.gpus import KNOWN_GPUS, T4, Device, GpuState
from numina_infer.models.profiles import PROFILES
from numina_infer.models.weights import GIB, Weights

P100 = KNOWN_GPUS["P100"]
GPTQ = PROFILES["numina-7b-gptq"]
assert GPTQ.weights.quantisation is not None
PACKED = GPTQ.weights.quantisation
SPLITTABLE = replace(GPTQ, weights=replace(GPTQ.weights, quantisation=replace(PACKED, desc_act=False)))
COMMIT = RunPlan(get_competition("aimo-3"), Place.COMMIT, EngineName.VLLM)
ON_T4S = replace(COMMIT, competition=replace(COMMIT.competition, gpu="T4", num_gpus=2, machine_shape="NvidiaTeslaT4"))
LAPTOP = RunPlan(get_competition("aimo-1"), Place.LAPTOP)


def states(num_gpus: int = 2, driver: str = "550.90.07", free: float = 14.6) -> tuple[GpuState, ...]:
    """GPUs that nobody uses."""
    return (GpuState(driver, int(free * GIB)),) * num_gpus


def wheelhouse(**changes: Any) -> Wheels:
    """One of the pinned vLLM."""
    versions = {"vllm": "0.19.1", "torch": "2.10.0", "nvidia-cuda-runtime-cu12": "12.8.90"}
    pinned = Wheels(tuple(versions), versions, frozenset({(3, 12)}), 9 * GIB)
    return replace(pinned, **changes)


T4X2 = Machine(
    python=(3, 12),
    gpus=(T4, T4),
    gpu_states=states(),
    cpu=Device("CPU", 29 * GIB),
    free_memory_bytes=27 * GIB,
    shared_memory_bytes=14 * GIB,
    prefix=DiskSpace(Path("/kaggle/tmp/vllm"), 60 * GIB),
    output=DiskSpace(Path("/kaggle/working"), 19 * GIB),
    package=Package(Path("/kaggle/input/competition/kaggle_evaluation")),
    rung=Rung.UID,
    profile=SPLITTABLE,
    wheels=wheelhouse(),
    problems=Path("/kaggle/input/competition/test.csv"),
    now_s=1_790_000_000.0,
    age_s=8.0,
)
"""As Kaggle's is meant to be."""


def found(machine: Machine, name: str, plan: RunPlan = ON_T4S) -> Check:
    """The check called `name`."""
    return next(check for check in judge(machine, plan) if check.name == name)


def reds(machine: Machine, plan: RunPlan = ON_T4S) -> set[str]:
    """The names of the checks that are red."""
    return {check.name for check in judge(machine, plan) if check.light is Light.RED}


def test_two_t4s_with_everything_attached_are_green() -> None:
    """And nothing is to be done."""
    done = Preflight(judge(T4X2, ON_T4S))
    assert done.worst is Light.GREEN, done.lines()
    assert not any(check.advice for check in done.checks)


TROUBLES: Mapping[str, tuple[Machine, str, Light, str, str]] = {
    "a P100": (
        replace(T4X2, gpus=(P100,), gpu_states=states(1)),
        "GPUs",
        Light.RED,
        "capability 6.0",
        "NvidiaTeslaT4",
    ),
    "one T4": (replace(T4X2, gpus=(T4,), gpu_states=states(1)), "GPUs", Light.AMBER, "1 of 2 is missing", "GPU T4 x2"),
    "none": (replace(T4X2, gpus=(), gpu_states=()), "GPUs", Light.RED, "none", "accelerator"),
    "other GPUs": (
        replace(T4X2, gpus=(KNOWN_GPUS["L4"],) * 4, gpu_states=states(4, free=22)),
        "GPUs",
        Light.AMBER,
        "4 × L4, where aimo-3 has 2 × T4",
        "Times",
    ),
    "a broken driver": (
        replace(T4X2, gpus=(), gpu_states=(), broken={"gpus": "nvidia-smi ended with 9: it has failed"}),
        "GPUs",
        Light.RED,
        "ended with 9",
        "Start the session again",
    ),
    "no capability told": (
        replace(T4X2, gpus=(replace(T4, compute_capability=(0, 0)),) * 2),
        "GPUs",
        Light.AMBER,
        "doesn't tell",
        "",
    ),
    "a driver of CUDA 11": (
        replace(T4X2, gpu_states=states(driver="470.161.03")),
        "driver",
        Light.RED,
        "470.161.03 is too old for CUDA 12.8 of the wheels, which takes 525",
        "vLLM for CUDA 11",
    ),
    "wheels of CUDA 13": (
        replace(T4X2, wheels=wheelhouse(versions={"vllm": "0.33.0", "nvidia-cuda-runtime": "13.0.96"}, locked=())),
        "driver",
        Light.RED,
        "550.90.07 is too old for CUDA 13.0 of the wheels, which takes 580",
        "0.19.1, which is pinned",
    ),
    "bf16-only weights": (
        replace(
            T4X2,
            profile=replace(GPTQ, weights=Weights.computed(replace(GPTQ.weights.architecture, model_type="gemma2"))),
        ),
        "weights",
        Light.RED,
        "break in float16",
        "bfloat16",
    ),
    "unknown bits": (
        replace(
            T4X2,
            profile=replace(GPTQ, weights=replace(GPTQ.weights, quantisation=replace(PACKED, bits=5))),
        ),
        "weights",
        Light.RED,
        "5 bits",
        "GPTQ and AWQ",
    ),
    "memory that is taken": (
        replace(T4X2, gpu_states=states(free=3)),
        "model's memory",
        Light.RED,
        "3.00 GiB of a T4 are free",
        "nvidia-smi",
    ),
    "act-order over two GPUs": (
        replace(T4X2, profile=GPTQ),
        "model's memory",
        Light.AMBER,
        "tensor parallel",
        "desc_act",
    ),
    "16 bits on one T4": (
        replace(T4X2, gpus=(T4,), gpu_states=states(1), profile=PROFILES["numina-7b"]),
        "model's memory",
        Light.RED,
        "doesn't fit (one replica: the weights don't fit: 14.74 GiB",
        "all GPUs of the competition's machine",
    ),
    "little shared memory": (
        replace(T4X2, shared_memory_bytes=64 * 1024**2),
        "shared memory",
        Light.AMBER,
        "0.06 GiB",
        "replicas",
    ),
    "little disk": (
        replace(T4X2, prefix=DiskSpace(Path("/kaggle/tmp/vllm"), 5 * GIB)),
        "disk",
        Light.RED,
        "5.00 GiB free for /kaggle/tmp/vllm, 9.90 GiB",
        "another disk",
    ),
    "a closed prefix": (
        replace(T4X2, prefix=DiskSpace(Path("/opt/vllm"), 60 * GIB, is_writable=False)),
        "disk",
        Light.RED,
        "can't be made",
        "prefix",
    ),
    "a closed output": (
        replace(T4X2, output=DiskSpace(Path("/"), GIB, is_writable=False)),
        "output",
        Light.RED,
        "can't be written",
        "folder",
    ),
    "a full output": (
        replace(T4X2, output=DiskSpace(Path("/w"), GIB // 20)),
        "output",
        Light.RED,
        "0.05 GiB",
        "Free some",
    ),
    "a filling output": (
        replace(T4X2, output=DiskSpace(Path("/w"), GIB // 2)),
        "output",
        Light.AMBER,
        "0.50 GiB",
        "Free some",
    ),
    "little memory": (replace(T4X2, free_memory_bytes=4 * GIB), "memory", Light.AMBER, "4.00 GiB", "slots"),
    "no gateway package": (
        replace(T4X2, package=Package()),
        "gateway package",
        Light.RED,
        "isn't here",
        "competition_sources",
    ),
    "a gateway package without grpc": (
        replace(T4X2, package=Package(Path("p"), missing=("grpc",))),
        "gateway package",
        Light.RED,
        "needs grpc",
        "latest environment",
    ),
    "wrong Python for 2024's module": (
        replace(T4X2, package=Package(Path("aimo"), frozenset({(3, 10)}))),
        "gateway package",
        Light.RED,
        "is a binary for Python 3.10, and this is 3.12",
        "rehearse --api aimo",
    ),
    "wheels for another Python": (
        replace(T4X2, python=(3, 11)),
        "engine",
        Light.RED,
        "for Python 3.12, and this is 3.11",
        "Build it",
    ),
    "wheels that are missing": (
        replace(T4X2, wheels=wheelhouse(locked=("vllm", "triton"))),
        "engine",
        Light.RED,
        "lacks 1 wheels of its lock, triton",
        "Upload",
    ),
    "no wheelhouse": (replace(T4X2, wheels=None), "engine", Light.RED, "no wheelhouse", "kaggle wheelhouse"),
    "two wheelhouses": (
        replace(T4X2, wheels=None, broken={"engine": "2 wheelhouses are attached"}),
        "engine",
        Light.RED,
        "2 wheelhouses",
        "kaggle wheelhouse",
    ),
    "no model": (
        replace(T4X2, profile=None, broken={"model": "no model is attached"}),
        "model",
        Light.RED,
        "no model is attached",
        "Attach",
    ),
    "a sandbox that only limits": (
        replace(T4X2, rung=Rung.LIMITS, refused={Rung.SECCOMP: "no filter"}),
        "sandbox",
        Light.RED,
        "seccomp: no filter",
        "allow_limits_only",
    ),
    "no sandbox": (
        replace(T4X2, rung=None, broken={"sandbox": "the zygote died"}),
        "sandbox",
        Light.RED,
        "the zygote died",
        "sandbox check",
    ),
    "no problems": (replace(T4X2, problems=None), "problems", Light.AMBER, "no test.csv", "competition_sources"),
    "a late start": (replace(T4X2, age_s=500.0), "clock", Light.AMBER, "500 s since the start", "Serve first"),
    "too late a start": (replace(T4X2, age_s=901.0), "clock", Light.RED, "within 900", "Serve first"),
    "a clock that was never set": (replace(T4X2, now_s=12.0), "clock", Light.AMBER, "time of day is wrong", ""),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_has_its_own_light_words_and_advice(trouble: str) -> None:
    """On the check that it belongs to."""
    machine, name, light, finding, advice = TROUBLES[trouble]
    check = found(machine, name)
    assert check.light is light
    assert finding in check.finding
    assert advice in check.advice
    assert check.advice


@pytest.mark.parametrize("trouble", [trouble for trouble, row in TROUBLES.items() if row[2] is Light.RED])
def test_one_trouble_makes_one_check_red(trouble: str) -> None:
    """What follows from it isn't blamed as well."""
    machine, name, *_ = TROUBLES[trouble]
    assert reds(machine) == {name}


def test_four_troubles_with_gpus_are_told_apart() -> None:
    """A missing second GPU, a P100, weights for bfloat16 alone, and an old driver."""
    names = ("one T4", "a P100", "bf16-only weights", "a driver of CUDA 11")
    checks = [found(*TROUBLES[name][:2]) for name in names]
    assert len({check.finding for check in checks}) == 4
    assert len({check.advice for check in checks}) == 4


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_that_broke_is_a_finding(look: str) -> None:
    """Nothing raises, nothing stays green that wasn't seen, and the reason is said."""
    blank = Machine(broken={look: "this look broke: OSError: gone"})
    unseen: Mapping[str, Any] = {
        "gpus": {"gpus": (), "gpu_states": ()},
        "memory": {"free_memory_bytes": None, "cpu": None},
        "shared memory": {"shared_memory_bytes": None},
        "disk": {"prefix": None, "output": None},
        "package": {"package": Package()},
        "sandbox": {"rung": None},
        "model": {"profile": None},
        "engine": {"wheels": None},
        "problems": {"problems": None},
        "clock": {"now_s": 0.0},
    }
    checks = judge(replace(T4X2, broken=blank.broken, **unseen[look]), ON_T4S)
    said = [check for check in checks if "OSError: gone" in check.finding]
    assert said
    assert all(check.light is not Light.GREEN for check in said)
    assert judge(replace(blank, broken=dict.fromkeys(LOOKS, "gone")), ON_T4S)


def test_whoever_rehearses_with_the_embedded_model_sees_no_red() -> None:
    """Without GPU, wheels, package and problems; only the model is fetched first."""
    bare = Machine(
        python=(3, 11),
        cpu=Device("CPU", 8 * GIB),
        free_memory_bytes=6 * GIB,
        rung=Rung.SECCOMP,
        output=DiskSpace(Path(), 30 * GIB),
        now_s=1_790_000_000.0,
        age_s=5000.0,
    )
    done = Preflight(judge(bare, LAPTOP))
    assert done.worst is Light.GREEN, done.lines()
    assert "not needed" in found(bare, "gateway package", LAPTOP).finding
    assert "93 MB" in found(bare, "model", LAPTOP).finding


def test_what_a_model_in_this_process_needs_is_named() -> None:
    """With the command that installs it."""
    check = found(replace(T4X2, missing=("torch",)), "engine", LAPTOP)
    assert check.light is Light.RED
    assert "torch" in check.finding
    assert "numina-infer[transformers]" in check.advice


def test_vllm_on_a_laptop_computes_on_its_cpu() -> None:
    """Amber, and the memory is the machine's."""
    plan = replace(LAPTOP, engine=EngineName.VLLM, model="numina-7b-gptq", server=ServerConfig(max_model_len=2048))
    machine = replace(T4X2, gpus=(), gpu_states=(), wheels=None, vllm_python=Path("/opt/vllm/bin/python"))
    assert found(machine, "GPUs", plan).light is Light.AMBER
    assert found(machine, "model's memory", plan).light is Light.GREEN
    assert reds(machine, plan) == set()
    assert "make vllm" in found(replace(machine, vllm_python=None), "engine", plan).advice


def test_limits_that_were_allowed_are_amber() -> None:
    """Whoever asked for them knows."""
    machine = replace(T4X2, rung=Rung.LIMITS)
    assert found(machine, "sandbox", replace(ON_T4S, lowest_rung=Rung.LIMITS)).light is Light.AMBER


def test_an_editor_that_was_open_for_hours_is_not_late() -> None:
    """Nor is the 2024 API, which waits for nobody's start."""
    old = replace(T4X2, age_s=7200.0)
    assert found(old, "clock", replace(ON_T4S, place=Place.INTERACTIVE)).light is Light.GREEN
    assert found(old, "clock", replace(ON_T4S, competition=get_competition("aimo-1"))).light is Light.GREEN


def test_the_other_competitions_machines_are_asked_for_by_name() -> None:
    """An H100's advice isn't a T4's."""
    check = found(replace(T4X2, gpus=(), gpu_states=()), "GPUs", COMMIT)
    assert "NvidiaH100" in check.advice
    assert "T4" not in check.advice


def test_the_same_in_lines_and_json() -> None:
    """The worst comes first in lines; all of them are in each."""
    machine = replace(T4X2, problems=None, package=Package())
    done = Preflight(judge(machine, ON_T4S))
    assert done.worst is Light.RED
    assert [check.name for check in done.of(Light.RED)] == ["gateway package"]
    assert done.lines()[0].startswith("red    gateway package: ")
    assert done.lines()[1].startswith("amber  problems: ")
    assert len(done.checks) == len(done.lines()) <= len(RULES)
    as_dict = done.as_dict()
    assert as_dict["worst"] == "red"
    assert {"name", "light", "finding", "advice"} == set(as_dict["checks"][0])
    assert Preflight(()).worst is Light.GREEN
