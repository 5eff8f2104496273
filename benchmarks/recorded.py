"""The recorded transcripts, for benchmarks: where they are and what is in them.

They lie in the folder that NUMINA_SHARED names, or in `shared` beside the repository; without them the benchmarks
that need them take the programs in tests/attacks/benign.py, or say so and end.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.benign import BENIGN

SOURCES = ("rho_interpreter", "tora_gsm8k", "dynamic_cheatsheet_aime", "mathcoder")


@dataclass(frozen=True)
class Block:
    """One program and the output recorded with it."""

    code: str
    output: str


def transcripts_folder() -> Path | None:
    """Where the transcripts are; None if they aren't here."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("NUMINA_SHARED", beside)) / "data" / "transcripts"
    return folder if folder.is_dir() else None


def trajectories(source: str) -> Iterator[list[Block]]:
    """The blocks of each recorded solution, in order; a block whose output wasn't recorded ends it."""
    folder = transcripts_folder()
    if folder is None:
        return
    with (folder / f"{source}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield _blocks(json.loads(line)["turns"])


def _blocks(turns: list[dict[str, str]]) -> list[Block]:
    blocks, code = list[Block](), None
    for turn in turns:
        if turn["kind"] == "code":
            if code is not None:
                return blocks
            code = turn["content"]
        elif turn["kind"] == "output" and code is not None:
            blocks.append(Block(code, turn["content"]))
            code = None
    return blocks


def recorded_programs() -> Iterator[str]:
    """Programs that need no earlier one."""
    if transcripts_folder() is None:
        yield from (f"print({code})" if "\n" not in code and "=" not in code else code for code, _ in BENIGN)
    for source in ("rho_interpreter", "dynamic_cheatsheet_aime", "tora_gsm8k"):
        yield from (block.code for blocks in trajectories(source) for block in blocks[:1])


def main() -> None:
    """Say what is here."""
    argparse.ArgumentParser(description=__doc__).parse_known_args()
    for source in SOURCES:
        found = list(trajectories(source))
        print(f"{source}: {len(found)} solutions, {sum(map(len, found))} blocks")


if __name__ == "__main__":
    main()
