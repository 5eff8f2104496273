"""Solves a problem the paper's way: all samples in rounds, each round as slow as its slowest sample.

The rounds are those of NuminaMath's 2024 kernel: generate for every sample that isn't pruned, judge the texts by
`rules.py`, run all programs, four times over.
The promises of this library stay: the cutoff ends a problem in time with the answers stored by then, an error of the
engine or the sandbox costs one sample, programs are locked down, and every ending is recorded.

The run log has a trajectory for each sample. Its turns include those that a restart threw away, so a turn's prompt may
be shorter than the one before. Samples end in the order in which the kernel counts them, which breaks ties.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from numina_infer.core.config import Mode, Policy
from numina_infer.core.events import Started
from numina_infer.core.ports import Cutoff, Decoder
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    Outcome,
    Part,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
    plain_text,
)
from numina_infer.formats.numina import NUMINA
from numina_infer.solving.paper.rules import SILENT_END, STOP, Sample, majority, make_program, process
from numina_infer.solving.rollout import Draft, failure_of, require_recordable, turn_seed
from numina_infer.solving.solver import ProblemRun, Solver, hand_over_s
from numina_infer.voting.referee import Ledger, conclude

_OUTCOMES = {
    FinishReason.STOP: Outcome.MAX_TURNS,
    FinishReason.EOS: Outcome.FINISHED,
    FinishReason.LENGTH: Outcome.MAX_TOKENS,
    FinishReason.CONTEXT: Outcome.CONTEXT_FULL,
    FinishReason.ABORT: Outcome.CUTOFF,
}


@dataclass(frozen=True, slots=True)
class PaperSolver(Solver):
    """Solves problems as the kernel did; the preset sets samples, rounds and sampling. It never stops early."""

    async def solve(self, problem: Problem, opened: Ledger, cutoff: Cutoff, attempts: TaskGroup) -> Solution:
        """The verdict on `problem`, as `Solver.solve` says; its rounds run in `attempts`."""
        run = _PaperRun(self, problem, cutoff, opened, attempts)
        await run.play()
        now = anyio.current_time()
        return papers_verdict(problem.id, self.preset.policy, run.ledger, run.counted, cutoff.reason, now)


def papers_verdict(
    problem_id: str, policy: Policy, ledger: Ledger, ended: Sequence[Trajectory], cut_by: StopReason, now: float
) -> Solution:
    """The kernel's verdict on samples, in the order in which it counts them; `cut_by` is why some were cut off."""
    votes = [trajectory.answer.value for trajectory in ended if trajectory.answer.value is not None]
    was_cut = any(trajectory.outcome is Outcome.CUTOFF for trajectory in ended)
    reason = cut_by if was_cut or not ended else StopReason.EXHAUSTED
    return replace(conclude(problem_id, policy, ledger, reason, now), answer=majority(votes))


@dataclass(slots=True, kw_only=True)
class _PaperDraft(Draft):
    """A sample, with its context for the engine."""

    ticket: int
    sample: Sample
    """Its prompt is the kernel's, without worked examples, so that `rules.py` reads no block in those."""
    context: list[Part]
    """The format's prompt and everything appended to it."""
    program: str | None = None
    """The program to run before the next round."""
    error: str = ""

    def read(self, outcome: Outcome) -> tuple[ExtractedAnswer, int | None]:  # noqa: ARG002 (a stored answer stays)
        """The stored answer."""
        return self.sample.answer, None

    @property
    def has_left(self) -> bool:
        """Whether no later round continues it."""
        return self.sample.is_pruned or (self.outcome is not None and self.outcome.is_failure)

    def write(self, completion: Completion, *, is_last: bool) -> None:
        """Append a round's completion and judge the text, unless the cutoff broke it off."""
        self.turns.append(Turn(completion))
        self.context.append(completion)
        self.sample = self.sample.extended(completion.text)
        if completion.finish_reason is not FinishReason.ABORT:
            self._judge(is_last=is_last)
        if completion.finish_reason is FinishReason.ABORT or is_last or self.sample.is_pruned:
            self.outcome = _OUTCOMES[completion.finish_reason]

    def _judge(self, *, is_last: bool) -> None:
        self.sample, code = process(self.sample, is_last=is_last)
        if self.sample.is_at_prompt:
            self.context = [*self.fmt.prompt(self.problem.statement)]
        self.program = None if code is None else make_program(code)
        self.turns[-1] = replace(self.turns[-1], code=self.program)

    def tell(self, execution: Execution) -> None:
        """Append the result of its program."""
        self.program = None
        shown = NUMINA.observation(self.turns[-1].completion, execution)
        self.turns[-1] = replace(self.turns[-1], execution=execution, observation=shown)
        self.context.append(shown)
        self.sample = self.sample.extended(shown)

    def fail(self, outcome: Outcome, error: str = "") -> None:
        """End it from outside; a stored answer stays."""
        self.outcome, self.error, self.program = outcome, error, None


