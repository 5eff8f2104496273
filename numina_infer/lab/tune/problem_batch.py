"""The problems that a setting gets at once, as a problems file of their own, so that each run has the file it read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from numina_infer.runs.problems import ProblemRow


@dataclass(frozen=True, slots=True)
class ProblemBatch:
    """Some problems, in the search's order."""

    first: int
    """The place of the first of them, from 0."""
    rows: tuple[ProblemRow, ...]

    @property
    def last(self) -> int:
        """How many problems a setting has with these."""
        return self.first + len(self.rows)

    @property
    def name(self) -> str:
        """By the places of its problems, from 1."""
        return f"{self.first + 1:04d}-{self.last:04d}"

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its problems."""
        return tuple(row.problem.id for row in self.rows)

    def write(self, folder: Path) -> Path:
        """The file in `folder`: the same bytes each time.

        Raises:
            OSError: it can't be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.jsonl"
        rows = [{"id": one.problem.id, "problem": one.problem.statement, "answer": one.reference} for one in self.rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path


def cut(rows: Sequence[ProblemRow], steps: Sequence[int]) -> tuple[ProblemBatch, ...]:
    """`rows` in batches that end at `steps`."""
    return tuple(ProblemBatch(first, tuple(rows[first:last])) for first, last in pairwise((0, *steps)))
