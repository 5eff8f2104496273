"""Matches the problems of a run with references, chooses the grader, and lists what is left out.

A run that was cut off, a problem without a reference and a reference without a problem are no errors, as long as one
problem remains to be scored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numina_infer.answers.references import Accepted, read_reference
from numina_infer.core.config import require
from numina_infer.core.records import AnswerRange, Problem, Solution
from numina_infer.lab.evaluate.marking import GraderName
from numina_infer.lab.replay.recording import RecordedProblem, Recording
from numina_infer.runs.problems import example_problems_path, packaged_path, read_problems
from numina_infer.runs.provenance import file_sha256

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Ids of problems and references that weren't evaluated, by the reason."""

    unfinished: tuple[str, ...] = ()
    """Problems of the run without a verdict."""
    without_reference: tuple[str, ...] = ()
    """Problems of the run for which the file has no answer."""
    not_votable: tuple[str, ...] = ()
    """Problems whose reference no vote in the run's range can hit; left out by the grader `integer` alone."""
    otherwise_stated: tuple[str, ...] = ()
    """Ids that the run and the file give to different statements, so to different problems."""
    not_in_run: tuple[str, ...] = ()
    """References to problems that aren't in the run."""

    @property
    def lines(self) -> tuple[str, ...]:
        """For people, one a reason."""
        reasons = {
            "have no verdict yet": self.unfinished,
            "have no reference": self.without_reference,
            "have a reference that no vote in the run's range can be": self.not_votable,
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


@dataclass(frozen=True, slots=True)
class Matched:
    """The problems to evaluate, and the grader."""

    grader: GraderName
    """`integer` or `general`."""
    problems: tuple[Referenced, ...]
    left_out: LeftOut


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
    require(bool(own), _NO_OWN_FILE)
    return References(own)


_NO_OWN_FILE = (
    "the problems file that the run was made from isn't here, has changed, or has no answers; give the references"
)


def own_references(info: Mapping[str, Any]) -> Mapping[str, str]:
    """References of the problems file that a run was made from, if it is still where it was and the same."""
    digest, named = info.get("problems_sha256"), info.get("problems")
    paths = [Path(named)] if isinstance(named, str) else [example_problems_path(), packaged_path("samples.jsonl")]
    for path in paths:
        if path.is_file() and file_sha256(path) == digest:
            return read_problems(path).references
    return {}


def match(recording: Recording, references: References, grader: GraderName) -> Matched:
    """Match the problems of a run with `references`.

    Raises:
        ConfigError: no problem can be scored.
    """
    answer_range = recording.preset.rollout.answer_range
    finished = [
        Referenced(one, one.solution, text, read_reference(text, answer_range))
        for one in recording.problems
        if (text := references.answer_to(one.problem)) is not None and one.solution is not None
    ]
    chosen = _choose(grader, finished)
    evaluated = tuple(one for one in finished if one.accepted or chosen is GraderName.GENERAL)
    left_out = _left_out(recording, references, finished, evaluated)
    require(bool(evaluated), _why_nothing(recording, references, left_out, answer_range))
    return Matched(chosen, evaluated, left_out)


def _left_out(
    recording: Recording, references: References, finished: Iterable[Referenced], evaluated: Iterable[Referenced]
) -> LeftOut:
    asked = {one.problem: one.problem.id for one in recording.problems}
    done = {one.recorded.problem for one in finished}
    used = {one.recorded.problem for one in evaluated}
    answered = [problem for problem in asked if references.answer_to(problem) is not None]
    ids = set(asked.values())
    return LeftOut(
        unfinished=tuple(problem.id for problem in answered if problem not in done),
        without_reference=tuple(identifier for identifier in asked.values() if identifier not in references.answers),
        not_votable=tuple(problem.id for problem in answered if problem in done and problem not in used),
        otherwise_stated=tuple(problem.id for problem in asked if not references.states(problem)),
        not_in_run=tuple(identifier for identifier in references.answers if identifier not in ids),
    )


def _choose(wanted: GraderName, finished: Iterable[Referenced]) -> GraderName:
    if wanted is not GraderName.AUTO:
        return wanted
    return GraderName.INTEGER if all(one.accepted for one in finished) else GraderName.GENERAL


def _why_nothing(recording: Recording, references: References, left_out: LeftOut, answer_range: AnswerRange) -> str:
    where = f"the run in {recording.folder}"
    if not recording.problems:
        return f"{where} holds no problem yet"
    if not references.answers:
        return "the references hold no answer; give a problems file with a column answer"
    if left_out.not_votable:
        return f"no reference can be voted for in the range {answer_range}; --grader general compares them as they are"
    if left_out.unfinished:
        return f"{where} has no verdict yet on a problem with a reference; go on with it first"
    if left_out.otherwise_stated:
        return (
            f"{where} and the references have ids in common and no statement, {named(left_out.otherwise_stated)}; "
            "give the file that the run was made from"
        )
    return (
        f"no reference is of a problem of {where}: it has {named(left_out.without_reference)}, "
        f"the references are of {named(left_out.not_in_run)}; give the file that the run was made from"
    )


def named(ids: tuple[str, ...]) -> str:
    """`3 problems (a, b, c)`, the first few of many."""
    names = ", ".join(ids[:_MOST_NAMED]) + (", …" if len(ids) > _MOST_NAMED else "")
    return f"{len(ids)} problem{'s' if len(ids) > 1 else ''} ({names})"
