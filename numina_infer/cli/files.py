"""The commands for files that runs take: `problems` and `cache`."""

import argparse
import sys
from pathlib import Path

from numina_infer.cli.parser import Commands, add_command

_PROBLEMS_EXAMPLES = """\
examples:
  numina-infer problems aime --out aime.jsonl                  90 problems of the AIME, from the Hugging Face hub
  numina-infer problems AI-MO/aimo-validation-amc --out amc.jsonl
  numina-infer problems exported.parquet --expect math-5 --out math5.jsonl   checked to be 721 problems
  numina-infer collect --problems aime.jsonl --model ./my-7b   then

sets by name: amc (83 problems), aime (90), math-4 (754), math-5 (721): Numina's four.
The hub is asked once; the package datasets keeps what it has fetched. A file is CSV, JSONL or Parquet."""


def add_problems(commands: Commands) -> None:
    """Declare `problems`."""
    parser = add_command(
        commands,
        "problems",
        _problems,
        help="make a problems file of a validation set, from the hub or a file",
        description="Load a set of problems with their answers and write it as a problems file.",
        epilog=_PROBLEMS_EXAMPLES,
    )
    parser.add_argument(
        "source", metavar="SET", help="amc, aime, math-4, math-5, a file, or a dataset's id on the hub"
    )
    parser.add_argument("--expect", metavar="NAME", help="for a file: which of the four sets it is, to check its size")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="a new file that ends in .jsonl")


def _problems(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.validation_sets import load_set, write_problems

    loaded = load_set(chosen.source, expect=chosen.expect)
    write_problems(loaded.problems, chosen.out)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(loaded.problems.rows)} problems are in {chosen.out}")
    return 0


_CACHE_EXAMPLES = """\
examples:
  numina-infer collect --problems test.csv --cache completions   fills the folder, or finds there what it needs
  numina-infer cache completions                                 how much is in it
  numina-infer cache completions --clear                         takes the completions out

A completion is found again by the same prompt, sampling parameters, seed, weights, tokenizer and engine version.
Any number of runs may use one folder at once. docs/tuning.md has the rest."""


def add_cache(commands: Commands) -> None:
    """Declare `cache`."""
    parser = add_command(
        commands,
        "cache",
        _cache,
        help="show or clear a folder of cached completions",
        description="Show the size of a folder that --cache was given, or clear it.",
        epilog=_CACHE_EXAMPLES,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder")
    parser.add_argument("--clear", action="store_true", help="remove the completions; other files stay")


def _cache(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.cached_engine import CacheFolder

    folder = CacheFolder(chosen.folder, lambda line: print(line, file=sys.stderr))
    size = folder.clear() if chosen.clear else folder.size
    done = "cleared of" if chosen.clear else "holds"
    print(f"{chosen.folder}: {done} {size.num_entries} completions, {size.num_bytes / 1e6:.1f} MB")
    return 0