@dataclass(slots=True)
class _PaperRun(ProblemRun):
    """One problem being solved."""

    samples: list[_PaperDraft] = field(default_factory=list)
    """Those that haven't ended, by index."""
    counted: list[Trajectory] = field(default_factory=list)
    """Those that have ended, in the kernel's order."""
    error: Exception | None = None
    """An error of the rounds themselves, which ends the problem."""

    async def _until_over(self) -> StopReason:
        """Do all rounds; samples still out after the time to hand over end as they are."""
        if self.cutoff.has_passed:
            return self.cutoff.reason
        self._start_all()
        are_done = anyio.Event()
        self.attempts.start_soon(self._to_end, are_done)
        with self.cutoff.scope():
            await are_done.wait()
        with anyio.move_on_after(hand_over_s(self.solver.preset, self.ledger)):
            await are_done.wait()
        if self.error is not None:
            raise self.error
        is_cut = any(sample.outcome in {None, Outcome.CUTOFF} for sample in self.samples)
        return self.cutoff.reason if is_cut else StopReason.EXHAUSTED

    async def _hand_over(self) -> None:
        """Record the samples that are left: their time to hand over is past."""
        self._end(tuple(self.samples))

    async def _to_end(self, are_done: anyio.Event) -> None:
        try:
            await self._rounds()
        except Exception as error:  # noqa: BLE001 (`_until_over`, which waits for the rounds, raises it)
            self.error = error
        finally:
            are_done.set()

    async def _rounds(self) -> None:
        for rounds_left in reversed(range(self.solver.preset.rollout.max_turns)):
            await _together(partial(self._generate, sample, is_last=not rounds_left) for sample in self.samples)
            await _together(
                partial(self._execute, sample, sample.program) for sample in self.samples if sample.program is not None
            )
            self._end([sample for sample in self.samples if sample.has_left])
            if self.cutoff.has_passed:
                return

    def _start_all(self) -> None:
        solver, statement = self.solver, self.problem.statement
        for index in range(solver.preset.policy.num_samples):
            now = anyio.current_time()
            self.ledger = solver.record(Started(self.problem.id, index, now))
            self.samples.append(
                _PaperDraft(
                    problem=self.problem,
                    index=index,
                    fmt=solver.fmt,
                    answer_range=solver.preset.rollout.answer_range,
                    started_at=now,
                    ticket=next(solver.tickets),
                    sample=Sample.of(plain_text(NUMINA.prompt(statement))),
                    context=[*solver.fmt.prompt(statement)],
                )
            )
            self.drafts[index] = self.samples[-1]

    def _end(self, samples: Iterable[_PaperDraft]) -> None:
        for sample in samples:
            self.samples.remove(sample)
            self.counted.append(sample.ended(Outcome.CUTOFF, anyio.current_time(), sample.error))
            self._record(self.counted[-1])

    async def _generate(self, sample: _PaperDraft, *, is_last: bool) -> None:
        preset = self.solver.preset
        sampling = replace(preset.rollout.sampling, stop=STOP)
        seed = turn_seed(preset.contest.seed, self.problem.statement, sample.index, len(sample.turns))
        decoder: Decoder | None = None
        try:
            async with AsyncExitStack() as place:
                with self.cutoff.scope():
                    decoder = await place.enter_async_context(self.solver.engine.slot(sample.ticket))
                if decoder is None:
                    sample.fail(Outcome.CUTOFF)
                    return
                if not sample.turns:
                    sample.started_at = anyio.current_time()
                completion = await decoder.generate(tuple(sample.context), sampling, seed=seed, cutoff=self.cutoff)
                require_recordable(completion)
            sample.write(completion, is_last=is_last)
        except BaseException as raised:  # noqa: BLE001 (the attempt is the failure domain)
            sample.fail(*failure_of(raised))

    async def _execute(self, sample: _PaperDraft, program: str) -> None:
        timeout_s = self.solver.preset.rollout.code_timeout_s
        try:
            async with self.solver.sandbox.session(Mode.FRESH) as session:
                execution = await session.execute(program + SILENT_END, timeout_s=timeout_s, cutoff=self.cutoff)
            # Behind the cutoff a time-out isn't the program's own.
            if not (self.cutoff.has_passed and execution.status is ExecutionStatus.TIMEOUT):
                sample.tell(execution)
        except BaseException as raised:  # noqa: BLE001 (the attempt is the failure domain)
            sample.fail(*failure_of(raised))


async def _together(jobs: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Do all `jobs` and wait for the last one: the kernel's barrier."""
    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(job)
