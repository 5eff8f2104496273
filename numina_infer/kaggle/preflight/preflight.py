"""The preflight: before a run starts, it checks that the machine has everything the run will need.

A competitor has one or two submissions a day and can't look inside a rerun, so a fault that would end it after half
an hour must be reported in the first seconds, and before the push. A run of 2026 was scored zero on a GPU that nobody
had asked for, with a valid submission of guesses; the GPU's name would have shown it (docs/kaggle.md).

`machine` looks; the rules here judge, as pure functions of machine and plan.
"""

from collections.abc import Callable

from numina_infer.app.choices import EMBEDDED_MODEL
from numina_infer.competitions.known import Api
from numina_infer.core.config import LADDER, Rung
from numina_infer.kaggle.place import Place
from numina_infer.kaggle.preflight import gpu_checks
from numina_infer.kaggle.preflight.light import Check, Light, Preflight, amber, green, red
from numina_infer.kaggle.preflight.machine import Machine, RunPlan, look
from numina_infer.kaggle.wheel_prefix import Version, Wheels
from numina_infer.models.weights import GIB, gib

Rule = Callable[[Machine, RunPlan], Check | None]
"""Returns None where it doesn't apply."""

_UNPACKED_FACTOR = 1.1
"""Of the wheels' contents: blocks are rounded up, and modules are compiled when they are imported."""
_OUTPUT_BYTES = (GIB // 10, GIB)
"""Free for the output: red below the first, amber below the second."""
_MEMORY_BYTES = {True: 10 * GIB, False: 2 * GIB}
"""Needed by vLLM, two workers of 3.5 GB, two more processes and programs; and by the embedded model."""
_LEAST_NOW_S = 1_767_225_600.0
"""The start of 2026: no clock that is right shows less."""


def preflight(plan: RunPlan) -> Preflight:
    """Look at this machine and judge it; takes a few seconds and never raises for what it finds."""
    return Preflight(judge(look(plan), plan))


def judge(machine: Machine, plan: RunPlan) -> tuple[Check, ...]:
    """All checks of `machine` for `plan`."""
    return tuple(check for rule in RULES if (check := rule(machine, plan)) is not None)


def _check_model(machine: Machine, plan: RunPlan) -> Check:
    name = "model"
    if not plan.has_model:
        return green(name, f"not needed: engine {plan.engine}")
    if "model" in machine.broken:
        light = Light.RED if plan.place.is_kaggle or plan.model else Light.AMBER
        return Check(name, light, machine.broken["model"], "Attach a model as an input, or name the one you mean")
    profile = machine.profile
    if plan.is_embedded and profile is None:
        finding = f"{EMBEDDED_MODEL}, a wheel of 93 MB that is fetched when it is first used"
        if plan.place.is_kaggle:
            return amber(name, finding, "Turn the internet on, or attach a model")
        return green(name, finding)
    if profile is None:
        return amber(name, "nothing is known of it", "Name a folder with a config.json")
    base = f"; a fine-tune of {profile.base}" if profile.base else ""
    return green(name, f"{profile.model}: {profile.weights.kind}, format {profile.format}{base}")


def _check_engine(machine: Machine, plan: RunPlan) -> Check:
    name = "engine"
    if "engine" in machine.broken:
        return red(name, machine.broken["engine"], _bring_vllm(plan) if plan.is_vllm else "")
    if machine.missing:
        advice = "Install them: pip install 'numina-infer[transformers]'"
        return red(name, f"{plan.engine} needs {', '.join(machine.missing)}, not installed here", advice)
    if not plan.is_vllm:
        return green(name, str(plan.engine))
    if machine.vllm_python is not None:
        return green(name, f"vLLM of {machine.vllm_python}")
    if machine.wheels is None:
        return red(name, "no vLLM is installed, and no wheelhouse with vLLM is attached", _bring_vllm(plan))
    return _check_wheels(name, machine.wheels, machine.python, plan)


def _check_wheels(name: str, wheels: Wheels, python: Version, plan: RunPlan) -> Check:
    if wheels.missing:
        finding = (
            f"the wheelhouse lacks {len(wheels.missing)} wheels of its lock, {', '.join(wheels.missing[:3])} first"
        )
        return red(name, finding, "Upload the whole folder again")
    if wheels.pythons and python not in wheels.pythons:
        built = ", ".join(_write(each) for each in sorted(wheels.pythons))
        finding = f"the wheelhouse is for Python {built}, and this is {_write(python)}"
        return red(name, finding, f"Build it for {_write(python)}, or take the environment it was built for")
    version = wheels.versions.get("vllm", "")
    return green(name, f"vLLM {version}, {len(wheels.versions)} wheels, to be installed into {plan.prefix}")


def _bring_vllm(plan: RunPlan) -> str:
    if plan.place.is_kaggle:
        return "Attach the data set that `numina-infer kaggle wheelhouse` made"
    return "`make vllm` builds an environment for it; --vllm-python names another"


def _check_disk(machine: Machine, plan: RunPlan) -> Check | None:
    """Room for the wheels that must be unpacked."""
    if machine.wheels is None or not plan.is_vllm:
        return None
    if machine.prefix is None:
        return _unknown("disk", machine.broken.get("disk"), "Look at `df` before the install")
    needed, room = machine.wheels.unpacked_bytes * _UNPACKED_FACTOR, machine.prefix
    if not room.is_writable:
        return red("disk", f"{room.folder} can't be made here", "Name a prefix on a disk of your own")
    finding = f"{gib(room.free_bytes)} free for {room.folder}, {gib(needed)} needed"
    if room.free_bytes < needed:
        return red("disk", finding, "Free some, or name a prefix on another disk, such as /tmp")
    return green("disk", finding)


def _check_output(machine: Machine, plan: RunPlan) -> Check:
    room = machine.output
    if room is None:
        return _unknown("output", machine.broken.get("disk"), "See that the submission can be written")
    least, good = _OUTPUT_BYTES
    if not room.is_writable:
        return red("output", f"{plan.output} can't be written", "Name a folder of your own")
    finding = f"{gib(room.free_bytes)} free in {room.folder}"
    if room.free_bytes < good:
        light = Light.RED if room.free_bytes < least else Light.AMBER
        return Check("output", light, finding, "Free some: the run log and the submission go there")
    return green("output", finding)


def _check_memory(machine: Machine, plan: RunPlan) -> Check:
    free, wanted = machine.free_memory_bytes, _MEMORY_BYTES[plan.is_vllm]
    if free is None:
        return _unknown("memory", machine.broken.get("memory"), "See that programs and servers find room")
    if free < wanted:
        advice = "End other programs, or take fewer sandbox slots"
        return amber("memory", f"{gib(free)} free, {gib(wanted)} is comfortable", advice)
    return green("memory", f"{gib(free)} free")


def _check_package(machine: Machine, plan: RunPlan) -> Check:
    name, package, wanted = "gateway package", machine.package, plan.competition.package
    if not plan.place.is_kaggle:
        return green(name, f"{wanted} is not needed here: the mock takes its place")
    if "package" in machine.broken:
        return red(name, machine.broken["package"], _ATTACH)
    if package.path is None:
        return red(name, f"{wanted} isn't here, and nothing can be submitted without", _ATTACH)
    if package.built_for and machine.python not in package.built_for:
        built = ", ".join(_write(each) for each in sorted(package.built_for))
        finding = f"{wanted} is a binary for Python {built}, and this is {_write(machine.python)}"
        return red(name, finding, _OTHER_PYTHON)
    if package.missing:
        advice = "Install them from wheels, or take Kaggle's latest environment, which has them"
        return red(name, f"{wanted} needs {', '.join(package.missing)}, not found here", advice)
    return green(name, str(package.path))


_ATTACH = "Add the competition as an input of the notebook (competition_sources in kernel-metadata.json)"
_OTHER_PYTHON = (
    "numina_infer needs 3.11 or newer, so the two can't share an interpreter: rehearse with the mock "
    "(numina-infer rehearse --api aimo), or submit to a competition of 2025 or later"
)


def _check_sandbox(machine: Machine, plan: RunPlan) -> Check:
    if machine.rung is None:
        return red("sandbox", machine.broken.get("sandbox", "not looked at"), _LOWER_RUNG)
    if LADDER.index(machine.rung) > LADDER.index(plan.lowest_rung):
        reasons = "; ".join(f"{rung}: {reason}" for rung, reason in machine.refused.items())
        finding = f"only rung {machine.rung} holds programs back, and {plan.lowest_rung} is asked for ({reasons})"
        return red("sandbox", finding, _LOWER_RUNG)
    if machine.rung is Rung.LIMITS:
        return amber("sandbox", "rung limits, as was allowed: programs may do what you may", _LOWER_RUNG)
    return green("sandbox", f"rung {machine.rung}")


_LOWER_RUNG = (
    "`numina-infer sandbox check` tells what fails; where there is nothing to lose, allow_limits_only runs "
    "programs all the same"
)


def _check_problems(machine: Machine, plan: RunPlan) -> Check:
    if machine.problems is not None:
        return green("problems", str(machine.problems))
    if not plan.place.is_kaggle:
        return green("problems", "not attached, not needed here: the package has ten examples")
    finding = machine.broken.get("problems", f"{plan.competition.slug} has no test.csv here")
    ours = "" if plan.place is Place.RERUN else "; until then our own examples are rehearsed on"
    return amber("problems", finding, f"{_ATTACH}{ours}")


def _check_clock(machine: Machine, plan: RunPlan) -> Check:
    name, age, limit = "clock", machine.age_s, plan.competition.startup_limit_s
    if "clock" in machine.broken:
        return _unknown(name, machine.broken["clock"], "See that nothing long runs before the server listens")
    if machine.now_s < _LEAST_NOW_S:
        return amber(name, "the time of day is wrong", "Names of run folders are; nothing is timed by it")
    is_timed = plan.competition.api is Api.KAGGLE_EVALUATION and plan.place in {Place.COMMIT, Place.RERUN}
    if not is_timed or age < limit / 2:
        return green(name, f"{age:.0f} s since the start")
    finding = f"{age:.0f} s since the start, and the server must listen within {limit:.0f}"
    light = Light.RED if age >= limit else Light.AMBER
    return Check(name, light, finding, "Serve first: installing and loading go on behind it")


def _unknown(name: str, reason: str | None, advice: str) -> Check:
    return amber(name, reason or "not looked at", advice)


def _write(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


RULES: tuple[Rule, ...] = (
    gpu_checks.check_gpus,
    gpu_checks.check_driver,
    _check_model,
    gpu_checks.check_weights,
    gpu_checks.check_gpu_memory,
    gpu_checks.check_shared_memory,
    _check_engine,
    _check_disk,
    _check_output,
    _check_memory,
    _check_package,
    _check_sandbox,
    _check_problems,
    _check_clock,
)
"""In the order of the table."""
