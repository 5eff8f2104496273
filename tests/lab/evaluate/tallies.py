"""Tallies of samples: counted by the definition, drawn, and recorded."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from numina_infer.lab.evaluate.metrics import Tally

BLANK = None
RIGHT = ("right", "right too")


def tally_of(samples: Sequence[str | None], right: Sequence[str] = RIGHT) -> Tally:
    """`samples` as they are counted."""
    counts = Counter(sample for sample in samples if sample is not BLANK)
    return Tally(
        tuple(count for answer, count in counts.items() if answer in right),
        tuple(count for answer, count in counts.items() if answer not in right),
        num_blank=sum(sample is BLANK for sample in samples),
    )


def vote_score(subset: Sequence[str | None], right: Sequence[str] = RIGHT) -> float:
    """What the vote of `subset` is worth, by the definition."""
    counts = Counter(sample for sample in subset if sample is not BLANK)
    leaders = [answer for answer, count in counts.items() if count == max(counts.values())]
    return sum(answer in right for answer in leaders) / len(leaders) if leaders else 0.0


tallies = st.builds(
    Tally,
    st.lists(st.integers(1, 40), max_size=2).map(tuple),
    st.lists(st.integers(1, 20), max_size=6).map(tuple),
    st.integers(0, 20),
).filter(lambda tally: tally.num_samples > 0)


def recorded(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a recorded votes file."""
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)
