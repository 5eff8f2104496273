"""The commands for Kaggle: `kaggle build`, `kaggle wheelhouse` and `kaggle check`."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from numina_infer.cli.parser import Commands, add_command, add_json, make_console
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


def add_kaggle(commands: Commands) -> None:
    """Declare `kaggle`."""
    group = commands.add_parser("kaggle", help="the kernel and its datasets: build, collect wheels, check")
    actions = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_build(actions)
    _add_wheelhouse(actions)
    _add_check(actions)


def _add_build(actions: Commands) -> None:
    parser = add_command(
        actions,
        "build",
        _build,
        help="the folders that Kaggle's client uploads for one kernel",
        description="Write the notebook with its settings, kernel-metadata.json with every field stated, and the "
        "dataset\nwith this package's own wheel. Nothing is sent.",
        epilog=_BUILD_EXAMPLES,
    )
    parser.add_argument("--owner", metavar="NAME", required=True, help="your user name on Kaggle")
    parser.add_argument("--competition", choices=[*COMPETITIONS], required=True, help="which one is played")
    parser.add_argument(
        "--model", metavar="SOURCE", required=True, help="OWNER/MODEL/FRAMEWORK/VARIATION/VERSION on Kaggle Models"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--preset", choices=[*PRESETS], default="", help="default: t4x2 where the competition has T4s, else none"
    )
    parser.add_argument("--slug", default="", help="of the kernel (default: numina-infer-COMPETITION)")
    parser.add_argument(
        "--wheelhouse", metavar="OWNER/SLUG", default="", help="the dataset with vLLM's wheels (default: your own)"
    )
    parser.add_argument(
        "--machine-shape", metavar="NAME", default="", help="default: the preset's, else the competition's"
    )


def _add_wheelhouse(actions: Commands) -> None:
    parser = add_command(
        actions,
        "wheelhouse",
        _wheelhouse,
        help="every wheel for an offline installation",
        description="Collect the wheels that install vLLM on Kaggle's image without the network, with a lock and "
        "hashes.\nVersions are resolved for Kaggle's Python and not for this one; afterwards it is checked that they "
        "install.",
        epilog=_WHEELHOUSE_EXAMPLES,
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("wheelhouse"), help="default: wheelhouse")
    parser.add_argument("--owner", metavar="NAME", default="", help="your user name on Kaggle, for the dataset")
    parser.add_argument("--vllm", metavar="VERSION", default="", help="default: 0.19.1, the newest for T4s")
    parser.add_argument("--python-version", metavar="X.Y", default="3.12", help="Kaggle's (default: 3.12)")
    parser.add_argument("--dry-run", action="store_true", help="show names and sizes, and fetch nothing")


def _add_check(actions: Commands) -> None:
    parser = add_command(
        actions,
        "check",
        _check,
        help="what is wrong with a built folder, before it is uploaded",
        description="Check a folder by the rules of Kaggle's client and by some that it lacks: internet left on, no "
        "GPU,\nanother machine than the preset's, nothing attached, another notebook, wheels for another Python.",
        epilog=_CHECK_EXAMPLES,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="what build or wheelhouse wrote")
    parser.add_argument("--no-install", action="store_true", help="read a wheelhouse, and don't install it")
    add_json(parser)


def _build(chosen: argparse.Namespace) -> int:
    _require_tools("packaging", "uv")
    from numina_infer.kaggle.build.push import Push
    from numina_infer.kaggle.build.sources import ModelSource
    from numina_infer.kaggle.show_build import run_build

    push = Push(
        owner=chosen.owner,
        competition=get_competition(chosen.competition),
        model=ModelSource.parse(chosen.model),
        preset=chosen.preset,
        slug=chosen.slug,
        wheelhouse=chosen.wheelhouse,
        shape=chosen.machine_shape,
    )
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
    return run_wheelhouse(wanted, chosen.out, console, notes, is_dry=chosen.dry_run)


def _check(chosen: argparse.Namespace) -> int:
    _require_tools("packaging", "uv")
    from numina_infer.kaggle.show_build import run_check

    console = make_console(sys.stdout)
    return run_check(chosen.folder, console, may_install=not chosen.no_install, as_json=chosen.json)


def _require_tools(*names: str) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} isn't installed; run: pip install 'numina-infer[kernel]'")
