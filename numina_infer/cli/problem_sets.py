"""The command that makes problems files of validation sets: `problems`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numina_infer.cli.parser import Commands

_EXAMPLES = """\
examples:
  numina-infer problems aime --out aime.jsonl                  90 problems of the AIME, from the Hugging Face hub
  numina-infer problems AI-MO/aimo-validation-amc --out amc.jsonl
  numina-infer problems exported.parquet --expect math-5 --out math5.jsonl   checked to be 721 problems
  numina-infer collect --problems aime.jsonl --model ./my-7b   then

sets by name: amc (83 problems), aime (90), math-4 (754), math-5 (721): Numina's four.
The hub is asked once; the package datasets keeps what it has fetched. A file is CSV, JSONL or Parquet."""


def add_problems(commands: "Commands") -> None:
    """Declare `problems`."""
    parser = commands.add_parser(
        "problems",
        help="make a problems file of a validation set, from the hub or a file",
        description="Load a set of problems with their answers and write it as a problems file.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "source", metavar="SET", help="amc, aime, math-4, math-5, a file, or a dataset's id on the hub"
    )
    parser.add_argument("--expect", metavar="NAME", help="for a file: which of the four sets it is, to check its size")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="a new file that ends in .jsonl")
    parser.set_defaults(command=_problems)


def _problems(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.validation_sets import load_set, write_problems

    loaded = load_set(chosen.source, expect=chosen.expect)
    write_problems(loaded.problems, chosen.out)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(loaded.problems.rows)} problems are in {chosen.out}")
    return 0
