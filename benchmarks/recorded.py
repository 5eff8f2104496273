"""The recorded public data, for benchmarks: where it is, its texts, and its programs.

It lies in the folder that NUMINA_SHARED names, or in `shared` beside the repository; without it the benchmarks
that need it take the programs in tests/attacks/benign.py, or say so and end.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numina_infer.answers.expression import read_integer
from tests.attacks.benign import BENIGN

SOURCES = ("rho_interpreter", "tora_gsm8k", "dynamic_cheatsheet_aime", "mathcoder")
NOT_HERE = "the recorded data is not on this machine; set NUMINA_SHARED to the folder that holds data/"


@dataclass(frozen=True)
class Block:
    """One program and the output recorded with it."""

    code: str
    output: str


@dataclass(frozen=True, slots=True)
class RecordedText:
    """One published text, what its problem's answer is, and what its own project read in it."""

    text: str
    reference: int
    prediction: int | None
    is_correct: bool
    source: str


def data_folder() -> Path | None:
    """Where the recorded data is; None if it isn't here."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("NUMINA_SHARED", beside)) / "data"
    return folder if folder.is_dir() else None


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def trajectories(source: str) -> Iterator[list[Block]]:
    """The blocks of each recorded solution, in order; a block whose output wasn't recorded ends it."""
    folder = data_folder()
    if folder is not None:
        for row in rows(folder / "transcripts" / f"{source}.jsonl"):
            yield _blocks(row["turns"])


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
    if data_folder() is None:
        yield from (f"print({code})" if "\n" not in code and "=" not in code else code for code, _ in BENIGN)
    for source in ("rho_interpreter", "dynamic_cheatsheet_aime", "tora_gsm8k"):
        yield from (block.code for blocks in trajectories(source) for block in blocks[:1])


def recorded_texts() -> Iterator[RecordedText]:
    """Every text with an integer reference."""
    folder = data_folder()
    if folder is None:
        return
    for row in rows(folder / "answers.jsonl"):
        yield from _text_of(row, str(row["raw"]))
    for path in sorted((folder / "transcripts").glob("*.jsonl")):
        for row in rows(path):
            written = [turn["content"] for turn in row["turns"] if turn["kind"] == "text"]
            yield from _text_of(row, str(row.get("text") or "\n".join(written)))


def _text_of(row: Mapping[str, Any], text: str) -> Iterator[RecordedText]:
    reference = read_integer(str(row["reference"]))
    prediction = read_integer(str(row.get("prediction") or ""))
    if isinstance(reference, int):
        read = prediction if isinstance(prediction, int) else None
        yield RecordedText(text, reference, read, bool(row["correct"]), str(row["source"]).split()[0])
