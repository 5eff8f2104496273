"""How long the first sign of life takes: `import numina_infer` and `numina-infer --help`, each in a new process.

The baseline of the same run is an interpreter that does nothing.
Floor: each below 0.4 s (median of ten) on two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from numina_infer.provenance import machine

FLOOR_S = 0.4
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import numina_infer": [sys.executable, "-c", "import numina_infer"],
    "numina-infer --help": [sys.executable, "-m", "numina_infer", "--help"],
    "numina-infer rehearse --help": [sys.executable, "-m", "numina_infer", "rehearse", "--help"],
}


def seconds(command: Sequence[str]) -> float:
    """Wall time of one process, from its start to its end."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="the same: it takes seconds either way")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    medians = {name: statistics.median(seconds(command) for _ in range(10)) for name, command in COMMANDS.items()}
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, Python {here['python']}")
    for name, median in medians.items():
        verdict = (
            "" if name.startswith("python") else f"  {'met' if median < FLOOR_S else 'NOT met'} (floor {FLOOR_S} s)"
        )
        print(f"{name:32} {median:6.3f} s{verdict}")
    if options.json:
        options.json.write_text(json.dumps({"machine": here, "median_s": medians}, indent=2))


if __name__ == "__main__":
    main()
