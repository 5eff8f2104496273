"""`numina-infer doctor`: the preflight for people and scripts, on Kaggle and everywhere else."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.app.choices import Choices, EngineName
from numina_infer.cli.parser import Commands, add_allow_limits_only, add_command, add_json
from numina_infer.competitions.known import COMPETITIONS, get_competition
from numina_infer.core.config import require_choice
from numina_infer.core.presets import PRESETS

if TYPE_CHECKING:
    from numina_infer.kaggle.preflight.machine import RunPlan

_EXAMPLES = """\
examples:
  numina-infer doctor                                     can this machine rehearse with the embedded model
  numina-infer doctor --engine vllm --model ./my-7b --preset t4x2
  numina-infer doctor --competition aimo-3 --json         in a script, or in a cell of a Kaggle notebook

On Kaggle the model is whatever is attached; --model is part of its path where there are several.
exit codes: 0 nothing is red, 1 something is, 2 a value that can't be used"""


def add_doctor(commands: Commands) -> None:
    """Declare `doctor`."""
    parser = add_command(
        commands,
        "doctor",
        _doctor,
        help="whether a run would work here: GPUs, driver, memory, disk, model, sandbox, what is attached",
        description="Look at this machine and at what is attached, and say what a run needs that isn't here.\n"
        "Green is good, amber goes on worse than it could, red fails; amber and red come with what to do.",
        epilog=_EXAMPLES,
    )
    names = ", ".join(COMPETITIONS)
    parser.add_argument("--competition", metavar="NAME", default="aimo-1", help=f"one of {names} (default: aimo-1)")
    parser.add_argument(
        "--engine", metavar="|".join(EngineName), help="default: vllm in a Kaggle notebook, else transformers"
    )
    parser.add_argument(
        "--model",
        default="",
        help="a folder, a known model, or part of an attached one's path (default: the only one)",
    )
    parser.add_argument("--preset", help=f"one of {', '.join(PRESETS)} (default: t4x2 for vllm, else cpu)")
    parser.add_argument("--vllm-python", metavar="FILE", default="", help="the python of vLLM's environment")
    parser.add_argument(
        "--prefix", metavar="DIR", type=Path, help="where vLLM is installed (default: /kaggle/tmp/vllm)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(), help="where output goes (default: here)")
    add_allow_limits_only(parser)
    add_json(parser)


def _doctor(chosen: argparse.Namespace) -> int:
    from numina_infer.kaggle.preflight.light import Light
    from numina_infer.kaggle.preflight.preflight import preflight

    done = preflight(_plan(chosen))
    if chosen.json:
        print(json.dumps(done.as_dict()))
    else:
        print(*done.lines(), sep="\n")
        print(f"{done.worst}: {_MEANING[str(done.worst)]}")
    return 1 if done.worst is Light.RED else 0


_MEANING = {
    "green": "everything is here",
    "amber": "the run goes on, worse than it could",
    "red": "the run would fail; what to do stands behind what was found",
}


def _plan(chosen: argparse.Namespace) -> "RunPlan":
    from numina_infer.kaggle.place import find_place
    from numina_infer.kaggle.preflight.machine import RunPlan

    place = find_place()
    usual = EngineName.VLLM if place.is_kaggle else EngineName.TRANSFORMERS
    engine = require_choice("engine", chosen.engine or usual, EngineName)
    preset = chosen.preset or ("t4x2" if engine is EngineName.VLLM else "cpu")
    model = chosen.model or None
    resolved = Choices(engine=engine, model=model, preset=preset, allow_limits_only=chosen.allow_limits_only).resolve()
    plan = RunPlan(
        get_competition(chosen.competition),
        place,
        engine,
        chosen.model,
        resolved.server,
        vllm_python=chosen.vllm_python,
        output=chosen.out,
        lowest_rung=resolved.sandbox.lowest_rung,
    )
    return plan if chosen.prefix is None else replace(plan, prefix=chosen.prefix)
