"""Looks at a machine: this one for real, GPUs through a stand-in for nvidia-smi, inputs in made-up folders."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from numina_infer.app.choices import EngineName
from numina_infer.competitions.known import get_competition
from numina_infer.core.config import LADDER
from numina_infer.kaggle.place import Inputs, Place
from numina_infer.kaggle.preflight import machine
from numina_infer.kaggle.preflight.light import Light
from numina_infer.kaggle.preflight.machine import LOOKS, Found, Package, RunPlan, find_package, look, process_age_s
from numina_infer.kaggle.preflight.preflight import judge, preflight
from numina_infer.kaggle.wheel_prefix import install_vllm
from numina_infer.models.gpus import T4, GpuState, look_at_gpus
from tests.kaggle.wheel_maker import make_wheel, write_lock

AIMO_3 = get_competition("aimo-3")
SMI = """#!/bin/sh
case "$1" in
*name*) echo '0, GPU-aa, Tesla T4, 15360, 258, 7.5'; echo '1, GPU-bb, Tesla T4, 15360, 258, 7.5' ;;
*) echo '0, GPU-aa, 550.90.07, 14910'; echo '1, GPU-bb, 550.90.07, 0' ;;
esac
"""


def put_smi(folder: Path, script: str) -> None:
    """A stand-in for nvidia-smi."""
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(script)
    (folder / "nvidia-smi").chmod(0o755)


def look_at(plan: RunPlan, *names: str) -> machine.Machine:
    """Only some looks."""
    return look(plan, {name: LOOKS[name] for name in names})


def test_a_real_look_at_this_machine_breaks_nowhere(tmp_path: Path) -> None:
    """Every look ends, and what any machine has is found."""
    plan = RunPlan(
        AIMO_3, Place.LAPTOP, output=tmp_path, prefix=tmp_path / "a" / "b", inputs=Inputs(tmp_path / "none")
    )
    seen = look(plan)
    assert seen.broken == {}
    assert seen.rung in LADDER
    assert seen.cpu is not None
    assert 0 < (seen.free_memory_bytes or 0) <= seen.cpu.memory_bytes
    assert seen.output is not None
    assert seen.output.is_writable
    assert seen.prefix is not None
    assert seen.prefix.free_bytes > 0
    assert seen.python == sys.version_info[:2]
    assert not {check.name for check in judge(seen, plan) if check.light is Light.RED} - {"engine", "sandbox"}


def test_a_preflight_runs_beside_a_running_event_loop(tmp_path: Path) -> None:
    """As in a notebook, whose thread has one; by a process of its own, since it is the whole of it."""
    code = (
        "import asyncio\n"
        "from numina_infer.competitions.known import get_competition\n"
        "from numina_infer.kaggle.place import Place\n"
        "from numina_infer.kaggle.preflight.machine import RunPlan\n"
        "from numina_infer.kaggle.preflight.preflight import preflight\n"
        "async def cell():\n"
        "    done = preflight(RunPlan(get_competition('aimo-3'), Place.LAPTOP))\n"
        "    print(next(check.finding for check in done.checks if check.name == 'sandbox'))\n"
        "asyncio.run(cell())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "rung" in done.stdout


def test_gpus_driver_and_free_memory_are_what_nvidia_smi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of CUDA_VISIBLE_DEVICES; a full GPU has nothing free."""
    put_smi(tmp_path, SMI)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = look_at(RunPlan(AIMO_3, Place.COMMIT), "gpus")
    assert [gpu.name for gpu in seen.gpus] == [T4.name, T4.name]
    assert seen.gpu_states == (GpuState("550.90.07", 14910 * 1024**2), GpuState("550.90.07", 0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert look_at(RunPlan(AIMO_3, Place.COMMIT), "gpus").gpu_states == (GpuState("550.90.07", 0),)


def test_a_driver_that_tells_nothing_of_memory_is_not_full(tmp_path: Path) -> None:
    """Some say [N/A]."""
    put_smi(tmp_path, "#!/bin/sh\necho '0, GPU-aa, 550.90.07, [N/A]'\n")
    assert look_at_gpus({"PATH": str(tmp_path)}) == (GpuState("550.90.07", None),)
    assert look_at_gpus({"PATH": str(tmp_path / "nowhere")}) == ()


def test_an_nvidia_smi_that_fails_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its exit code and its first line."""
    put_smi(tmp_path, "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    seen = look_at(RunPlan(AIMO_3, Place.COMMIT), "gpus")
    assert seen.gpus == ()
    assert seen.broken == {"gpus": "nvidia-smi ended with 9: NVIDIA-SMI has failed"}


def test_a_look_that_breaks_or_hangs_takes_no_other_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the others found stays."""
    monkeypatch.setattr(machine, "_PATIENCE_S", 0.2)
    never = Event()

    def breaks(_: RunPlan) -> Found:
        raise OSError("gone")

    def hangs(_: RunPlan) -> Found:
        never.wait()
        return {}

    looks: Mapping[str, machine.Look] = {"disk": breaks, "sandbox": hangs, "clock": LOOKS["clock"]}
    seen = look(RunPlan(AIMO_3, Place.LAPTOP), looks)
    never.set()
    assert seen.broken == {
        "disk": "this look broke: OSError: gone",
        "sandbox": "this look did not come to its end",
    }
    assert seen.now_s > 0
    assert seen.age_s > 0


def test_the_age_of_a_process_is_counted_from_its_start() -> None:
    """Not from when it was first asked for, and not by the time of day."""
    first = process_age_s()
    assert 0 < first < process_age_s()
    code = "from numina_infer.kaggle.preflight.machine import process_age_s; print(process_age_s())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < process_age_s()


@pytest.fixture
def attached(tmp_path: Path, tiny_model: Path) -> Inputs:
    """The competition with its package, a model and a wheelhouse, in the newer layout."""
    root = tmp_path / "input"
    competition = root / "competitions" / AIMO_3.slug
    (competition / "kaggle_evaluation").mkdir(parents=True)
    (competition / "kaggle_evaluation" / "aimo_3_inference_server.py").touch()
    (competition / "test.csv").write_text("id,problem\n")
    (root / "models" / "someone" / "tiny" / "transformers" / "default").mkdir(parents=True)
    (root / "models" / "someone" / "tiny" / "transformers" / "default" / "1").symlink_to(tiny_model)
    wheels = root / "datasets" / "someone" / "wheels"
    make_wheel(wheels, "vllm", "0.19.1", tag="py3-none-any")
    make_wheel(wheels, "nvidia_cuda_runtime_cu12", "12.8.90")
    write_lock(wheels)
    return Inputs(root)


def test_all_that_is_attached_is_found(attached: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, wheels, package and problems; once vLLM is installed the wheels don't count."""
    monkeypatch.setattr("numina_infer.engines.vllm.launch._BUILT", Path("nowhere"))  # a checkout may have one
    plan = RunPlan(AIMO_3, Place.COMMIT, EngineName.VLLM, inputs=attached, prefix=tmp_path / "prefix")
    seen = look_at(plan, "model", "engine", "package", "problems")
    assert seen.broken == {}
    assert seen.profile is not None
    assert seen.vllm_python is None
    assert seen.wheels is not None
    assert seen.wheels.versions["vllm"] == "0.19.1"
    assert seen.wheels.cuda == (12, 8)
    assert seen.package.path == attached.root / "competitions" / AIMO_3.slug / "kaggle_evaluation"
    assert seen.package.missing == ()
    assert seen.problems is not None
    wheelhouse = attached.wheelhouse()
    assert wheelhouse is not None
    python = install_vllm(wheelhouse, plan.prefix, lambda _: None)
    assert look_at(plan, "engine").vllm_python == python
    assert look_at(plan, "engine").wheels is None


def test_a_model_is_named_by_part_of_its_path_or_by_its_folder(attached: Inputs, tiny_model: Path) -> None:
    """One that isn't attached is a finding that lists those that are."""
    plan = RunPlan(AIMO_3, Place.COMMIT, EngineName.VLLM, inputs=attached)
    assert look_at(replace(plan, model="Tiny"), "model").profile is not None
    assert look_at(replace(plan, model=str(tiny_model)), "model").profile is not None
    assert "someone/tiny" in look_at(replace(plan, model="llama"), "model").broken["model"]
    on_laptop = replace(plan, place=Place.LAPTOP, model="numina-7b-gptq")
    assert look_at(on_laptop, "model").profile is not None


def test_the_2024_modules_python_is_read_from_its_name(tmp_path: Path) -> None:
    """In a folder of its own or without one; nothing of it is imported."""
    aimo = get_competition("aimo-1")
    folder = tmp_path / aimo.slug
    (folder / "aimo").mkdir(parents=True)
    (folder / "aimo" / "__init__.py").write_text("raise SystemExit")
    (folder / "aimo" / "competition.cpython-310-x86_64-linux-gnu.so").touch()
    found = find_package(aimo, Inputs(tmp_path))
    assert found.path == folder / "aimo"
    assert found.built_for == {(3, 10)}
    bare = tmp_path / "bare" / aimo.slug
    bare.mkdir(parents=True)
    (bare / "aimo.cpython-310-x86_64-linux-gnu.so").touch()
    assert find_package(aimo, Inputs(tmp_path / "bare")).built_for == {(3, 10)}


def test_a_package_without_the_competitions_module_is_another_competitions(tmp_path: Path) -> None:
    """The folder of another competition has the same name."""
    (tmp_path / AIMO_3.slug / "kaggle_evaluation").mkdir(parents=True)
    assert find_package(AIMO_3, Inputs(tmp_path)) == Package()
    assert find_package(AIMO_3, Inputs(tmp_path / "none")).path is None


def test_a_preflight_of_a_folder_that_is_no_model_says_so(tmp_path: Path) -> None:
    """And raises nothing."""
    (tmp_path / "config.json").write_text("[]")
    plan = RunPlan(AIMO_3, Place.LAPTOP, EngineName.VLLM, model=str(tmp_path), inputs=Inputs(tmp_path / "none"))
    check = next(check for check in preflight(plan).checks if check.name == "model")
    assert check.light is Light.RED
    assert "config.json" in check.finding
