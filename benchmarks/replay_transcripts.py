"""Recorded programs run again: how many print what was recorded, and how the others differ.

Rho-Math, ToRA and dynamic-cheatsheet have a fresh child a program, MathCoder a session a solution.
Left out beforehand, by the recorded text alone: blocks recorded as an error or a time-out.
A program that failed because something is forbidden counts as a difference. Floor: 97 % the same.
Same means: the same text after white space at line ends and a trailing line «None» are dropped, up to the recording's
own cut.
"""

import argparse
import collections
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import anyio

from benchmarks.frame import Target, finish, name_machine, pass_over, read_options, show
from benchmarks.recorded import NOT_HERE, SOURCES, Block, data_folder, trajectories
from numina_infer.core.config import Mode
from numina_infer.core.terminal import HelpFormatter
from numina_infer.sandbox import Execution, Sandbox

FLOOR = 97.0
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


def rows(compared: Sequence[Compared]) -> Iterator[tuple[str, int, int]]:
    """How many there are and how many are the same, by source and in all."""
    for source in SOURCES:
        kinds = [one.kind for one in compared if one.source == source]
        yield source, len(kinds), kinds.count("same")
    yield "all", len(compared), sum(one.kind == "same" for one in compared)


def show_differences(compared: Sequence[Compared]) -> None:
    """Print every block that isn't the same."""
    for one in compared:
        if one.kind != "same":
            print(f"--- {one.source}, {one.kind}\n{one.block.code}\n>>> recorded\n{one.block.output}")
            print(f">>> here\n{one.execution.output}")


def main() -> None:
    """Replay, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--differences", action="store_true", help="print every block that isn't the same")
    options = read_options(__doc__, "every tenth solution", parser=parser)
    if data_folder() is None:
        pass_over(options, NOT_HERE)
    print(name_machine())
    compared = anyio.run(replay_all, 10 if options.short else 1)
    by_source = list(rows(compared))
    kinds = collections.Counter(one.kind for one in compared)
    show(["source", "blocks", "the same"], by_source)
    print("\nby kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print(f"programs that name files, processes, the network: {wanted(compared)}")
    if options.differences:
        show_differences(compared)
    share = 100 * kinds["same"] / len(compared)
    figures = {"same_percent": share, "kinds": kinds, "by_source": by_source, "wanted": wanted(compared)}
    finish(options, figures, [Target("recorded programs with the same output", share, FLOOR, unit=" %")])


if __name__ == "__main__":
    main()
