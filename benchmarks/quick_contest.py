"""A contest on a simulated machine, in a tenth of the time that the library's own event loop takes for it.

The referee, the bank, the ballot, the batch and the samples are the library's; what waits is in an event queue here,
where the library has tasks. A test keeps both ways at the same votes at the same time. A thousand contests need it.

Two schedules: trajectories that move alone (ours), and rounds as the winning kernel had them: everybody writes, then
everybody's program runs, with all contexts computed anew each round, every sample to its end.
"""

import heapq
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from numina_infer.answers.extract import extract_answer
from numina_infer.core.config import ContestConfig, Policy
from numina_infer.core.engine_config import SimulatedConfig
from numina_infer.core.events import Ended, Opened, Started
from numina_infer.core.records import (
    AnswerRange,
    ExtractedAnswer,
    NoAnswer,
    Outcome,
    Problem,
    Slice,
    Solution,
    StopReason,
    Trajectory,
    plain_text,
)
from numina_infer.engines.admission import MARGIN, TypicalContext
from numina_infer.engines.scripted_engine import VOCABULARY
from numina_infer.engines.scripts import Cue
from numina_infer.engines.simulated.machine_costs import MachineCosts
from numina_infer.engines.simulated.running_batch import RunningBatch, Stalls
from numina_infer.engines.simulated.running_batch import Sequence as Running
from numina_infer.engines.simulated.samples import RecordedSamples, SampledAuthor
from numina_infer.engines.simulated.simulated_engine import Passage
from numina_infer.formats.numina import NUMINA
from numina_infer.sandbox.simulated_sandbox import pretend
from numina_infer.solving.rollout import turn_seed
from numina_infer.voting.referee import Ledger, Start, Stop, conclude, decide, fold
from numina_infer.voting.time_bank import Bank

CODE_TIMEOUT_S = 5.0
MAX_TOKENS = 2048


@dataclass(frozen=True)
class Setting:
    """What a contest is played with."""

    costs: MachineCosts
    policy: Policy
    contest: ContestConfig
    engine: SimulatedConfig = field(default_factory=SimulatedConfig)
    num_slots: int = 3
    tail_sigma: float = 0.0
    in_rounds: bool = False
    between_s: float = 0.0
    """From a reply to the next problem, at most."""


@dataclass(frozen=True)
class Played:
    """One problem of a contest."""

    solution: Solution
    slice: Slice
    is_right: bool


@lru_cache(maxsize=4096)
def read(text: str) -> ExtractedAnswer:
    """The vote that a last passage states."""
    return extract_answer(text, AnswerRange.MOD_1000)


@lru_cache(maxsize=65536)
def count(text: str) -> int:
    """Tokens of a text."""
    return len(VOCABULARY.encode(text))


@dataclass(eq=False)
class Attempt:
    """One trajectory while it moves."""

    index: int
    ticket: int
    seat_at: float = 0.0
    plan: list[Passage] = field(default_factory=list)
    turn: int = 0
    context: int = 0
    observed: int = 0
    """Tokens of what its last program printed."""
    running: Running | None = None

    @property
    def passage(self) -> Passage:
        """What it says in this turn."""
        return self.plan[self.turn]


class QuickContest:
    """A machine and a clock: plays problem after problem."""

    def __init__(self, setting: Setting, rows: Sequence[tuple[RecordedSamples, int]], seed: int) -> None:
        """`rows` are the problems in order, each with its reference."""
        self.setting, self.rows, self.seed = setting, tuple(rows), seed
        self.now = setting.engine.start_s
        engine = setting.engine
        self.stalls = Stalls(self.now, every_s=engine.stall_every_s, lasting_s=engine.stall_s, seed=engine.seed)
        self.batch = RunningBatch(setting.costs)
        self.typical = TypicalContext(engine.max_model_len)
        self.author = SampledAuthor([row for row, _ in rows], name="", tail_sigma=setting.tail_sigma)
        self.tickets = itertools.count()
        self.pauses = random.Random(seed)  # noqa: S311 (a simulation)

    def play(self) -> Iterator[Played]:
        """Every problem's verdict."""
        bank = Bank(self.setting.contest, 0.0)
        for number, (row, reference) in enumerate(self.rows):
            self.now += self.pauses.uniform(0, self.setting.between_s)
            cut, bank = bank.cut(self.now)
            problem = Problem(str(number), row.problem)
            one = (InRounds if self.setting.in_rounds else MovingAlone)(self, problem, self.now + cut.seconds)
            solution = one.solve()
            self.now = solution.solved_at
            yield Played(solution, cut, not solution.is_fallback and solution.answer == reference)

    def begin(self, attempt: Attempt, problem: Problem) -> None:
        """Draw what `attempt` will say."""
        prompt = plain_text(NUMINA.prompt(problem.statement))
        seed = turn_seed(self.seed, problem.statement, attempt.index, 0)
        self.author.passage(Cue(prompt, seed, attempt.ticket, 0))
        attempt.plan = self.author.forget(attempt.ticket)
        attempt.context = count(prompt)
        attempt.seat_at = self.now

    def join(self, attempt: Attempt, num_uncached: int) -> None:
        """Let a turn of `attempt` run."""
        self.batch.advance(self.stalls.work(self.now))
        num_ids = count(attempt.passage.text) + 1
        is_last = attempt.turn == len(attempt.plan) - 1
        stretch = max(1.0, (attempt.passage.num_tokens or 0) / num_ids)
        length = math.ceil((num_ids if is_last else num_ids - 1) * stretch - 1e-9)  # a stop string leaves the end out
        attempt.running = Running(attempt.ticket, attempt.context, min(length, MAX_TOKENS))
        self.batch.join(attempt.running, num_uncached)

    def next_turn_ends(self) -> float:
        """When the batch wants looking at."""
        return self.stalls.time(self.batch.next_at)


