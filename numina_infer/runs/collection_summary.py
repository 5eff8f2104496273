"""Summarises a collection in one line, since thousands of problems make no table.

Accuracy by vote is self-consistency's (arXiv 2203.11171); pass@1 is the chance that one trajectory is right
(arXiv 2107.03374), estimated here by the share of all that are.
Everything is read from the run's events, one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from numina_infer.answers.references import Accepted
from numina_infer.runs.history import Outline, read_outlines
from numina_infer.runs.progress import show_time


@dataclass(frozen=True, slots=True)
class CollectionSession:
    """The work since the collection was started or resumed."""

    num_solved: int = 0
    seconds: float = 0.0
    """Since engine and sandbox ran."""

    @property
    def line(self) -> str:
        """Its problems, time and speed."""
        pace = f", {60 * self.num_solved / self.seconds:.1f} a minute" if self.seconds > 0 else ""
        return f"this session: {self.num_solved} problems in {show_time(self.seconds)}{pace}"


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """All problems with a verdict, of this session and earlier ones."""

    outlines: tuple[Outline, ...]
    references: Mapping[str, Accepted]
    """The right votes by problem id."""
    session: CollectionSession
    is_simulated: bool = False

    @property
    def scored(self) -> tuple[Outline, ...]:
        """Problems with a reference."""
        return tuple(outline for outline in self.outlines if outline.problem.id in self.references)

    @property
    def num_correct(self) -> int:
        """Problems whose vote, not a fallback, is right."""
        return sum(self._is_correct(outline) for outline in self.scored)

    @property
    def pass_at_1(self) -> float:
        """The mean over scored problems of the share of trajectories that are right; 0 without any."""
        shares = [self._share_right(outline) for outline in self.scored]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def num_trajectories(self) -> int:
        """Trajectories that ended."""
        return sum(outline.num_ended for outline in self.outlines)

    @property
    def num_incomplete(self) -> int:
        """Problems with errors, which a resumed collection solves again."""
        return sum(not outline.is_complete for outline in self.outlines)

    @property
    def has_failed(self) -> bool:
        """Whether every trajectory broke."""
        num_failed = sum(outline.num_failed for outline in self.outlines)
        return bool(self.outlines) and num_failed == self.num_trajectories

    @property
    def line(self) -> str:
        """The collection in one sentence."""
        tokens = sum(outline.num_tokens for outline in self.outlines)
        title = "simulated: " if self.is_simulated else ""
        return (
            f"{title}{len(self.outlines)} problems{self._accuracy}; "
            f"{self.num_trajectories} trajectories, {tokens} tokens; {self.session.line}."
        )

    @property
    def _accuracy(self) -> str:
        if not self.scored:
            return ", none with a reference"
        by_vote = self.num_correct / len(self.scored)
        return (
            f": {self.num_correct} of {len(self.scored)} with a reference right by vote ({by_vote:.1%}), "
            f"pass@1 {self.pass_at_1:.1%}"
        )

    def _is_correct(self, outline: Outline) -> bool:
        solution, accepted = outline.solution, self.references[outline.problem.id]
        return solution is not None and not solution.is_fallback and solution.answer in accepted

    def _share_right(self, outline: Outline) -> float:
        num_right = sum(outline.answers[vote] for vote in self.references[outline.problem.id])
        return num_right / max(1, outline.num_ended)


def summarize_collection(
    folder: Path, references: Mapping[str, Accepted], session: CollectionSession, *, is_simulated: bool
) -> CollectionSummary:
    """The summary of the run in `folder`, scored by `references`."""
    solved = tuple(outline for outline in read_outlines(folder) if outline.solution is not None)
    return CollectionSummary(solved, references, session, is_simulated)
