"""The command that searches for a setting: `tune`."""

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numina_infer.app.choices import SamplingChoices, own_options
from numina_infer.app.tasks import COLLECT
from numina_infer.cli.parser import Commands, add_command, flag, make_console
from numina_infer.cli.runs import add_choices, add_folder, find_run, make_collecting_choices, telling_how_to_go_on
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    from numina_infer.lab.tune.tuning_folder import Tuning

_EXAMPLES = """\
examples:
  numina-infer tune --problems aime.jsonl --model ./my-7b --engine vllm \\
      --temperature 0.2:1.0:0.1 --max-turns 2,4 --num-samples 4,8,16
  numina-infer tune --preset cpu --temperature 0.3,0.6,0.9     the embedded model, ten examples
  numina-infer tune --resume runs/20261123-093000              go on with a search that was stopped

What is searched is given as a list, 0.4,0.8, or as a range, LOW:HIGH or LOW:HIGH:STEP; one value is taken for all.
--num-samples costs nothing to search: the largest is sampled, votes of fewer are worked out from the same samples.

A setting gets 8 problems, then 24, then 72, and is dropped when it is better than the best so far with a chance below
0.1, on the same problems. Completions are kept, so that no request is generated twice, in this search or the next.
Every sample runs to its end, whatever the preset's stop rule.

It ends with a table, the best first, and with a sentence that says whether the best two can be told apart.
The folder gets result.json, and under settings/ a run folder for each setting and batch of problems.
Ctrl-C or a kill keeps all that was done. Needs: pip install 'numina-infer[tune]'. docs/tuning.md has the rest."""

_SEARCHED = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_turns", "format")


def add_tune(commands: Commands) -> None:
    """Declare `tune`."""
    parser = add_command(
        commands,
        "tune",
        _tune,
        help="search sampling parameters, format and depth with as few problems as will do",
        description="Search for a setting on problems with answers: each on a few first, the good ones on more.",
        epilog=_EXAMPLES,
        argument_default=argparse.SUPPRESS,
        conflict_handler="resolve",  # what is searched takes the place of what is chosen
    )
    run = parser.add_argument_group("the search")
    run.add_argument("--problems", metavar="FILE", help="with answers (default: ten examples in the package)")
    run.add_argument("--trials", metavar="N", type=int, dest="num_trials", help="settings at most (default: 12)")
    run.add_argument("--heats", metavar="N,N,…", help="problems after which a setting is looked at (default: 8,24,72)")
    run.add_argument(
        "--drop-below", metavar="P", type=float, help="the chance of being better that keeps a setting (default: 0.1)"
    )
    run.add_argument("--concurrent-problems", metavar="K", type=int, help="problems in work at once (default: 4)")
    add_folder(run, "search")
    add_choices(parser, preset=COLLECT, has_clock=False)
    searched = parser.add_argument_group("what is searched, as a list or a range")
    options = own_options(SamplingChoices)
    for name in _SEARCHED:
        searched.add_argument(flag(name), metavar="VALUES", help=options[name][1].meaning)
    searched.add_argument("--num-samples", metavar="N,N,…", help="samples a problem (default: the preset's)")


def _tune(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.tune.search import search

    console, given = make_console(sys.stdout), vars(chosen)
    folder, tuning = find_run(given, _tuning, lambda _: None)
    with telling_how_to_go_on("tune", folder, console):
        report = search(tuning, folder, console, resume=tuning is None, backends=chosen.backends)
    console.print(report.table())
    files = f"result.json and the run folders are in {folder}"
    for line in filter(None, (report.note, report.cache.line, report.verdict, files)):
        console.print(line, soft_wrap=True)
    return 0


def _tuning(given: Mapping[str, Any]) -> "Tuning | None":
    from numina_infer.lab.tune.search_space import SearchSpace
    from numina_infer.lab.tune.tuning_folder import Tuning

    searched = {name: given[name] for name in _SEARCHED if name in given}
    if not searched:
        names = ", ".join(map(flag, _SEARCHED))
        raise ConfigError(f"nothing is to be searched; give one of {names}, such as --temperature 0.2:1.0:0.1")
    shared = {name: value for name, value in given.items() if name not in {*_SEARCHED, "num_samples"}}
    plain = ("problems", "num_trials", "drop_below", "concurrent_problems")
    own: dict[str, Any] = {name: given[name] for name in plain if name in given}
    own |= {name: _whole(name, given[name]) for name in ("num_samples", "heats") if name in given}
    return Tuning(choices=make_collecting_choices(shared), space=SearchSpace(searched), **own)


def _whole(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}; give whole numbers, such as 8,24") from error
