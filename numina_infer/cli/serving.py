"""The commands about this machine: `fit`, `serve`, `probe` and `sandbox`."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from numina_infer.app.choices import EMBEDDED_MODEL, Choices, EngineName
from numina_infer.cli.parser import Commands, add_allow_limits_only, add_command, add_json, make_console
from numina_infer.core.config import Mode, Rung, SandboxConfig
from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.presets import PRESETS

_SERVE_EXAMPLES = """\
examples:
  numina-infer serve --model ./numina-7b-gptq --preset t4x2   in a terminal, or in Jupyter with --detach
  numina-infer rehearse --engine vllm --model ./numina-7b-gptq --preset t4x2
  numina-infer serve --stop"""

_PROBE_EXAMPLES = """\
examples:
  numina-infer probe --model ./numina-7b-gptq --preset t4x2
  numina-infer probe --short --out build/probe.json

Ctrl-C keeps what was found by then."""

_FIT_EXAMPLES = """\
examples:
  numina-infer fit numina-7b-gptq --gpus T4 --num-gpus 2
  numina-infer fit ./my-7b --max-model-len 2048

exit codes: 0 it fits, 2 it doesn't or a value can't be used"""


def add_fit(commands: Commands) -> None:
    """Declare `fit`."""
    parser = add_command(
        commands,
        "fit",
        _fit,
        help="whether a model fits on the GPUs, before it is loaded",
        description="Show in which layout a model fits, how many tokens of KV remain, and which layout is taken.",
        epilog=_FIT_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="a known model's hub id or alias, or a folder")
    parser.add_argument(
        "--gpus", metavar="NAME", help="T4, P100, L4, H100 (default: what is here, without GPUs the CPU)"
    )
    parser.add_argument("--num-gpus", metavar="N", type=int, help="how many (default: 1 of NAME, all that are here)")
    parser.add_argument("--max-model-len", metavar="N", type=int, help="tokens of a sample (default: the model's)")
    parser.add_argument("--max-num-seqs", metavar="N", type=int, default=48, help="samples at once (default: 48)")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), help="default: what suits the device")


def add_serve(commands: Commands) -> None:
    """Declare `serve`."""
    parser = add_command(
        commands,
        "serve",
        _serve,
        help="start vLLM and keep it up between runs",
        description="Start vLLM's server for a model, one over all GPUs or one a GPU, on a unix socket; without GPUs "
        "on the CPU.\nRuns with --engine vllm and the same model and preset use it.",
        epilog=_SERVE_EXAMPLES,
    )
    add_model(parser)
    parser.add_argument("--detach", action="store_true", help="leave it running and return once it is ready")
    parser.add_argument("--list", action="store_true", help="list the servers that run, and start none")
    parser.add_argument("--stop", action="store_true", help="end the servers that were left running, and start none")


def add_probe(commands: Commands) -> None:
    """Declare `probe`."""
    parser = add_command(
        commands,
        "probe",
        _probe,
        help="measure what vLLM does here in which time",
        description="Start vLLM for a model, in both layouts where there are two GPUs, and measure\ndecoding steps "
        "over batch size and context, the rate of prompts, the room for keys and values, what seeds cost,\nand how "
        "many sandbox slots leave the servers alone.",
        epilog=_PROBE_EXAMPLES,
    )
    add_model(parser)
    parser.add_argument("--out", metavar="FILE", type=Path, default=Path("probe.json"), help="default: probe.json")
    parser.add_argument("--short", action="store_true", help="few batch sizes and contexts: a minute or two")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that say what is served and how."""
    presets = ", ".join(PRESETS)
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="a folder, a hub id, or smollm2 (default: smollm2)")
    parser.add_argument("--preset", default="cpu", help=f"one of {presets}: vLLM's arguments (default: cpu)")
    parser.add_argument("--vllm-python", metavar="FILE", default="", help="the python of vLLM's environment")
    parser.add_argument(
        "--layout", metavar="|".join(LayoutName), help="of several GPUs (default: auto, what leaves more KV)"
    )
    parser.add_argument("--max-model-len", metavar="N", type=int, help="tokens of context (default: the preset's)")
    parser.add_argument("--max-num-seqs", metavar="N", type=int, help="samples at once (default: the preset's)")


def add_sandbox(commands: Commands) -> None:
    """Declare `sandbox`."""
    group = commands.add_parser("sandbox", help="what holds programs back on this machine, and programs from files")
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_command(
        actions,
        "check",
        _sandbox_check,
        help="find the rung of the lock-down that holds here",
        description="Try what no program may do, from the highest rung down, and show which rung holds and why.",
        epilog="exit codes: 0 uid, 10 reader, 11 landlock, 12 seccomp, 13 limits, 1 the sandbox doesn't start",
    )
    run = add_command(
        actions,
        "run",
        _sandbox_run,
        help="run programs from files",
        description="Run the programs as those of one trajectory, and show the outputs that a model would get.",
        epilog="exit codes: 0 all came to a good end, 3 one didn't, 2 a value that can't be used, 1 no sandbox",
    )
    run.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a program; several run in order")
    run.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=5.0,
        help="seconds of each, without what it waits for a processor (default: 5)",
    )
    run.add_argument(
        "--mode", choices=[*Mode], type=Mode, default=Mode.FRESH, help="what they share (default: fresh, nothing)"
    )
    add_json(run, "one JSON object a program")
    add_allow_limits_only(run)


def _fit(chosen: argparse.Namespace) -> int:
    from numina_infer.models import fit_report

    devices = fit_report.find_devices(chosen.gpus, chosen.num_gpus)
    return fit_report.run(
        chosen.model,
        devices,
        make_console(sys.stdout),
        max_model_len=chosen.max_model_len,
        max_num_seqs=chosen.max_num_seqs,
        dtype=chosen.dtype,
    )


def _serve(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.vllm.serving import serve as commands
    from numina_infer.engines.vllm.serving.server_plan import plan_servers

    console = make_console(sys.stdout)
    if chosen.list:
        return commands.show_running(console)
    if chosen.stop:
        return commands.stop_running(console)
    python, report = chosen.vllm_python, console.print
    launches = plan_servers(chosen.model, _server_config(chosen), python=python, report=report)
    return commands.serve(launches, console, detach=chosen.detach)


def _probe(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.vllm.serving.probe import ProbePlan, probe

    plan = ProbePlan(chosen.model, _server_config(chosen), chosen.vllm_python, is_short=chosen.short)
    return probe(plan, chosen.out, make_console(sys.stdout))


def _server_config(chosen: argparse.Namespace) -> ServerConfig:
    wanted = {name: vars(chosen)[name] for name in ("layout", "max_model_len", "max_num_seqs")}
    given = {name: value for name, value in wanted.items() if value is not None}
    preset = Choices(engine=EngineName.VLLM, model=chosen.model, preset=chosen.preset).resolve()
    return replace(preset.server, **given)


def _sandbox_check(_chosen: argparse.Namespace) -> int:
    from numina_infer.sandbox import commands

    return commands.check(make_console(sys.stdout))


def _sandbox_run(chosen: argparse.Namespace) -> int:
    from numina_infer.sandbox import commands

    config = SandboxConfig(lowest_rung=Rung.LIMITS) if chosen.allow_limits_only else SandboxConfig()
    return commands.run(
        chosen.files,
        make_console(sys.stdout),
        mode=chosen.mode,
        timeout_s=chosen.timeout,
        as_json=chosen.json,
        config=config,
    )
