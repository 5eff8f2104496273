"""Summarises a run: a table with one row for each problem, and the figures below it; a collection in one line.

Everything is read from the run's events, so a killed run has a summary too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from numina_infer.answers.references import Accepted, read_reference, show_reference
from numina_infer.core.config import BankConfig
from numina_infer.core.presets import Preset
from numina_infer.core.records import AnswerRange, ExecutionStatus, NoAnswer, Solution, StopReason
from numina_infer.runs.history import Outline, read_outlines
from numina_infer.runs.progress import show_time, show_votes
from numina_infer.voting.ballot import Ballot

_MOST_LISTED = 20
"""Different failures listed; of the others only the number is shown."""
_COLUMNS = ("problem", "answer", "reference", "votes", "stopped", "ended", "programs ok", "tokens", "seconds")


@dataclass(frozen=True, slots=True)
class ProblemSummary:
    """One problem of a run."""

    solution: Solution
    outline: Outline
    """Its time, trajectories and programs."""
    reference: Accepted
    """The right votes; none if the problems file has no answer that is an integer in range."""

    @property
    def is_correct(self) -> bool | None:
        """Whether the vote, not a fallback, is right; None without a reference."""
        if not self.reference:
            return None
        return not self.solution.is_fallback and self.solution.answer in self.reference

    @property
    def seconds(self) -> float:
        """From the problem's arrival to its verdict."""
        return self.solution.solved_at - self.solution.opened_at


