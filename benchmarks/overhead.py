"""What our own process costs a turn: processor time at 1, 48 and 512 trajectories in flight.

The real solver and referee, formats, answer reader and run log (written to a temporary folder, each event before it is
decided on), with the scripted engine and the scripted sandbox in the model's and the programs' place.
Trajectories have three turns, two of them with a program, of the length that a 7B model writes.
The baseline of the same run is the same contexts and texts through the scripted engine and nothing else: what is above
it is the library's own. The scripted engine hands over a token at a time, as a stream from a server does.
Floor: 2 ms a turn at 48 in flight, all in all; aim 1 ms.
"""

import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import anyio

from benchmarks.frame import Target, finish, name_machine, read_options, show
from numina_infer.core.config import Policy, RolloutConfig, StopRule
from numina_infer.core.events import Ended, Event, Opened
from numina_infer.core.ports import Cutoff
from numina_infer.core.presets import Preset
from numina_infer.core.records import Part, Problem
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.log import RunLog
from numina_infer.solving.solver import Solver
from numina_infer.voting.referee import Ledger, fold
from tests.scripted_sandbox import ScriptedSandbox

IN_FLIGHT = (1, 48, 512)
NUM_TURNS = 3
TIME_S = 600.0
STATEMENT = (
    "Let $S$ be the set of positive integers $n$ below $1000$ such that $n^2+n+{number}$ is divisible by $7$. "
    "Find the remainder when the sum of all elements of $S$ is divided by $1000$."
)
SEARCH = """We want the integers $n$ with $1 \\le n < 1000$ for which $n^2 + n + {number}$ is divisible by $7$.
Only the residue of $n$ modulo $7$ matters, so it is enough to try the seven residues, but there are few enough
candidates to try them all. Let's write a program that collects them, and look at the first few.
```python
def is_member(n, shift={number}):
    return (n**2 + n + shift) % 7 == 0

members = [n for n in range(1, 1000) if is_member(n)]
print(len(members), members[:10])
```
```output
"""
CHECK = """
The members lie in two residue classes modulo $7$, as a quadratic congruence modulo a prime can have at most two roots.
Now let's add them up, and check the sum with arithmetic progressions, one for each residue.
```python
from sympy import symbols, summation

k = symbols("k", integer=True)
residues = sorted({{n % 7 for n in range(1, 1000) if (n**2 + n + {number}) % 7 == 0}})
direct = sum(n for n in range(1, 1000) if n % 7 in residues)
closed = sum(summation(7 * k + r, (k, 0, (999 - r) // 7)) for r in residues)
print(direct, closed, direct % 1000)
```
```output
"""
LAST_WORD = """
The two ways of adding them up agree. The direct sum runs over all members one by one, and the closed form adds two
arithmetic progressions with difference $7$, the first terms of which are the two residues; their last terms are the
largest members below $1000$ in each class. So nothing was counted twice, and nothing was left out.
What is asked for is the remainder of this sum modulo $1000$, which is what stands last in the output above.

Therefore the answer is $\\boxed{{{number}}}$.
"""
OUTPUT = "285 [2, 4, 9, 11, 16, 18, 23, 25, 30, 32]\n"


@dataclass(frozen=True)
class Cost:
    """Processor time of this process over some turns."""

    turns: int
    seconds: float

    @property
    def ms_a_turn(self) -> float:
        """Milliseconds."""
        return 1000 * self.seconds / self.turns


def scripted(num_seqs: int) -> ScriptedEngine:
    """The model: as many different trajectories as run at once."""
    texts = [[turn.format(number=number) for turn in (SEARCH, CHECK, LAST_WORD)] for number in range(num_seqs)]
    return ScriptedEngine(texts, max_num_seqs=num_seqs)


def problem(number: int) -> Problem:
    """One of many alike."""
    return Problem(f"p{number}", STATEMENT.format(number=number))