class _One:
    """One problem being solved."""

    def __init__(self, contest: QuickContest, problem: Problem, deadline: float) -> None:
        self.contest, self.problem, self.deadline = contest, problem, deadline
        self.policy = contest.setting.policy
        self.ledger: Ledger = fold(None, Opened(problem, "", deadline, self.policy.num_samples, contest.now))
        self.active: dict[Running, Attempt] = {}
        self.programs: list[tuple[float, int, Attempt]] = []
        self.free = [contest.now] * contest.setting.num_slots
        self.prompt_is_cached = False

    def start(self, number: int) -> list[Attempt]:
        """Record that many starts."""
        first = self.ledger.num_started
        for index in range(first, first + number):
            self.ledger = fold(self.ledger, Started(self.problem.id, index, self.contest.now))
        return [Attempt(index, next(self.contest.tickets)) for index in range(first, first + number)]

    def end(self, attempt: Attempt, outcome: Outcome, answer: ExtractedAnswer) -> None:
        """Record an ending."""
        now = self.contest.now
        ended = Trajectory(self.problem.id, attempt.index, (), outcome, answer, None, attempt.seat_at, now)
        self.ledger = fold(self.ledger, Ended(ended, now), self.policy.weights)

    def run_program(self, attempt: Attempt) -> None:
        """Put its program on the slot that is free first."""
        begin = max(self.contest.now, heapq.heappop(self.free))
        execution = pretend(attempt.passage.text.removeprefix("```python\n"))
        end = begin + min(execution.wall_s, CODE_TIMEOUT_S)
        attempt.observed = count(f"{execution.output}\n```")
        heapq.heappush(self.free, end)
        heapq.heappush(self.programs, (end, attempt.ticket, attempt))

    def observe(self, attempt: Attempt, written: int) -> None:
        """Its context after a turn and the output of its program."""
        attempt.context += written + attempt.observed
        attempt.turn += 1

    def conclude(self, reason: StopReason) -> Solution:
        """The verdict now."""
        return conclude(self.problem.id, self.policy, self.ledger, reason, self.contest.now)


