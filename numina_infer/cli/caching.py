"""The command for a cache folder: `cache`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numina_infer.cli.parser import Commands

_EXAMPLES = """\
examples:
  numina-infer collect --problems test.csv --cache completions   fills the folder, or finds there what it needs
  numina-infer cache completions                                 how much is in it
  numina-infer cache completions --clear                         takes the completions out

A completion is found again by the same prompt, sampling parameters, seed, weights, tokenizer and engine version.
Any number of runs may use one folder at once. docs/tuning.md has the rest."""


def add_cache(commands: "Commands") -> None:
    """Declare `cache`."""
    parser = commands.add_parser(
        "cache",
        help="what a folder of cached completions holds",
        description="Tell the size of a folder that --cache was given, or clear it.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder")
    parser.add_argument("--clear", action="store_true", help="remove the completions; other files stay")
    parser.set_defaults(command=_cache)


def _cache(chosen: argparse.Namespace) -> int:
    from numina_infer.engines.cache.cache_folder import CacheFolder

    folder = CacheFolder(chosen.folder, lambda line: print(line, file=sys.stderr))
    size = folder.clear() if chosen.clear else folder.size
    done = "cleared of" if chosen.clear else "holds"
    print(f"{chosen.folder}: {done} {size.num_entries} completions, {size.num_bytes / 1e6:.1f} MB")
    return 0
