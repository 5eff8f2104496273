"""The command that breaks contests on purpose: `python -m drills`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from numina_infer.cli import run_command
from numina_infer.cli.parser import Parser, make_console
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    from drills.fault import Drill
    from drills.report import Result

_EXAMPLES = """\
examples:
  python -m drills                                 every fault once, a line each: some minutes
  python -m drills servers-die loop-blocked        these two
  python -m drills --list                          what there is, and what is expected of each
  python -m drills --random 1000 --seed 1          a thousand combinations of two to four faults
  python -m drills --json                          the same as JSON lines

A drill is a contest in which something goes wrong on purpose: fifty sums, a scripted model that is right, a gateway
that notes every reply. Most are played under virtual time, in which nine hours take a second.
Expected of all of them: a whole number for every call, in range and in time, the same one when asked again; every
problem that the fault doesn't touch right; the log readable and its replay exact; nothing left running.
docs/drills.md tells more, and how to add one.

Exit code 1 where anything was otherwise than expected. A combination that failed is played again by its seed, or by
naming its faults one by one."""

_HEARTBEAT_S = 10.0
_DEFAULT_SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Play drills; returns the exit code."""
    parser = Parser(
        prog="python -m drills",
        description="Play contests in which something goes wrong on purpose, and judge what came of it.",
        epilog=_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="faults by name (default: all, one after another)")
    parser.add_argument("--list", action="store_true", help="name every fault with what it does, and play none")
    parser.add_argument("--random", metavar="N", type=int, help="so many random combinations of faults instead")
    parser.add_argument("--seed", metavar="S", type=int, help=f"of the combinations (default: {_DEFAULT_SEED})")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line, and nothing else, on stdout")
    parser.set_defaults(command=_drill)
    return run_command(parser.parse_args(arguments))


def _drill(chosen: argparse.Namespace) -> int:
    from drills.catalogue import combinations, drills

    given = vars(chosen)
    names = given.get("names", [])
    if "list" in given:
        if alien := sorted({"json", "random", "seed"} & given.keys()):
            raise ConfigError(f"--list plays nothing; leave out --{alien[0]}")
        return _list(drills(names))
    if "random" not in given:
        if "seed" in given:
            raise ConfigError("--seed is of random combinations; give --random N with it")
        known = drills(names)
        return _play(known, len(known), as_json="json" in given, shows=lambda _: True)
    if names:
        raise ConfigError("--random draws its faults itself; name none, or leave it out")
    drawn = combinations(chosen.random, given.get("seed", _DEFAULT_SEED))
    return _play(drawn, chosen.random, as_json="json" in given, shows=lambda result: result.has_failed)


def _list(known: Iterable["Drill"]) -> int:
    for drill in known:
        print(f"{drill.name}: {drill.story}\n  expected: {drill.expected.line}")
    return 0


def _play(played: Iterable["Drill"], number: int, *, as_json: bool, shows: "Callable[[Result], bool]") -> int:
    from drills.report import Tally

    results: list[Result] = []
    try:
        for result in _results(played, number):
            results.append(result)
            if as_json:
                print(json.dumps(result.row), flush=True)
            elif shows(result):
                print(result.line, flush=True)
    finally:
        tally = Tally.of(results)
        print(tally.line, file=sys.stderr if as_json else sys.stdout, flush=True)
    return 1 if tally.num_failed else 0


def _results(played: Iterable["Drill"], number: int) -> "Iterator[Result]":
    """Each result as it comes, with how far it is and the time left on stderr now and then."""
    from drills.report import run
    from numina_infer.runs.progress import show_time

    console = make_console(sys.stderr)
    began = said = time.monotonic()
    with console.status("drilling") as status:
        for done, drill in enumerate(played):
            left_s = (time.monotonic() - began) / done * (number - done) if done else 0.0
            place = f"[{done + 1}/{number}] {drill.name}, {show_time(left_s) if done else '?'} left"
            status.update(place)
            if not console.is_terminal and time.monotonic() - said >= _HEARTBEAT_S:
                said = time.monotonic()
                console.print(place, soft_wrap=True)
            yield run(drill)
