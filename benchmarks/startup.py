"""How long the first sign of life takes: `import numina_infer` and `numina-infer --help`, each in a new process.

The baseline of the same run is an interpreter that does nothing.
Floor: each below 0.4 s (median of ten) on two cores.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.frame import Target, finish, name_machine, read_options, show

FLOOR_S = 0.4
BASELINE = "python -c pass"
COMMANDS = {
    BASELINE: [sys.executable, "-c", "pass"],
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
    options = read_options(__doc__, "the same: it takes seconds either way")
    print(name_machine())
    medians = {name: statistics.median(seconds(command) for _ in range(10)) for name, command in COMMANDS.items()}
    show(["what", "seconds"], medians.items())
    targets = [
        Target(name, median, FLOOR_S, unit=" s", at_most=True) for name, median in medians.items() if name != BASELINE
    ]
    finish(options, {"median_s": medians}, targets)


if __name__ == "__main__":
    main()