class Recorder:
    """Writes events down as a contest does, and counts turns."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._ledger: Ledger | None = None
        self.num_turns = 0

    def __call__(self, event: Event) -> Ledger:
        """Take one event in; a trajectory must be whole, or something else than solving is measured."""
        self._log.write(event)
        self._ledger = fold(self._ledger, event)
        if isinstance(event, Ended):
            assert len(event.trajectory.turns) == NUM_TURNS, event.trajectory.outcome
            assert event.trajectory.answer.reason is None
            self.num_turns += NUM_TURNS
        return self._ledger


async def solve(num_seqs: int, num_problems: int) -> Cost:
    """All of the library: problems one after the other, `num_seqs` trajectories each."""
    preset = Preset("numina", RolloutConfig(), Policy(num_samples=num_seqs, stop_rule=StopRule.NEVER))
    engine, tickets = scripted(num_seqs), count()
    with tempfile.TemporaryDirectory() as folder, RunLog(Path(folder)) as log:
        async with ScriptedSandbox(lambda _code: OUTPUT) as sandbox:
            record = Recorder(log)
            solver = Solver(NUMINA, engine, sandbox, preset, record, tickets)
            before = time.process_time()
            for number in range(num_problems):
                now = anyio.current_time()
                opened = record(Opened(problem(number), "", now + TIME_S, num_seqs, now))
                async with anyio.create_task_group() as attempts:
                    await solver.solve(problem(number), opened, Cutoff(now + TIME_S), attempts)
            return Cost(record.num_turns, time.process_time() - before)


async def speak(num_seqs: int, num_problems: int) -> Cost:
    """The scripted engine alone: the same contexts and texts."""
    engine, tickets = scripted(num_seqs), count()
    before = time.process_time()
    for number in range(num_problems):
        async with anyio.create_task_group() as tasks:
            for _ in range(num_seqs):
                tasks.start_soon(speak_once, engine, next(tickets), problem(number))
    return Cost(NUM_TURNS * next(tickets), time.process_time() - before)


async def speak_once(engine: ScriptedEngine, ticket: int, asked: Problem) -> None:
    """One trajectory."""
    context: list[Part] = [*NUMINA.prompt(asked.statement)]
    params, cutoff = replace(RolloutConfig().sampling, stop=NUMINA.stop), Cutoff(anyio.current_time() + TIME_S)
    async with engine.slot(ticket) as decoder:
        for _ in range(NUM_TURNS):
            completion = await decoder.generate(context, params, seed=0, cutoff=cutoff)
            context += [completion, f"{OUTPUT}```"]


Measured = Callable[[int, int], Coroutine[None, None, Cost]]


@dataclass(frozen=True)
class Figures:
    """At one number in flight, milliseconds of processor time a turn."""

    in_flight: int
    turns: int
    ms: float
    """All in all."""
    engine_ms: float
    """The scripted engine alone."""

    @property
    def our_ms(self) -> float:
        """What is the library's own."""
        return self.ms - self.engine_ms


def measure(num_seqs: int, num_trajectories: int, repeats: int) -> Figures:
    """The best of `repeats`, both in turns so that a busy spell hits both."""
    num_problems = max(1, num_trajectories // num_seqs)
    costs: dict[Measured, list[Cost]] = {solve: [], speak: []}
    for _ in range(repeats):
        for measured, into in costs.items():
            into.append(anyio.run(measured, num_seqs, num_problems))
    whole, engine = (min(some, key=lambda cost: cost.ms_a_turn) for some in costs.values())
    return Figures(num_seqs, whole.turns, whole.ms_a_turn, engine.ms_a_turn)


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = read_options(__doc__, "96 trajectories at least and three repeats instead of 512 and five")
    num_trajectories, repeats = (96, 3) if options.short else (512, 5)
    print(name_machine())
    measure(48, 48, 1)  # warm: modules, regular expressions, the allocator
    figures = {num_seqs: measure(num_seqs, num_trajectories, repeats) for num_seqs in IN_FLIGHT}
    head = ["in flight", "turns", "ms a turn", "engine alone", "ours", "ratio"]
    show(head, [(f.in_flight, f.turns, f.ms, f.engine_ms, f.our_ms, f.ms / f.engine_ms) for f in figures.values()])
    at_48 = Target("CPU a turn, 48 in flight", figures[48].ms, 2, 1, " ms", at_most=True)
    finish(options, {str(num_seqs): asdict(row) for num_seqs, row in figures.items()}, [at_48])


if __name__ == "__main__":
    main()