class MovingAlone(_One):
    """Every trajectory for itself, places refilled, stopped when the referee says so."""

    def __init__(self, contest: QuickContest, problem: Problem, deadline: float) -> None:
        super().__init__(contest, problem, deadline)
        self.waiting: list[Attempt] = []
        self.seated: set[Attempt] = set()

    def solve(self) -> Solution:
        """Play until the referee says stop."""
        while True:
            match decide(self.policy, self.ledger, self.contest.now):
                case Start(new):
                    self.waiting += self.start(new)
                    self.seat()
                case Stop(reason):
                    self.hand_over()
                    return self.conclude(reason)
                case _:
                    self.wait()

    def wait(self) -> None:
        """Go on to the next ending, or to the deadline."""
        before = self.ledger.num_ended
        while self.ledger.num_ended == before:
            turn_at, program_at = self.contest.next_turn_ends(), self.programs[0][0] if self.programs else float("inf")
            at = min(turn_at, program_at)
            if at >= self.deadline:
                self.contest.now = self.deadline
                return
            self.contest.now = at
            if program_at <= turn_at:
                self.program_ended(heapq.heappop(self.programs)[2])
            else:
                self.turns_ended()

    def program_ended(self, attempt: Attempt) -> None:
        """On to the next turn; all of the context but the output is cached."""
        self.contest.join(attempt, attempt.observed)
        if attempt.running is not None:
            self.active[attempt.running] = attempt

    def turns_ended(self) -> None:
        """Each to its program, or to its end."""
        for running in self.contest.batch.advance(self.contest.stalls.work(self.contest.now)):
            attempt = self.active.pop(running)
            attempt.running = None
            if running.num_tokens >= MAX_TOKENS:
                self.leave(attempt, Outcome.MAX_TOKENS, ExtractedAnswer(None, NoAnswer.NOT_STATED))
            elif attempt.turn == len(attempt.plan) - 1:
                attempt.context += int(running.num_tokens)
                self.leave(attempt, Outcome.FINISHED, read(attempt.passage.text))
            else:
                self.run_program(attempt)
                self.observe(attempt, int(running.num_tokens))

    def leave(self, attempt: Attempt, outcome: Outcome, answer: ExtractedAnswer) -> None:
        """End it and give its seat to the next."""
        self.seated.remove(attempt)
        self.contest.typical.learn(attempt.context)
        self.end(attempt, outcome, answer)
        self.seat()

    def seat(self) -> None:
        """Give seats while contexts as they usually become fit the cache, as `engines/admission.py` does."""
        if not self.waiting:
            return
        typical, engine = self.contest.typical.tokens, self.contest.setting.engine
        claimed = sum(max(attempt.context + MARGIN, typical) for attempt in self.seated)
        while self.waiting and len(self.seated) < engine.max_num_seqs:
            if self.seated and claimed + typical > self.contest.setting.costs.kv_tokens:
                return
            attempt = self.waiting.pop(0)
            self.seated.add(attempt)
            claimed += typical
            self.contest.begin(attempt, self.problem)
            self.contest.join(attempt, 0 if self.prompt_is_cached else attempt.context)
            self.prompt_is_cached = True
            if attempt.running is not None:
                self.active[attempt.running] = attempt

    def hand_over(self) -> None:
        """End what runs; a last passage that has been written but for its end token still votes."""
        self.contest.batch.advance(self.contest.stalls.work(self.contest.now))
        for running, attempt in sorted(self.active.items(), key=lambda item: item[1].ticket):
            self.contest.batch.leave(running)
            self.end(attempt, Outcome.CUTOFF, self.partial(attempt, running))
        programs = [attempt for _, _, attempt in self.programs]
        for attempt in [*sorted(programs, key=lambda attempt: attempt.ticket), *self.waiting]:
            self.end(attempt, Outcome.CUTOFF, ExtractedAnswer(None, NoAnswer.UNFINISHED))

    def partial(self, attempt: Attempt, running: Running) -> ExtractedAnswer:
        """What the text so far states."""
        num_ids = count(attempt.passage.text) + 1
        is_written = int(running.written + 1e-6) * num_ids >= (num_ids - 1) * running.num_tokens
        is_last = attempt.turn == len(attempt.plan) - 1
        return read(attempt.passage.text) if is_last and is_written else ExtractedAnswer(None, NoAnswer.UNFINISHED)


class InRounds(_One):
    """All samples write, then all programs run, and again; nothing is cached, nothing stops early or in time."""

    def solve(self) -> Solution:
        """Play all rounds."""
        attempts = self.start(self.policy.num_samples)
        for attempt in attempts:
            self.contest.begin(attempt, self.problem)
        while attempts:
            attempts = self.round(attempts)
        return self.conclude(StopReason.EXHAUSTED)

    def round(self, attempts: list[Attempt]) -> list[Attempt]:
        """One round; those that go on."""
        for attempt in attempts:
            self.contest.join(attempt, attempt.context)
        while self.contest.batch.running or self.contest.batch.waiting:
            self.contest.now = self.contest.next_turn_ends()
            self.contest.batch.advance(self.contest.stalls.work(self.contest.now))
        going_on = [attempt for attempt in attempts if not self.finish(attempt)]
        self.free = [self.contest.now] * len(self.free)
        for attempt in going_on:
            self.run_program(attempt)
            self.observe(attempt, int(attempt.running.num_tokens) if attempt.running else 0)
        self.contest.now = max([self.contest.now, *(end for end, _, _ in self.programs)])
        self.programs.clear()
        return going_on

    def finish(self, attempt: Attempt) -> bool:
        """End it if it is at its end."""
        if attempt.running is not None and attempt.running.num_tokens >= MAX_TOKENS:
            self.end(attempt, Outcome.MAX_TOKENS, ExtractedAnswer(None, NoAnswer.NOT_STATED))
        elif attempt.turn == len(attempt.plan) - 1:
            self.end(attempt, Outcome.FINISHED, read(attempt.passage.text))
        else:
            return False
        return True
