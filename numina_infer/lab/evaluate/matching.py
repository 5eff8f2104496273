"""Matches the problems of a run with references, chooses the grader, and lists what is left out.

A run that was cut off, a problem without a reference and a reference without a problem are no errors, as long as one
problem remains to be scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numina_infer.answers.references import Accepted, read_reference
from numina_infer.core.config import require
from numina_infer.core.records import Problem, Solution
from numina_infer.lab.evaluate.marking import GraderName
from numina_infer.lab.replay.recording import RecordedProblem, Recording
from numina_infer.runs.problems import example_problems_path, packaged_path, read_problems
from numina_infer.runs.provenance import file_sha256

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Ids of problems and references that weren't evaluated, by the reason."""

    unfinished: tuple[str, ...] = ()
    without_reference: tuple[str, ...] = ()
    not_votable: tuple[str, ...] = ()
    """Problems whose reference no vote in the run's range can hit; left out by the grader `integer` alone."""
    otherwise_stated: tuple[str, ...] = ()
    """Ids that the run and the file give to different statements, so to different problems."""
    not_in_run: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """For people, one a reason."""
        reasons = {
            "have no verdict yet": self.unfinished,
            "have no reference": self.without_reference,
            "have a reference that no vote in the run's range can be (--grader general takes it)": self.not_votable,
            "have the id of a reference and another statement": self.otherwise_stated,
            "have a reference and aren't in the run": self.not_in_run,
        }
        return tuple(f"left out: {named(ids)} {reason}" for reason, ids in reasons.items() if ids)


@dataclass(frozen=True, slots=True)
class References:
    """Answers by problem id."""

    answers: Mapping[str, str]
    statements: Mapping[str, str] = field(default_factory=dict)
    """Statements by problem id, where they are known: many sets use the same ids, such as 0, 1, 2."""

    @classmethod
    def read(cls, path: str | Path) -> "References":
        """Those of a problems file.

        Raises:
            ConfigError: it isn't there, or can't be read.
        """
        problems = read_problems(path)
        return cls(problems.references, {one.id: one.statement for one in problems.problems})

    def states(self, problem: Problem) -> bool:
        """Whether its id has the same statement here, or none."""
        stated = self.statements.get(problem.id, problem.statement)
        return stated.split() == problem.statement.split()

    def answer_to(self, problem: Problem) -> str | None:
        """The reference of `problem`."""
        return self.answers.get(problem.id) if self.states(problem) else None

    def of(self, recording: Recording) -> Mapping[str, str]:
        """Those of the problems of a run."""
        answers = {one.problem.id: self.answer_to(one.problem) for one in recording.problems}
        return {identifier: answer for identifier, answer in answers.items() if answer is not None}


@dataclass(frozen=True, slots=True)
class Referenced:
    """One finished problem with its reference."""

    recorded: RecordedProblem
    solution: Solution
    reference: str
    """As the file has it."""
    accepted: Accepted
    """The votes in the run's range that hit it; none where none can."""


def find_references(recording: Recording, given: str | Path | Mapping[str, str] | None) -> References:
    """Answers by problem id: those given, those of a problems file, or those of the file that the run itself read.

    Raises:
        ConfigError: the file isn't there or can't be read.
    """
    if isinstance(given, Mapping):
        return References(given)
    if given is not None:
        return References.read(given)
    own = own_references(recording.info)
    require(
        bool(own),
        "the problems file that the run was made from isn't here, has changed, or has no answers; give the references",
    )
    return References(own)


def own_references(info: Mapping[str, Any]) -> Mapping[str, str]:
    """References of the problems file that a run was made from, if it is still where it was and the same."""
    digest, name = info.get("problems_sha256"), info.get("problems")
    paths = [Path(name)] if isinstance(name, str) else [example_problems_path(), packaged_path("samples.jsonl")]
    path = next((path for path in paths if path.is_file() and file_sha256(path) == digest), None)
    return read_problems(path).references if path else {}


def match(
    recording: Recording, references: References, grader: GraderName
) -> tuple[GraderName, tuple[Referenced, ...], LeftOut]:
    """The grader, `integer` or `general`, the problems of a run that it can score, and what is left out.

    Raises:
        ConfigError: no problem can be scored.
    """
    answer_range = recording.preset.rollout.answer_range
    finished = [
        Referenced(one, one.solution, text, read_reference(text, answer_range))
        for one in recording.problems
        if (text := references.answer_to(one.problem)) is not None and one.solution is not None
    ]
    if grader is GraderName.AUTO:
        grader = GraderName.INTEGER if all(one.accepted for one in finished) else GraderName.GENERAL
    scored = tuple(one for one in finished if one.accepted or grader is GraderName.GENERAL)
    left_out = _left_out(recording, references, {one.recorded.problem for one in scored})
    require(
        bool(scored),
        f"no problem of the run in {recording.folder} can be scored in the range {answer_range} by these references; "
        "give the problems file that the run was made from, with answers "
        f"({'; '.join(left_out.lines) or 'both are empty'})",
    )
    return grader, scored, left_out


def _left_out(recording: Recording, references: References, scored: set[Problem]) -> LeftOut:
    asked = [one.problem for one in recording.problems]
    answered = [one for one in recording.problems if references.answer_to(one.problem) is not None]
    ids = {problem.id for problem in asked}
    return LeftOut(
        unfinished=tuple(one.problem.id for one in answered if one.solution is None),
        without_reference=tuple(problem.id for problem in asked if problem.id not in references.answers),
        not_votable=tuple(
            one.problem.id for one in answered if one.solution is not None and one.problem not in scored
        ),
        otherwise_stated=tuple(problem.id for problem in asked if not references.states(problem)),
        not_in_run=tuple(identifier for identifier in references.answers if identifier not in ids),
    )


def named(ids: tuple[str, ...]) -> str:
    """`3 problems (a, b, c)`, the first few of many."""
    names = ", ".join(ids[:_MOST_NAMED]) + (", …" if len(ids) > _MOST_NAMED else "")
    return f"{len(ids)} problem{'s' if len(ids) > 1 else ''} ({names})"