@dataclass(frozen=True, slots=True)
class Summary:
    """A run, problem by problem, in the order in which they were opened last."""

    problems: tuple[ProblemSummary, ...]
    bank: BankConfig | None = None
    """The contest's time bank; None if it had no limit."""
    is_simulated: bool = False
    log_trouble: str = ""
    """Why the log, from which all of this is read, isn't whole; empty if it is."""

    @property
    def num_correct(self) -> int:
        """Problems whose vote is right."""
        return sum(problem.is_correct is True for problem in self.problems)

    @property
    def num_scored(self) -> int:
        """Problems with a reference."""
        return sum(bool(problem.reference) for problem in self.problems)

    @property
    def num_fallbacks(self) -> int:
        """Problems whose answer has no vote."""
        return sum(problem.solution.is_fallback for problem in self.problems)

    @property
    def num_tokens(self) -> int:
        """Tokens sampled."""
        return sum(problem.outline.num_tokens for problem in self.problems)

    @property
    def incidents(self) -> tuple[str, ...]:
        """Failures that engine, sandbox or gateway recovered from."""
        return tuple(incident for problem in self.problems for incident in problem.solution.incidents)

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors that ended trajectories or whole problems."""
        ended = [error for problem in self.problems for error in problem.outline.errors]
        return tuple(filter(None, [*ended, *(problem.solution.error for problem in self.problems)]))

    @property
    def failures(self) -> tuple[str, ...]:
        """All failures, each in one line with the number of times."""
        announced, came = self.bank.num_problems if self.bank else None, len(self.problems)
        is_surprise = not self.log_trouble and announced not in {None, came}
        surprise = f"{announced} problems were announced, and {came} came" if is_surprise else ""
        all_of_them = (self.log_trouble, surprise, *self.incidents, *self.errors)
        times = Counter(failure.partition("\n")[0] for failure in all_of_them if failure)
        lines = [failure if many == 1 else f"{failure} ({many} times)" for failure, many in times.items()]
        rest = len(lines) - _MOST_LISTED
        return tuple(lines) if rest <= 0 else (*lines[:_MOST_LISTED], f"and {rest} other things")

    @property
    def has_failed(self) -> bool:
        """Whether the run has errors and no vote at all."""
        return bool(self.errors) and self.num_fallbacks == len(self.problems)

    @property
    def line(self) -> str:
        """The run in one sentence."""
        programs = sum((problem.outline.programs for problem in self.problems), Counter[ExecutionStatus]())
        ran_ok = programs.pop(ExecutionStatus.OK, 0)
        others = f" ({', '.join(f'{many} {end}' for end, many in sorted(programs.items()))})" if programs else ""
        seconds = sum(problem.seconds for problem in self.problems)
        return (
            f"{self._title}{len(self.problems)} problems in {show_time(seconds)}: "
            f"{self.num_correct} of {self.num_scored} with a reference right, "
            f"{self.num_fallbacks} without a vote; "
            f"{self.num_tokens} tokens, {ran_ok} of {ran_ok + programs.total()} programs ran{others}."
        )

    @property
    def _title(self) -> str:
        return "simulated: " if self.is_simulated else ""

    @property
    def time_line(self) -> str:
        """The time by the reasons for which problems ended, and the rest of the limit, if there was one."""
        return f"{self._title}time: {'; '.join(self._time_by_reason()) or 'none'}{self._rest_of_limit}"

    @property
    def vote_line(self) -> str:
        """The number of attempts with a vote, and why the others have none."""
        ended = sum(problem.solution.num_ended for problem in self.problems)
        invalid = sum((Counter(problem.solution.invalid) for problem in self.problems), Counter[NoAnswer]())
        why = ", ".join(f"{many} {reason}" for reason, many in sorted(invalid.items()))
        votes = f"{self._title}votes: {ended - invalid.total()} of {ended} attempts"
        return f"{votes}; without: {why}" if why else votes

    def _time_by_reason(self) -> Iterator[str]:
        for reason in StopReason:
            if times := [one.seconds for one in self.problems if one.solution.stop_reason is reason]:
                yield f"{len(times)} {reason} {show_time(sum(times))} ({show_time(sum(times) / len(times))} each)"

    @property
    def _rest_of_limit(self) -> str:
        cuts = [cut for problem in self.problems if (cut := problem.outline.opened.slice) is not None]
        if self.bank is None or not cuts or cuts[0].left_s is None or cuts[-1].left_s is None:
            return ""
        limit_s, reserve_s = self.bank.time_limit_s, self.bank.reserve_s
        before_s = limit_s - reserve_s - cuts[0].left_s
        unused_s = max(0.0, cuts[-1].left_s - self.problems[-1].seconds)
        between_s = limit_s - reserve_s - before_s - unused_s - sum(problem.seconds for problem in self.problems)
        return (
            f"; before the first {show_time(before_s)}, between problems {show_time(max(0.0, between_s))}, "
            f"reserve {show_time(reserve_s)}, not used {show_time(unused_s)} of {show_time(limit_s)}"
        )

    def table(self) -> Table:
        """The table for people."""
        table = Table(title=f"{self._title}Summary", title_justify="left")
        for name in _COLUMNS:
            is_text = name in {"problem", "votes", "stopped"}
            table.add_column(name, justify="left" if is_text else "right", overflow="fold" if is_text else "ellipsis")
        for problem in self.problems:
            table.add_row(*_cells(problem))
        return table


def _cells(problem: ProblemSummary) -> tuple[str, ...]:
    solution, programs = problem.solution, problem.outline.programs
    mark = {True: " ✓", False: " ✗", None: ""}[problem.is_correct]
    return (
        solution.problem_id,
        f"{solution.answer}{' (fallback)' if solution.is_fallback else ''}{mark}",
        show_reference(problem.reference),
        show_votes(Ballot(solution.votes)),
        str(solution.stop_reason),
        f"{solution.num_ended}/{solution.num_started}",
        f"{programs[ExecutionStatus.OK]}/{programs.total()}",
        str(problem.outline.num_tokens),
        f"{problem.seconds:.1f}",
    )


@dataclass(frozen=True, slots=True)
class CollectionSummary(Summary):
    """All problems of a collection with a verdict, of this session and earlier ones.

    Accuracy by vote is self-consistency's (arXiv 2203.11171); pass@1 is the chance that one trajectory is right
    (arXiv 2107.03374), estimated here by the share of all that are.
    """

    num_in_session: int = 0
    """Problems solved since the collection was started or resumed."""
    session_s: float = 0.0
    """The time since engine and sandbox ran, in seconds."""

    @property
    def pass_at_1(self) -> float:
        """The mean over scored problems of the share of trajectories that are right; 0 without any."""
        scored = [(problem.outline, problem.reference) for problem in self.problems if problem.reference]
        shares = [sum(one.answers[vote] for vote in votes) / max(1, one.num_ended) for one, votes in scored]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def num_trajectories(self) -> int:
        """Trajectories that ended."""
        return sum(problem.outline.num_ended for problem in self.problems)

    @property
    def num_incomplete(self) -> int:
        """Problems with errors, which a resumed collection solves again."""
        return sum(not problem.outline.is_complete for problem in self.problems)

    @property
    def has_failed(self) -> bool:
        """Whether every trajectory broke."""
        num_failed = sum(problem.outline.num_failed for problem in self.problems)
        return bool(self.problems) and num_failed == self.num_trajectories

    @property
    def line(self) -> str:
        """The collection in one sentence."""
        pace = f", {60 * self.num_in_session / self.session_s:.1f} a minute" if self.session_s > 0 else ""
        accuracy = ", none with a reference"
        if self.num_scored:
            by_vote = f"right by vote ({self.num_correct / self.num_scored:.1%}), pass@1 {self.pass_at_1:.1%}"
            accuracy = f": {self.num_correct} of {self.num_scored} with a reference {by_vote}"
        return (
            f"{self._title}{len(self.problems)} problems{accuracy}; "
            f"{self.num_trajectories} trajectories, {self.num_tokens} tokens; "
            f"this session: {self.num_in_session} problems in {show_time(self.session_s)}{pace}."
        )


def summarize(
    folder: Path,
    references: Mapping[str, str],
    preset: Preset,
    *,
    is_simulated: bool = False,
    log_trouble: str = "",
) -> Summary:
    """The summary of the run that `preset` made in `folder`, scored by `references` (problem id to reference text).

    `log_trouble` is the writer's `RunLog.trouble`, since a log that isn't whole can't say so.
    """
    problems = summarize_problems(folder, references, preset.rollout.answer_range)
    return Summary(problems, preset.contest.bank, is_simulated, log_trouble)


def summarize_problems(
    folder: Path, references: Mapping[str, str], answer_range: AnswerRange
) -> tuple[ProblemSummary, ...]:
    """The problems with a verdict of the run in `folder`, scored by `references` (problem id to reference text)."""
    return tuple(
        ProblemSummary(solution, outline, read_reference(references.get(solution.problem_id), answer_range))
        for outline in read_outlines(folder)
        if (solution := outline.solution) is not None
    )
