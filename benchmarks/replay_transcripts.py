"""Recorded programs run again: how many print what was recorded, and how the others differ.

Rho-Math, ToRA and dynamic-cheatsheet have a fresh child a program, MathCoder a session a solution.
Left out beforehand, by the recorded text alone: blocks recorded as an error or a time-out.
A program that failed because something is forbidden counts as a difference. Floor: 97 % the same.
Same means: the same text after white space at line ends and a trailing line «None» are dropped, up to the recording's
own cut.
"""

import argparse
import collections
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.recorded import SOURCES, Block, trajectories, transcripts_folder
from numina_infer.config import Mode
from numina_infer.provenance import machine
from numina_infer.sandbox import Execution, Sandbox

FLOOR = 0.97
TIMEOUT_S = 10.0
_FAILED = re.compile(r"Error|Exception|Traceback|[Tt]ime ?out|timed out|took too long")
_SILENT = re.compile(r".{0,40}No output was generated.{0,200}", re.DOTALL)
"""What a recorder says of a program that printed nothing."""
_FORBIDDEN = re.compile(r"Errno 30|Errno 1\]|Permission|Read-only|No usable temporary")
_FILES = re.compile(r"\bopen\(|tempfile|savefig|to_csv|os\.(?:remove|mkdir)")
_PROCESSES = re.compile(r"subprocess|multiprocessing|os\.(?:system|fork|popen)|ProcessPool")
_NETWORK = re.compile(r"requests|urllib|socket|http\.client")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Compared:
    """One block."""

    source: str
    block: Block
    execution: Execution
    kind: str
    """«same», or the class of difference."""


def is_good(block: Block) -> bool:
    """True unless the recorded text is that of an error or a time-out."""
    return not _FAILED.search(block.output)


def normal(text: str) -> str:
    """Text without white space at line ends, quotes of a lone string, or a last line «None»."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    if lines and lines[-1] == "None":
        lines.pop()
    return "\n".join(lines).strip()


def classify(block: Block, execution: Execution) -> str:
    """How the outcome of a block compares."""
    ours, theirs = normal(execution.output), normal(_SILENT.sub("", block.output))
    if ours == theirs or ours.strip("'\"") == theirs.strip("'\""):
        return "same"
    if execution.status != "ok":
        if _FORBIDDEN.search(execution.output):
            return "forbidden"
        return f"{execution.status} here"
    if _without_space(ours) == _without_space(theirs):
        return "white space"
    return _by_content(ours, theirs)


def _by_content(ours: str, theirs: str) -> str:
    if theirs and (ours.startswith(theirs) or ours.endswith(theirs)):
        return "more lines here (echo, or the recording's cut)"
    if ours and (theirs.startswith(ours) or theirs.endswith(ours)):
        return "more lines recorded"
    if sorted(re.findall(r"\w+", ours)) == sorted(re.findall(r"\w+", theirs)):
        return "another order of the same terms"
    if _close(ours, theirs):
        return "last digits of floats"
    return "other"


def _without_space(text: str) -> str:
    return re.sub(r"\s", "", text)


def _close(ours: str, theirs: str) -> bool:
    if _NUMBER.sub("#", ours) != _NUMBER.sub("#", theirs):
        return False
    pairs = zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True)
    return all(abs(float(a) - float(b)) <= 1e-9 * max(abs(float(a)), 1) for a, b in pairs)


async def replay(sandbox: Sandbox, source: str, blocks: list[Block], into: list[Compared]) -> None:
    """Run the blocks of one solution."""
    mode = Mode.SESSION if source == "mathcoder" else Mode.FRESH
    async with sandbox.session(mode) as session:
        for block in blocks:
            execution = await session.execute(block.code, timeout_s=TIMEOUT_S)
            if is_good(block):
                into.append(Compared(source, block, execution, classify(block, execution)))


async def replay_all(every: int) -> list[Compared]:
    """Every `every`-th solution of each source, as many at once as there are slots."""
    compared = list[Compared]()
    async with Sandbox() as sandbox, anyio.create_task_group() as tasks:
        for source in SOURCES:
            for blocks in list(trajectories(source))[::every]:
                tasks.start_soon(replay, sandbox, source, blocks, compared)
    return compared


def wanted(compared: list[Compared]) -> dict[str, int]:
    """How many programs name files, processes or the network."""
    kinds = {"files": _FILES, "processes": _PROCESSES, "network": _NETWORK}
    return {name: sum(bool(kind.search(one.block.code)) for one in compared) for name, kind in kinds.items()}


def main() -> None:
    """Replay, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="every tenth solution")
    parser.add_argument("--differences", action="store_true", help="print every block that isn't the same")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    if transcripts_folder() is None:
        sys.exit("the recorded transcripts are not on this machine; set NUMINA_SHARED to their folder")
    compared = anyio.run(replay_all, 10 if options.short else 1)
    kinds = collections.Counter(one.kind for one in compared)
    by_source = {
        source: [sum(one.kind == "same" for one in compared if one.source == source),
                 sum(one.source == source for one in compared)]
        for source in SOURCES
    }  # fmt: skip
    share = kinds["same"] / len(compared)
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, Python {here['python']}, load {os.getloadavg()[0]:.1f}")
    print(
        f"same: {kinds['same']} of {len(compared)}, {share:.1%} ({'met' if share >= FLOOR else 'NOT met'}, floor 97 %)"
    )
    for source, (same, total) in by_source.items():
        print(f"  {source}: {same} of {total}")
    for kind, count in kinds.most_common():
        print(f"  {kind}: {count}")
    print(f"programs that name files, processes, the network: {wanted(compared)}")
    if options.differences:
        for one in compared:
            if one.kind != "same":
                print(f"--- {one.source}, {one.kind}\n{one.block.code}\n>>> recorded\n{one.block.output}")
                print(f">>> here\n{one.execution.output}")
    if options.json:
        figures = {"same": share, "kinds": kinds, "by_source": by_source, "wanted": wanted(compared)}
        options.json.write_text(json.dumps({"machine": here, **figures}, indent=2))


if __name__ == "__main__":
    main()
