"""Summarises a run: a table with one row for each problem, and the figures below it.

Everything is read from the run's events, so a killed run has a summary too.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from numina_infer.answers.references import Accepted, read_reference, show_reference
from numina_infer.core.config import BankConfig
from numina_infer.core.presets import Preset
from numina_infer.core.records import ExecutionStatus, NoAnswer, Slice, Solution, StopReason, Trajectory
from numina_infer.runs.history import read_logged_problems
from numina_infer.runs.progress import show_time, show_votes
from numina_infer.voting.ballot import Ballot

_MOST_LISTED = 20
"""Different failures listed; of the others only the number is shown."""


@dataclass(frozen=True, slots=True)
class ProblemSummary:
    """One problem of a run."""

    solution: Solution
    trajectories: tuple[Trajectory, ...]
    reference: Accepted
    """The right votes; none if the problems file has no answer that is an integer in range."""
    slice: Slice | None = None
    """The time that it got."""

    @property
    def is_correct(self) -> bool | None:
        """Whether the vote, not a fallback, is right; None without a reference."""
        if not self.reference:
            return None
        return not self.solution.is_fallback and self.solution.answer in self.reference

    @property
    def num_tokens(self) -> int:
        """Tokens sampled."""
        return sum(trajectory.num_tokens for trajectory in self.trajectories)

    @property
    def num_programs(self) -> int:
        """Programs that were run."""
        return sum(len(trajectory.executions) for trajectory in self.trajectories)

    @property
    def num_programs_ok(self) -> int:
        """Programs that ran without an error."""
        executions = [execution for trajectory in self.trajectories for execution in trajectory.executions]
        return sum(execution.status is ExecutionStatus.OK for execution in executions)

    @property
    def seconds(self) -> float:
        """From the problem's arrival to its verdict."""
        return self.solution.solved_at - self.solution.opened_at


@dataclass(frozen=True, slots=True)
class Summary:
    """A run, problem by problem, in the order in which they were solved."""

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
    def incidents(self) -> tuple[str, ...]:
        """Failures that engine, sandbox or gateway recovered from."""
        return tuple(incident for problem in self.problems for incident in problem.solution.incidents)

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors that ended trajectories or whole problems."""
        ended = [trajectory.error for problem in self.problems for trajectory in problem.trajectories]
        return tuple(filter(None, [*ended, *(problem.solution.error for problem in self.problems)]))

    @property
    def failures(self) -> tuple[str, ...]:
        """All failures, each in one line with the number of times."""
        all_of_them = (self.log_trouble, self._surprise, *self.incidents, *self.errors)
        times = Counter(failure.partition("\n")[0] for failure in all_of_them if failure)
        lines = [failure if many == 1 else f"{failure} ({many} times)" for failure, many in times.items()]
        rest = len(lines) - _MOST_LISTED
        return tuple(lines) if rest <= 0 else (*lines[:_MOST_LISTED], f"and {rest} other things")

    @property
    def _surprise(self) -> str:
        announced, came = self.bank.num_problems if self.bank else None, len(self.problems)
        if self.log_trouble or announced in {None, came}:
            return ""
        return f"{announced} problems were announced, and {came} came"

    @property
    def has_failed(self) -> bool:
        """Whether the run has errors and no vote at all."""
        return bool(self.errors) and self.num_fallbacks == len(self.problems)

    @property
    def line(self) -> str:
        """The run in one sentence."""
        tokens = sum(problem.num_tokens for problem in self.problems)
        ran = sum(problem.num_programs for problem in self.problems)
        ran_ok = sum(problem.num_programs_ok for problem in self.problems)
        seconds = sum(problem.seconds for problem in self.problems)
        return (
            f"{self._title}{len(self.problems)} problems in {show_time(seconds)}: "
            f"{self.num_correct} of {self.num_scored} with a reference right, "
            f"{self.num_fallbacks} without a vote; "
            f"{tokens} tokens, {ran_ok} of {ran} programs ran{self._other_programs}."
        )

    @property
    def _other_programs(self) -> str:
        """How the programs ended that failed, with their numbers."""
        ends = Counter(
            execution.status
            for problem in self.problems
            for trajectory in problem.trajectories
            for execution in trajectory.executions
            if execution.status is not ExecutionStatus.OK
        )
        return f" ({', '.join(f'{many} {end}' for end, many in sorted(ends.items()))})" if ends else ""

    @property
    def _title(self) -> str:
        return "simulated: " if self.is_simulated else ""

    @property
    def time_line(self) -> str:
        """The time by the reasons for which problems ended, and the rest of the limit, if there was one."""
        spent = "; ".join(self._spent_on(reason) for reason in StopReason if self._stopped_by(reason))
        return f"{self._title}time: {spent or 'none'}{self._rest_of_limit}"

    @property
    def vote_line(self) -> str:
        """The number of attempts with a vote, and why the others have none."""
        ended = sum(problem.solution.num_ended for problem in self.problems)
        invalid = sum((Counter(problem.solution.invalid) for problem in self.problems), Counter[NoAnswer]())
        why = (
            f"; without: {', '.join(f'{many} {reason}' for reason, many in sorted(invalid.items()))}"
            if invalid
            else ""
        )
        return f"{self._title}votes: {ended - invalid.total()} of {ended} attempts{why}"

    def _stopped_by(self, reason: StopReason) -> list[ProblemSummary]:
        return [problem for problem in self.problems if problem.solution.stop_reason is reason]

    def _spent_on(self, reason: StopReason) -> str:
        stopped = self._stopped_by(reason)
        seconds = sum(problem.seconds for problem in stopped)
        return f"{len(stopped)} {reason} {show_time(seconds)} ({show_time(seconds / len(stopped))} each)"

    @property
    def _rest_of_limit(self) -> str:
        cuts = [problem.slice for problem in self.problems if problem.slice is not None]
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
        table.add_column("problem", overflow="fold")
        for name in ("answer", "reference"):
            table.add_column(name, justify="right")
        table.add_column("votes", overflow="fold")
        table.add_column("stopped")
        for name in ("ended", "programs ok", "tokens", "seconds"):
            table.add_column(name, justify="right")
        for problem in self.problems:
            table.add_row(*_cells(problem))
        return table


def _cells(problem: ProblemSummary) -> tuple[str, ...]:
    solution = problem.solution
    mark = {True: " ✓", False: " ✗", None: ""}[problem.is_correct]
    return (
        solution.problem_id,
        f"{solution.answer}{' (fallback)' if solution.is_fallback else ''}{mark}",
        show_reference(problem.reference),
        show_votes(Ballot(solution.votes)),
        str(solution.stop_reason),
        f"{solution.num_ended}/{solution.num_started}",
        f"{problem.num_programs_ok}/{problem.num_programs}",
        str(problem.num_tokens),
        f"{problem.seconds:.1f}",
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
    answer_range = preset.rollout.answer_range
    return Summary(
        tuple(
            ProblemSummary(
                solution=problem.solution,
                trajectories=tuple(problem.trajectories),
                reference=read_reference(references.get(problem.solution.problem_id), answer_range),
                slice=problem.opened.slice,
            )
            for problem in read_logged_problems(folder)
            if problem.solution is not None
        ),
        bank=preset.contest.bank,
        is_simulated=is_simulated,
        log_trouble=log_trouble,
    )
