r"""The paper's way: rounds and votes of NuminaMath's 2024 kernel, a baseline to measure ours against.

Rewritten from project-numina/aimo-progress-prize, kaggle-solution.ipynb; the technical report's algorithms 1 and 2 are
a cleaner version of it. All samples go in rounds, each as slow as its slowest sample: generate for every sample that
isn't pruned, judge the texts, run all programs, four times over.

After every round `process` rules on a sample's whole text, prompt included, in this order:

1. No ```python block: the sample starts again from the prompt, and the round is used up.
2. It doesn't ask for an output, and `\boxed` or «answer is» stands in its last 100 characters: without an ```output
   block the model made the output up, and the sample is pruned; with one the answer is stored. Such a sample isn't
   done: it is continued in every later round, may be reset, and keeps its answer until a later round overwrites it.
3. It is the last round: nothing more happens, so a program of it never runs.
4. It doesn't ask for an output: it starts again.
5. The last ```python block runs, and its output is appended.

An answer is what our own reader finds in those 100 characters, and a decimal is rounded as Python's
`round(float(answer))` does it; below zero is dropped, the rest is taken modulo 1000. The most frequent wins, and the
first of equals; pruned samples come first, then the others by index. Without a vote the answer is 0.
All of this contradicts the rest of the library, on purpose. Programs run, and outputs look, as everywhere else.

The promises of this library stay: the cutoff ends a problem in time with the answers stored by then, an error of the
engine or the sandbox costs one sample, programs are locked down, and every ending is recorded.
The run log has a trajectory for each sample. Its turns include those that a restart threw away, so a turn's prompt may
be shorter than the one before. Samples end in the order in which the kernel counts them.
"""

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from numina_infer.answers.extract import extract_answer
from numina_infer.core.config import Mode, Policy
from numina_infer.core.events import Started
from numina_infer.core.ports import Cutoff, Decoder
from numina_infer.core.records import (
    AnswerRange,
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Part,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
    plain_text,
)
from numina_infer.formats.fences import OUTPUT_FENCE
from numina_infer.formats.numina import NUMINA
from numina_infer.solving.rollout import Draft, failure_of, require_recordable, turn_seed
from numina_infer.solving.solver import ProblemRun, Solver, hand_over_s
from numina_infer.voting.referee import Ledger, conclude

REGION_CHARS = 100
"""An answer must begin within so many characters of the text's end."""

_NO_ANSWER = ExtractedAnswer(None, NoAnswer.NOT_STATED)
_PYTHON_BLOCK = re.compile("```python(.*?)```", re.DOTALL)
_OUTPUT_BLOCK = re.compile("```output(.*?)```", re.DOTALL)


# --- the state machine ---


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the N attempts, in the kernel's form."""

    prompt: str
    text: str
    """The prompt and everything behind it; a restart makes it the prompt again."""
    answer: ExtractedAnswer = _NO_ANSWER
    """The stored one, rounded."""
    is_pruned: bool = False

    @classmethod
    def of(cls, prompt: str) -> "Sample":
        """A sample before its first round."""
        return cls(prompt, prompt)

    @property
    def is_at_prompt(self) -> bool:
        """True before the first round and after a restart."""
        return self.text == self.prompt

    def extended(self, text: str) -> "Sample":
        """The sample with `text`, a completion or an observation, appended."""
        return replace(self, text=self.text + text)


def process(sample: Sample, *, is_last: bool) -> tuple[Sample, str | None]:
    """The sample after a round, and the program to run before the next one, if any; a stored answer stays.

    `is_last` if no other round follows.
    """
    programs, asks = _PYTHON_BLOCK.findall(sample.text), sample.text.endswith(OUTPUT_FENCE)
    if programs and not asks and states_answer(sample.text):
        if _OUTPUT_BLOCK.search(sample.text):
            return replace(sample, answer=read_answer(sample.text)), None
        return replace(sample, is_pruned=True), None
    if programs and is_last:
        return sample, None
    return (sample, programs[-1].strip("\n")) if programs and asks else (replace(sample, text=sample.prompt), None)


# --- answers ---


def states_answer(text: str) -> bool:
    """Whether the last characters of `text` hold what the kernel takes for an answer."""
    region = text[-REGION_CHARS:]
    return "answer is" in region or r"\boxed" in region


def read_answer(text: str) -> ExtractedAnswer:
    """The answer in the last characters of `text`, a decimal rounded; a box counts only if it is closed."""
    region = text[-REGION_CHARS:]
    answer = extract_answer(region, AnswerRange.MOD_1000, complete="boxed" not in region)
    if answer.reason is not NoAnswer.NOT_AN_INTEGER:
        return answer
    try:
        vote = AnswerRange.MOD_1000.place(round(float(answer.raw)))
    except (ValueError, OverflowError):
        return answer
    return answer if isinstance(vote, NoAnswer) else replace(answer, value=vote, reason=None)


def majority(votes: Iterable[int]) -> int:
    """The most frequent vote, the first one seen among equals; 0 without any."""
    leading = Counter(votes).most_common(1)
    return leading[0][0] if leading else 0


# --- rounds ---

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
    """Its prompt is the kernel's, without worked examples, so that no block in those is read."""
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
        self.sample, self.program = process(self.sample, is_last=is_last)
        if self.sample.is_at_prompt:
            self.context = [*self.fmt.prompt(self.problem.statement)]
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
        sampling = replace(preset.rollout.sampling, stop=(OUTPUT_FENCE,))
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
                execution = await session.execute(program, timeout_s=timeout_s, cutoff=self.cutoff)
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
