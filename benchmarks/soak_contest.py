"""An hour of one contest on the embedded engine, with real programs: memory, descriptors, processes and threads.

The contest runs in a process of its own and is sampled from this one. Its problems are the ten examples over and over,
each time with a number behind the statement, so that none is the same as before and every turn has another seed.
Floors: by the line through the minutes behind the warm-up, the upper end of its interval, no thread, descriptor or
process is gained in an hour, and at most 32 MB of memory by the process and 8 MB by its children; no answer is a
guess because something broke, and when the contest is closed nothing of it is left.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.frame import Target, finish, name_machine, read_options, show
from benchmarks.holdings import NAMES, Held, Sample, Trend, held_by, trend, watch
from numina_infer.app.choices import Choices
from numina_infer.app.composition import make_parts, open_contest
from numina_infer.app.tasks import run_info
from numina_infer.core.records import Problem
from numina_infer.core.terminal import HelpFormatter
from numina_infer.runs.history import read_run
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import example_problems_path, read_problems
from numina_infer.runs.progress import RunConsole

HOUR_MIN = 60.0
EVERY_S = 5.0
BOUNDS = {"own_mb": 32.0, "children_mb": 8.0}
"""Gained in an hour, at most; half of one, which is none, of what is counted."""
_PATIENCE_S = 60.0


def problems() -> Iterator[Problem]:
    """The examples over and over, each time another statement."""
    rows = read_problems(example_problems_path()).rows
    for number in itertools.count(1):
        for row in rows:
            yield Problem(f"{row.problem.id}/{number}", f"{row.problem.statement} (Question {number}.)")


def work(folder: Path, seconds: float, num_at_most: int) -> None:
    """Be the contest: solve for so long, close everything, and stay until standard input ends."""
    choices, console = Choices(), RunConsole(sys.stderr)
    parts = make_parts(choices, console.print)
    began = time.monotonic()
    with (
        RunLog(folder) as log,
        open_contest(
            parts, log, run_info(choices, parts.preset), num_problems=1, solved={}, console=Console(quiet=True)
        ) as contest,
    ):
        print("begun", flush=True)
        for problem in itertools.islice(problems(), num_at_most):
            contest.answer(problem)
            if time.monotonic() - began >= seconds:
                break
    print("closed", flush=True)
    sys.stdin.read()


@dataclass(frozen=True)
class Soaked:
    """What came of it."""

    minutes: float
    warm_up_min: float
    samples: Sequence[Sample]
    after: Held
    """When the contest was closed."""
    problems: int
    trajectories: int
    tokens: int
    programs: int
    errors: Sequence[str]
    """Of verdicts and trajectories."""

    @property
    def trends(self) -> list[Trend]:
        """One for each thing; none where the time was too short for a line."""
        try:
            return [trend(self.samples, name, 60 * self.warm_up_min) for name in NAMES]
        except ValueError:
            return []

    def figures(self) -> dict[str, Any]:
        """All of it for a file."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "samples"},
            "trends": [asdict(each) for each in self.trends],
            "samples": [{"at_s": each.at_s, **asdict(each.held)} for each in self.samples],
        }


def soak(minutes: float, warm_up_min: float, every_s: float = EVERY_S, num_problems: int = sys.maxsize) -> Soaked:
    """Run the contest beside this process, and watch it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        seconds = str(60 * minutes)
        command = [sys.executable, __file__, "--work", str(folder), "--seconds", seconds, "--most", str(num_problems)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            samples, after = _watch(process, every_s)
        return _soaked(folder, minutes, warm_up_min, samples, after)


def _watch(process: "subprocess.Popen[str]", every_s: float) -> tuple[list[Sample], Held]:
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n", "the contest didn't open"
    closed = threading.Event()
    said = process.stdout

    def listen() -> None:
        said.readline()
        closed.set()

    threading.Thread(target=listen, daemon=True).start()
    samples = list(watch(process.pid, every_s, lambda _: closed.is_set() or process.poll() is not None))
    return samples[:-1], held_by(process.pid)


def _soaked(folder: Path, minutes: float, warm_up_min: float, samples: Sequence[Sample], after: Held) -> Soaked:
    run = read_run(folder)
    errors = {*run.solutions["error"], *run.trajectories["error"]} - {""}
    return Soaked(
        minutes,
        warm_up_min,
        samples,
        after,
        problems=len(run.solutions),
        trajectories=len(run.trajectories),
        tokens=int(run.trajectories["num_tokens"].sum()),
        programs=int(run.turns["status"].notna().sum()),
        errors=sorted(errors),
    )


def targets(soaked: Soaked) -> list[Target]:
    """What grows within its bound, and what must be nothing."""
    grown = [
        Target(f"{each.name} gained an hour, at most", each.most, BOUNDS.get(each.name, 0.5), at_most=True)
        for each in soaked.trends
    ]
    left = {"errors": len(soaked.errors), "processes left of the closed contest": soaked.after.children}
    return [*grown, *(Target(name, count, 0, at_most=True) for name, count in left.items())]


def main() -> None:
    """Soak, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--minutes", type=float, default=HOUR_MIN, metavar="M", help="how long (default: 60)")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, help=argparse.SUPPRESS)
    options = read_options(__doc__, "one minute, which is too short for a line", parser=parser)
    if options.work:
        work(options.work, options.seconds, options.most)
        return
    minutes = 1.0 if options.short else options.minutes
    print(name_machine(), flush=True)
    soaked = soak(minutes, warm_up_min=minutes / 12)
    _print(soaked)
    print(f"at the end: {name_machine()}")
    finish(options, soaked.figures(), targets(soaked))


def _print(soaked: Soaked) -> None:
    rows = [(each.name, each.first, each.last, each.gained, each.least, each.most) for each in soaked.trends]
    show(["what", "first minute", "last", "gained an hour", "from", "to"], rows)
    print(f"\n{soaked.minutes:g} minutes, {soaked.warm_up_min:g} of them warm-up, {len(soaked.samples)} samples")
    print(f"{soaked.problems} problems, {soaked.trajectories} trajectories, {soaked.tokens} tokens", end=", ")
    print(f"{soaked.programs} programs, {len(soaked.errors)} errors; closed: {soaked.after}")


if __name__ == "__main__":
    main()
