"""The commands for Kaggle: `kaggle build`, `kaggle wheelhouse` and `kaggle check`."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from numina_infer.cli.parser import Commands, add_command, add_json, add_option, make_console
from numina_infer.competitions.known import COMPETITIONS, get_competition
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import PRESETS

_BUILD_EXAMPLES = """\
examples:
  numina-infer kaggle build --owner me --competition aimo-1 --out kernel \\
      --model me/numina-7b-gptq/transformers/default/1
  numina-infer kaggle check kernel
  kaggle datasets create -p kernel/dataset
  kaggle kernels push -p kernel/kernel

It sends nothing: the last two are Kaggle's own client (pip install kaggle)."""

_WHEELHOUSE_EXAMPLES = """\
examples:
  numina-infer kaggle wheelhouse --dry-run                         names and sizes of what would be fetched
  numina-infer kaggle wheelhouse --owner me --out wheelhouse       several GB; the same command goes on after Ctrl-C
  kaggle datasets create -p wheelhouse"""

_CHECK_EXAMPLES = """\
examples:
  numina-infer kaggle check kernel
  numina-infer kaggle check wheelhouse --no-install

exit codes: 0 nothing is wrong, 2 something is, one line each"""


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    group = commands.add_parser("kaggle", help="the kernel and its datasets: build, collect wheels, check")
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    meaning = "write the folders that Kaggle's client uploads for one kernel: notebook, metadata and own wheel"
    _add_build(add_command(actions, "build", _build, meaning, epilog=_BUILD_EXAMPLES))
    meaning = "collect every wheel that installs vLLM on Kaggle's image without the network, with a lock and hashes"
    _add_wheelhouse(add_command(actions, "wheelhouse", _wheelhouse, meaning, epilog=_WHEELHOUSE_EXAMPLES))
    meaning = "find what is wrong with a built folder, before it is uploaded"
    check = add_command(actions, "check", _check, meaning, epilog=_CHECK_EXAMPLES)
    check.add_argument("folder", metavar="DIR", type=Path, help="what build or wheelhouse wrote")
    check.add_argument("--no-install", action="store_true", help="read a wheelhouse, and don't install it")
    add_json(check)


def _add_build(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--owner NAME", "your user name on Kaggle", required=True)
    parser.add_argument("--competition", choices=[*COMPETITIONS], required=True, help="which one is played")
    source = "OWNER/MODEL/FRAMEWORK/VARIATION/VERSION on Kaggle Models"
    add_option(parser, "--model SOURCE", source, required=True)
    add_option(parser, "--out DIR", "a new folder", required=True)
    meaning = "default: t4x2 where the competition has T4s, else none"
    parser.add_argument("--preset", choices=[*PRESETS], default="", help=meaning)
    add_option(parser, "--slug SLUG", "of the kernel (default: numina-infer-COMPETITION)", default="")
    add_option(parser, "--wheelhouse OWNER/SLUG", "the dataset with vLLM's wheels (default: your own)", default="")
    add_option(parser, "--machine-shape NAME", "default: the preset's, else the competition's", default="")


def _add_wheelhouse(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--out DIR", "default: wheelhouse", default=Path("wheelhouse"))
    add_option(parser, "--owner NAME", "your user name on Kaggle, for the dataset", default="")
    add_option(parser, "--vllm VERSION", "default: 0.19.1, the newest for T4s", default="")
    add_option(parser, "--python-version X.Y", "Kaggle's (default: 3.12)", default="3.12")
    parser.add_argument("--dry-run", action="store_true", help="show names and sizes, and fetch nothing")
    add_json(parser)


def _build(chosen: argparse.Namespace) -> int:
    _require_tools("packaging", "uv")
    from numina_infer.kaggle.build.push import Push
    from numina_infer.kaggle.build.sources import ModelSource
    from numina_infer.kaggle.show_build import run_build

    competition, model = get_competition(chosen.competition), ModelSource.parse(chosen.model)
    plain = {name: getattr(chosen, name) for name in ("owner", "preset", "slug", "wheelhouse")}
    push = Push(competition=competition, model=model, shape=chosen.machine_shape, **plain)
    return run_build(push, chosen.out, make_console(sys.stdout))


def _wheelhouse(chosen: argparse.Namespace) -> int:
    _require_tools("packaging", "uv")
    from numina_infer.kaggle.build.push import VLLM
    from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER
    from numina_infer.kaggle.show_build import run_wheelhouse
    from numina_infer.kaggle.wheelhouse.resolution import Target
    from numina_infer.kaggle.wheelhouse.wheelhouse import WantedWheels

    wanted = WantedWheels(Target(chosen.python_version), chosen.vllm or VLLM, chosen.owner or OWNER_PLACEHOLDER)
    console, notes = make_console(sys.stdout), make_console(sys.stderr)
    return run_wheelhouse(wanted, chosen.out, console, notes, is_dry=chosen.dry_run, as_json=chosen.json)


def _check(chosen: argparse.Namespace) -> int:
    _require_tools("packaging", "uv")
    from numina_infer.kaggle.show_build import run_check

    console = make_console(sys.stdout)
    return run_check(chosen.folder, console, may_install=not chosen.no_install, as_json=chosen.json)


def _require_tools(*names: str) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} isn't installed; run: pip install 'numina-infer[kernel]'")
