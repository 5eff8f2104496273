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
from numina_infer.core.events import Ended, Started, Stopped
from numina_infer.core.ports import Cutoff, Decoder
from numina_infer.core.records import (
    Completion,
    Execution,
    ExecutionStatus,
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
from numina_infer.solving.paper.rules import (
    SILENT_END,
    STOP,
    Sample,
    majority,
    make_program,
    process,
    read_result,
    show_result,
)
from numina_infer.solving.rollout import failure_of, require_recordable, turn_seed
from numina_infer.solving.solver import Solver, hand_over_s
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
        run = _Run(self, problem, cutoff, opened)
        await run.play(attempts)
        now = anyio.current_time()
        return papers_verdict(problem.id, self.preset.policy, run.ledger, run.ended, cutoff.reason, now)


def papers_verdict(
    problem_id: str, policy: Policy, ledger: Ledger, ended: Sequence[Trajectory], cut_by: StopReason, now: float
) -> Solution:
    """The kernel's verdict on samples, in the order in which it counts them; `cut_by` is why some were cut off."""
    votes = [trajectory.answer.value for trajectory in ended if trajectory.answer.value is not None]
    was_cut = any(trajectory.outcome is Outcome.CUTOFF for trajectory in ended)
    reason = cut_by if was_cut or not ended else StopReason.EXHAUSTED
    return replace(conclude(problem_id, policy, ledger, reason, now), answer=majority(votes))


@dataclass(slots=True)
class _Attempt:
    """A sample, with its context for the engine."""

    index: int
    ticket: int
    prompt: tuple[Part, ...]
    """The format's, worked examples included."""
    context: list[Part]
    """The prompt and everything appended to it."""
    sample: Sample
    """Its prompt is the kernel's, without worked examples, so that `rules.py` reads no block in those."""
    started_at: float
    turns: list[Turn] = field(default_factory=list)
    program: str | None = None
    """The program to run before the next round."""
    outcome: Outcome | None = None
    """None while it goes on."""
    error: str = ""

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
            self.context = list(self.prompt)
        self.program = None if code is None else make_program(code)
        self.turns[-1] = replace(self.turns[-1], code=self.program)

    def tell(self, execution: Execution, timeout_s: float) -> None:
        """Append the result of its program."""
        self.program = None
        shown = show_result(read_result(execution, timeout_s))
        self.turns[-1] = replace(self.turns[-1], execution=execution, observation=shown)
        self.context.append(shown)
        self.sample = self.sample.extended(shown)

    def fail(self, outcome: Outcome, error: str = "") -> None:
        """End it from outside; a stored answer stays."""
        self.outcome, self.error = outcome, error
        self.program = None

    def trajectory(self, problem: Problem, now: float) -> Trajectory:
        """Its record, ended at loop time `now`."""
        return Trajectory(
            problem_id=problem.id,
            index=self.index,
            turns=tuple(self.turns),
            outcome=self.outcome or Outcome.CUTOFF,
            answer=self.sample.extracted,
            started_at=self.started_at,
            ended_at=now,
            error=self.error,
        )


@dataclass(slots=True)
class _Run:
    """One problem being solved."""

    solver: PaperSolver
    problem: Problem
    cutoff: Cutoff
    ledger: Ledger
    attempts: list[_Attempt] = field(default_factory=list)
    """Those that haven't ended, by index."""
    ended: list[Trajectory] = field(default_factory=list)
    error: Exception | None = None
    """An error of the rounds themselves, which ends the problem."""

    async def play(self, group: TaskGroup) -> None:
        """Do all rounds in `group`; samples still out after the time to hand over end as they are."""
        if self.cutoff.has_passed:
            return
        self._start()
        are_done = anyio.Event()
        try:
            group.start_soon(self._to_end, are_done)
            with self.cutoff.scope():
                await are_done.wait()
            with anyio.move_on_after(hand_over_s(self.solver.preset, self.ledger)):
                await are_done.wait()
        finally:
            now = anyio.current_time()
            self.ledger = self.solver.record(Stopped(self.problem.id, self._stop_reason, now))
            self._end(list(self.attempts))
        if self.error is not None:
            raise self.error

    @property
    def _stop_reason(self) -> StopReason:
        if self.error is not None:
            return StopReason.FAILED
        is_cut = any(attempt.outcome in {None, Outcome.CUTOFF} for attempt in self.attempts)
        return self.cutoff.reason if is_cut else StopReason.EXHAUSTED

    async def _to_end(self, are_done: anyio.Event) -> None:
        try:
            await self._rounds()
        except Exception as error:  # noqa: BLE001 (`play`, which waits for the rounds, raises it)
            self.error = error
        finally:
            are_done.set()

    async def _rounds(self) -> None:
        for rounds_left in reversed(range(self.solver.preset.rollout.max_turns)):
            await _together(partial(self._generate, attempt, is_last=not rounds_left) for attempt in self.attempts)
            await _together(
                partial(self._execute, attempt, attempt.program)
                for attempt in self.attempts
                if attempt.program is not None
            )
            self._end([attempt for attempt in self.attempts if attempt.has_left])
            if self.cutoff.has_passed:
                return

    def _start(self) -> None:
        statement = self.problem.statement
        prompt = self.solver.fmt.prompt(statement)
        sample = Sample.of(plain_text(NUMINA.prompt(statement)))
        for index in range(self.solver.preset.policy.num_samples):
            now = anyio.current_time()
            self.ledger = self.solver.record(Started(self.problem.id, index, now))
            self.attempts.append(_Attempt(index, next(self.solver.tickets), prompt, list(prompt), sample, now))

    def _end(self, attempts: Iterable[_Attempt]) -> None:
        for attempt in attempts:
            self.attempts.remove(attempt)
            now = anyio.current_time()
            self.ended.append(attempt.trajectory(self.problem, now))
            self.ledger = self.solver.record(Ended(self.ended[-1], now))

    async def _generate(self, attempt: _Attempt, *, is_last: bool) -> None:
        try:
            completion = await self._completion(attempt)
            if completion is None:
                attempt.fail(Outcome.CUTOFF)
            else:
                attempt.write(completion, is_last=is_last)
        except BaseException as raised:  # noqa: BLE001 (the attempt is the failure domain)
            attempt.fail(*failure_of(raised))

    async def _completion(self, attempt: _Attempt) -> Completion | None:
        """The model's next completion, or None if the cutoff comes before there is a slot."""
        preset = self.solver.preset
        sampling = replace(preset.rollout.sampling, stop=STOP)
        seed = turn_seed(preset.contest.seed, self.problem.statement, attempt.index, len(attempt.turns))
        async with AsyncExitStack() as place:
            decoder = await self._decoder(attempt.ticket, place)
            if decoder is None:
                return None
            if not attempt.turns:
                attempt.started_at = anyio.current_time()
            completion = await decoder.generate(tuple(attempt.context), sampling, seed=seed, cutoff=self.cutoff)
            require_recordable(completion)
            return completion

    async def _decoder(self, ticket: int, place: AsyncExitStack) -> Decoder | None:
        with self.cutoff.scope():
            return await place.enter_async_context(self.solver.engine.slot(ticket))
        return None

    async def _execute(self, attempt: _Attempt, program: str) -> None:
        timeout_s = self.solver.preset.rollout.code_timeout_s
        try:
            async with self.solver.sandbox.session(Mode.FRESH) as session:
                execution = await session.execute(program + SILENT_END, timeout_s=timeout_s, cutoff=self.cutoff)
            # Behind the cutoff a time-out isn't the program's own.
            if not (self.cutoff.has_passed and execution.status is ExecutionStatus.TIMEOUT):
                attempt.tell(execution, timeout_s)
        except BaseException as raised:  # noqa: BLE001 (the attempt is the failure domain)
            attempt.fail(*failure_of(raised))


async def _together(jobs: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Do all `jobs` and wait for the last one: the kernel's barrier."""
    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(job)
