"""What every benchmark has: its options, the machine's name, its targets, and the file that keeps its figures.

A target is a figure with a floor, which must be met, and perhaps an aim, which the best would reach.
`python benchmarks/frame.py FOLDER` prints one line for each target of the figures in FOLDER: `make bench` ends so.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from numina_infer.provenance import machine


@dataclass(frozen=True, slots=True)
class Target:
    """A figure, and what it should be."""

    name: str
    value: float
    floor: float
    aim: float | None = None
    unit: str = ""
    at_most: bool = False
    """Whether less is better: floor and aim are upper bounds then."""

    @property
    def is_met(self) -> bool:
        """Whether the floor is."""
        return self.misses(self.floor) <= 0

    def misses(self, bound: float) -> float:
        """By how much `bound` is missed; zero or below where it is met."""
        return self.value - bound if self.at_most else bound - self.value

    @property
    def line(self) -> str:
        """The target in one line: met, or by how much not."""
        bounds = [("floor", self.floor), *([("aim", self.aim)] if self.aim is not None else [])]
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
    parser = parser or argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = description
    parser.add_argument("--short", action="store_true", help=short)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    return parser.parse_args(arguments)


def name_machine() -> str:
    """The machine in one line, with what else it is doing."""
    here = machine()
    return f"{here['processor']}, {here['cores']} cores, Python {here['python']}, load {os.getloadavg()[0]:.1f}"


def finish(options: argparse.Namespace, figures: Mapping[str, object], targets: Sequence[Target] = ()) -> None:
    """Print the targets, and write everything if a file was asked for."""
    for target in targets:
        print(target.line)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "figures": figures, "targets": [asdict(target) for target in targets]}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_targets(file: Path) -> list[Target]:
    """The targets that a benchmark wrote."""
    return [Target(**target) for target in json.loads(file.read_text(encoding="utf-8"))["targets"]]


def main() -> int:
    """Print one line a target; 0 whether met or not: a benchmark tells, tests decide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the benchmarks wrote their JSON")
    for file in sorted(parser.parse_args().folder.glob("*.json")):
        for target in read_targets(file):
            print(f"{file.stem}: {target.line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
