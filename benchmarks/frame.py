"""What every benchmark has: its options, the machine's name, tables, targets, and the file that keeps its figures.

A target is a figure with a floor, which must be met, an aim, which the best would reach, or both.
`python benchmarks/frame.py FOLDER` prints one line for each target of the figures in FOLDER: `make bench` ends so.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from numina_infer.core.terminal import HelpFormatter
from numina_infer.runs.provenance import machine


@dataclass(frozen=True, slots=True)
class Target:
    """A figure, and what it should be."""

    name: str
    value: float
    floor: float | None
    """None where there is an aim alone."""
    aim: float | None = None
    unit: str = ""
    at_most: bool = False
    """Whether less is better: floor and aim are upper bounds then."""

    @property
    def is_met(self) -> bool:
        """Whether the floor is; an aim alone binds nobody."""
        return self.floor is None or self.misses(self.floor) <= 0

    def misses(self, bound: float) -> float:
        """By how much `bound` is missed; zero or below where it is met."""
        return self.value - bound if self.at_most else bound - self.value

    @property
    def line(self) -> str:
        """The target in one line: met, or by how much not."""
        bounds = [(kind, bound) for kind, bound in (("floor", self.floor), ("aim", self.aim)) if bound is not None]
        verdicts = [f"{kind} {bound:g}{self.unit} {self._verdict(bound)}" for kind, bound in bounds]
        return f"{self.name}: {self.value:.4g}{self.unit} ({', '.join(verdicts)})"

    def _verdict(self, bound: float) -> str:
        missed = self.misses(bound)
        return "met" if missed <= 0 else f"MISSED by {missed:.3g}{self.unit}"


def read_options(
    description: str,
    short: str,
    arguments: Sequence[str] | None = None,
    *,
    parser: argparse.ArgumentParser | None = None,
) -> argparse.Namespace:
    """`--short` (whose help is `short`) and `--json FILE`, beside what `parser` has already."""
    parser = parser or argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.description = description
    parser.add_argument("--short", action="store_true", help=short)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    return parser.parse_args(arguments)


def name_machine() -> str:
    """The machine in one line, with what else it is doing."""
    here = machine()
    return f"{here['processor']}, {here['cores']} cores, Python {here['python']}, load {os.getloadavg()[0]:.1f}"


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, as docs/experiments.md has them; floats get four digits."""
    print("|", " | ".join(head), f"|\n|{'---|' * len(head)}")
    for cells in rows:
        print("|", " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells), "|")


def finish(options: argparse.Namespace, figures: Mapping[str, object], targets: Sequence[Target] = ()) -> None:
    """Print the targets, and write everything if a file was asked for."""
    if targets:
        print("", *(target.line for target in targets), sep="\n")
    _write(options, {"figures": figures, "targets": [asdict(target) for target in targets]})


def pass_over(options: argparse.Namespace, why: str) -> NoReturn:
    """End without a failure, since what the benchmark needs isn't here: `why` says what, and how to get it."""
    print(f"passed over: {why}")
    _write(options, {"passed_over": why})
    sys.exit(0)


def _write(options: argparse.Namespace, content: Mapping[str, object]) -> None:
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": machine(), **content}, indent=2) + "\n", encoding="utf-8")


def read_targets(file: Path) -> list[Target]:
    """The targets that a benchmark wrote."""
    return [Target(**target) for target in json.loads(file.read_text(encoding="utf-8")).get("targets", ())]


def summary(file: Path) -> list[str]:
    """One line a target, or why there is none."""
    why = json.loads(file.read_text(encoding="utf-8")).get("passed_over")
    lines = [f"passed over: {why}"] if why else [target.line for target in read_targets(file)]
    return [f"{file.stem}: {line}" for line in lines or ["no target, figures only"]]


def main() -> int:
    """Print one line a target; 0 whether met or not: a benchmark tells, tests decide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("folder", type=Path, help="where the benchmarks wrote their JSON")
    for file in sorted(parser.parse_args().folder.glob("*.json")):
        print(*summary(file), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
