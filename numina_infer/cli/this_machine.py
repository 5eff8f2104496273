"""The commands about this machine: `fit`, `serve`, `probe`, `sandbox`, `doctor`, and `cache` for its completions."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.app.choices import EMBEDDED_MODEL, Choices, EngineName
from numina_infer.cli.parser import Commands, add_allow_limits_only, add_command, add_json, add_option, make_console
from numina_infer.competitions.known import COMPETITIONS, get_competition
from numina_infer.core.config import Mode, Rung, SandboxConfig, require_choice
from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.presets import PRESETS

if TYPE_CHECKING:
    from numina_infer.kaggle.preflight.machine import RunPlan

_FIT_EXAMPLES = """\
examples:
  numina-infer fit numina-7b-gptq --gpus T4 --num-gpus 2
  numina-infer fit ./my-7b --max-model-len 2048

exit codes: 0 it fits, 2 it doesn't or a value can't be used"""

_SERVE_EXAMPLES = """\
Runs with --engine vllm and the same model and preset use it; without GPUs it runs on the CPU.

examples:
  numina-infer serve --model ./numina-7b-gptq --preset t4x2   in a terminal, or in Jupyter with --detach
  numina-infer rehearse --engine vllm --model ./numina-7b-gptq --preset t4x2
  numina-infer serve --stop"""

_PROBE_EXAMPLES = """\
Measured are decoding steps over batch size and context, the rate of prompts, the room for keys and values, what seeds
cost, and how many sandbox slots leave the servers alone; with two GPUs in both layouts. Ctrl-C keeps what was found.

examples:
  numina-infer probe --model ./numina-7b-gptq --preset t4x2
  numina-infer probe --short --out build/probe.json"""

_DOCTOR_EXAMPLES = """\
examples:
  numina-infer doctor                                     can this machine rehearse with the embedded model
  numina-infer doctor --engine vllm --model ./my-7b --preset t4x2
  numina-infer doctor --competition aimo-3 --json         in a script, or in a cell of a Kaggle notebook

Green is good, amber goes on worse than it could, red fails; amber and red come with what to do.
On Kaggle the model is whatever is attached; --model is part of its path where there are several.
exit codes: 0 nothing is red, 1 something is, 2 a value that can't be used"""

_CACHE_EXAMPLES = """\
examples:
  numina-infer collect --problems test.csv --cache completions   fills the folder, or finds there what it needs
  numina-infer cache completions                                 how much is in it
  numina-infer cache completions --clear                         takes the completions out

A completion is found again by the same prompt, sampling parameters, seed, weights, tokenizer and engine version.
Any number of runs may use one folder at once. docs/tuning.md has the rest."""

_CHECK_CODES = "exit codes: 0 uid, 10 reader, 11 landlock, 12 seccomp, 13 limits, 1 the sandbox doesn't start"
_RUN_CODES = "exit codes: 0 all came to a good end, 3 one didn't, 2 a value that can't be used, 1 no sandbox"


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    meaning = "show whether and in which layout a model fits on the GPUs, before it is loaded"
    _add_fit(add_command(commands, "fit", _fit, meaning, epilog=_FIT_EXAMPLES))
    meaning = "start vLLM for a model, one server over all GPUs or one a GPU, and keep it up between runs"
    serve = add_command(commands, "serve", _serve, meaning, epilog=_SERVE_EXAMPLES)
    _add_model(serve)
    serve.add_argument("--detach", action="store_true", help="leave it running and return once it is ready")
    serve.add_argument("--list", action="store_true", help="list the servers that run, and start none")
    serve.add_argument("--stop", action="store_true", help="end the servers that were left running, and start none")
    meaning = "start vLLM for a model, and measure what it does here in which time"
    probe = add_command(commands, "probe", _probe, meaning, epilog=_PROBE_EXAMPLES)
    _add_model(probe)
    add_option(probe, "--out FILE", "default: probe.json", default=Path("probe.json"))
    probe.add_argument("--short", action="store_true", help="few batch sizes and contexts: a minute or two")
    _add_sandbox(commands)
    meaning = "say whether a run would work here: GPUs, driver, memory, disk, model, sandbox, what is attached"
    _add_doctor(add_command(commands, "doctor", _doctor, meaning, epilog=_DOCTOR_EXAMPLES))
    meaning = "show how much is in a folder that --cache was given, or clear it"
    cache = add_command(commands, "cache", _cache, meaning, epilog=_CACHE_EXAMPLES)
    cache.add_argument("folder", metavar="DIR", type=Path, help="the folder")
    cache.add_argument("--clear", action="store_true", help="remove the completions; other files stay")


