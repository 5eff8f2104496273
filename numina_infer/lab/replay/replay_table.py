"""Tables of replays: a row for each problem of one replay, or a row for each policy of a sweep."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from numina_infer.answers.references import Accepted, read_references
from numina_infer.core.records import Solution
from numina_infer.lab.evaluate.matching import find_references
from numina_infer.lab.replay.recording import Recording
from numina_infer.lab.replay.replay import Replay, Replayed, replay_all
from numina_infer.lab.replay.variant import Change
from numina_infer.runs.progress import show_time, show_votes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """What one policy would have given over a whole run."""

    name: str
    num_problems: int
    num_unrecorded: int
    """Problems on which the policy would have gone on where the log ends; they count nowhere else."""
    num_changed: int
    """Problems with another answer than the run gave."""
    num_right: int
    num_scored: int
    """Verdicts with a reference to score them by."""
    num_ended: int
    """Trajectories that had ended when the referee stopped."""
    num_tokens: int
    """Sampled by these."""
    seconds: float
    """From arrival to verdict, all problems together, as the run's clock went."""

    @classmethod
    def of(cls, change: Change, replay: Replay, references: Mapping[str, str]) -> "ReplayRow":
        """The row of `replay`; `references` are those of a problems file."""
        accepted = read_references(references, replay.variant.answer_range)
        known = [one for one in replay.problems if one.is_recorded]
        scores = [score for one in known if (score := _is_right(one, accepted)) is not None]
        return cls(
            name=change.name,
            num_problems=len(replay.problems),
            num_unrecorded=replay.num_unrecorded,
            num_changed=replay.num_changed,
            num_right=sum(scores),
            num_scored=len(scores),
            num_ended=sum(one.ledger.num_ended for one in known),
            num_tokens=sum(one.num_tokens for one in known),
            seconds=sum(one.seconds for one in known),
        )


def _is_right(one: Replayed, accepted: Mapping[str, Accepted]) -> bool | None:
    """Whether a vote, not a fallback, hit the reference; None without a verdict or a reference."""
    votes = accepted.get(one.recorded.problem.id)
    if one.solution is None or votes is None:
        return None
    return not one.solution.is_fallback and one.solution.answer in votes


def replay_frame(
    recording: Recording, changes: Sequence[Change], references: str | Path | Mapping[str, str] | None = None
) -> "pd.DataFrame":
    """One row a change, with the columns of `ReplayRow`, `name` as the index.

    `references` are a problems file, answers by problem id, or None for the file that the run itself read.

    Raises:
        ConfigError: a change can't be made, or the references can't be read.
    """
    import pandas as pd

    found = find_references(recording, references).of(recording)
    replays = zip(changes, replay_all(recording, changes), strict=True)
    rows = [asdict(ReplayRow.of(change, replay, found)) for change, replay in replays]
    return pd.DataFrame(rows).set_index("name")


def sweep_table(rows: Iterable[ReplayRow]) -> Table:
    """A row for each way to decide."""
    table = Table(title="Replayed", title_justify="left")
    table.add_column("policy", overflow="fold")
    for name in ("right", "changed", "not recorded", "ended", "tokens", "time"):
        table.add_column(name, justify="right")
    for row in rows:
        right = f"{row.num_right}/{row.num_scored}" if row.num_scored else ""
        counts = (row.num_changed, row.num_unrecorded, row.num_ended, row.num_tokens)
        table.add_row(row.name, right, *map(str, counts), show_time(row.seconds))
    return table


def problem_table(replay: Replay, references: Mapping[str, str]) -> Table:
    """A row for each problem: what the run had, and what it would have had."""
    accepted = read_references(references, replay.variant.answer_range)
    table = Table(title="Replayed", title_justify="left")
    table.add_column("problem", overflow="fold")
    for name in ("was", "is", "stopped", "ended"):
        table.add_column(name, justify="right")
    table.add_column("votes", overflow="fold")
    for one in replay.problems:
        mark = {True: " ✓", False: " ✗", None: ""}[_is_right(one, accepted)]
        table.add_row(
            one.recorded.problem.id,
            _answer(one.recorded.solution, "no verdict"),
            f"{_answer(one.solution, 'not recorded')}{mark}",
            "" if one.solution is None else str(one.solution.stop_reason),
            f"{one.ledger.num_ended}/{one.ledger.num_started}",
            show_votes(one.ledger.ballot),
        )
    return table


def _answer(solution: Solution | None, otherwise: str) -> str:
    if solution is None:
        return otherwise
    return f"{solution.answer}{' (fallback)' if solution.is_fallback else ''}"