def _add_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a known model's hub id or alias, or a folder")
    add_option(parser, "--gpus NAME", "T4, P100, L4, H100 (default: what is here, without GPUs the CPU)")
    add_option(parser, "--num-gpus N", "how many (default: 1 of NAME, all that are here)")
    add_option(parser, "--max-model-len N", "tokens of a sample (default: the model's)")
    add_option(parser, "--max-num-seqs N", "samples at once (default: 48)", default=48)
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), help="default: what suits the device")
    parser.add_argument("--kv-cache-dtype", choices=("auto", "fp8"), default="auto", help="default: auto")
    add_json(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    """The options that say what is served and how."""
    add_option(parser, "--model MODEL", "a folder, a hub id, or smollm2 (default: smollm2)", default=EMBEDDED_MODEL)
    presets = "|".join(PRESETS)
    add_option(parser, f"--preset {presets}", "vLLM's arguments (default: cpu)", default="cpu")
    add_option(parser, "--vllm-python FILE", "the python of vLLM's environment", type=str, default="")
    add_option(parser, f"--layout {'|'.join(LayoutName)}", "of several GPUs (default: auto, what leaves more KV)")
    add_option(parser, "--max-model-len N", "tokens of context (default: the preset's)")
    add_option(parser, "--max-num-seqs N", "samples at once (default: the preset's)")


def _add_sandbox(commands: Commands) -> None:
    group = commands.add_parser("sandbox", help="what holds programs back on this machine, and programs from files")
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    meaning = "try what no program may do, and show the rung of the lock-down that holds here, and why"
    add_command(actions, "check", _sandbox_check, meaning, epilog=_CHECK_CODES)
    meaning = "run programs as those of one trajectory, and show the outputs that a model would get"
    run = add_command(actions, "run", _sandbox_run, meaning, epilog=_RUN_CODES)
    run.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a program; several run in order")
    meaning = "seconds of each, without what it waits for a processor (default: 5)"
    add_option(run, "--timeout SECONDS", meaning, default=5.0)
    meaning = "what they share (default: fresh, nothing)"
    run.add_argument("--mode", choices=[*Mode], type=Mode, default=Mode.FRESH, help=meaning)
    add_json(run, "one JSON object a program")
    add_allow_limits_only(run)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    add_option(parser, f"--competition {'|'.join(COMPETITIONS)}", "default: aimo-1", default="aimo-1")
    add_option(parser, f"--engine {'|'.join(EngineName)}", "default: vllm in a Kaggle notebook, else transformers")
    meaning = "a folder, a known model, or part of an attached one's path (default: the only one)"
    add_option(parser, "--model MODEL", meaning, default="")
    add_option(parser, f"--preset {'|'.join(PRESETS)}", "default: t4x2 for vllm, else cpu")
    add_option(parser, "--vllm-python FILE", "the python of vLLM's environment", type=str, default="")
    add_option(parser, "--prefix DIR", "where vLLM is installed (default: /kaggle/tmp/vllm)")
    add_option(parser, "--out DIR", "where output goes (default: here)", default=Path())
    add_allow_limits_only(parser)
    add_json(parser)


def _fit(chosen: argparse.Namespace) -> int:
    from numina_infer.models import fit_report

    devices = fit_report.find_devices(chosen.gpus, chosen.num_gpus)
    names = ("max_model_len", "max_num_seqs", "dtype", "kv_cache_dtype")
    wanted = {name: getattr(chosen, name) for name in names}
    return fit_report.run(chosen.model, devices, make_console(sys.stdout), as_json=chosen.json, **wanted)


def _serve(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.vllm import server_group as commands
    from numina_infer.engines.vllm.launch import plan_servers

    console = make_console(sys.stdout)
    if chosen.list:
        return commands.show_running(console)
    if chosen.stop:
        return commands.stop_running(console)
    python, report = chosen.vllm_python, console.print
    launches = plan_servers(chosen.model, _server_config(chosen), python=python, report=report)
    return commands.serve(launches, console, detach=chosen.detach)


def _probe(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.vllm.probe import probe

    server, python, console = _server_config(chosen), chosen.vllm_python, make_console(sys.stdout)
    return probe(chosen.model, server, chosen.out, console, vllm_python=python, is_short=chosen.short)


def _server_config(chosen: argparse.Namespace) -> ServerConfig:
    wanted = {name: getattr(chosen, name) for name in ("layout", "max_model_len", "max_num_seqs")}
    given = {name: value for name, value in wanted.items() if value is not None}
    preset = Choices(engine=EngineName.VLLM, model=chosen.model, preset=chosen.preset).resolve()
    return replace(preset.server, **given)


def _sandbox_check(_chosen: argparse.Namespace) -> int:
    from numina_infer.sandbox import commands

    return commands.check(make_console(sys.stdout))


def _sandbox_run(chosen: argparse.Namespace) -> int:
    from numina_infer.sandbox import commands

    config = SandboxConfig(lowest_rung=Rung.LIMITS) if chosen.allow_limits_only else SandboxConfig()
    how = {"mode": chosen.mode, "timeout_s": chosen.timeout, "as_json": chosen.json}
    return commands.run(chosen.files, make_console(sys.stdout), config=config, **how)


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


def _cache(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.cached_engine import CacheFolder

    folder = CacheFolder(chosen.folder, lambda line: print(line, file=sys.stderr))
    size = folder.clear() if chosen.clear else folder.size
    done = "cleared of" if chosen.clear else "holds"
    print(f"{chosen.folder}: {done} {size.num_entries} completions, {size.num_bytes / 1e6:.1f} MB")
    return 0
