"""A collection: thousands of problems, several in work at once, so that an engine of many endpoints is never idle.

Evaluation harnesses fill clusters in this way. It runs on a competition's contest without the clock, the API and the
submission, and leaves a run log on which other policies can be replayed.
A trajectory's ticket, given as it starts, is its priority, so later problems fill only the gaps that earlier ones
leave; seeds don't depend on any of it.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from numina_infer.answers.references import read_references
from numina_infer.app.composition import Backends, Info, make_parts, open_contest
from numina_infer.app.run_folder import begun_info, problems_path, resumed_info
from numina_infer.app.tasks import Collection
from numina_infer.core.errors import EngineError
from numina_infer.core.events import Ended, Event, Opened, Solved
from numina_infer.core.records import Problem, Solution
from numina_infer.core.terminal import deferred_interrupt
from numina_infer.runs.collection_summary import CollectionSession, CollectionSummary, summarize_collection
from numina_infer.runs.history import read_outlines
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import read_problems
from numina_infer.runs.progress import show_collection
from numina_infer.solving.contest import Contest, Parts

_LOOK_EVERY_S = 0.5
_MAX_IN_VAIN = 8
"""After so many problems in a row with nothing but errors the engine counts as gone."""


def collect(
    collection: Collection,
    folder: Path,
    console: Console,
    *,
    resume: bool = False,
    backends: Backends | None = None,
    parts: Parts | None = None,
) -> CollectionSummary:
    """Solve the problems into `folder`, with the run log and live progress.

    `backends` are engine and sandbox to take instead of those chosen; `parts` are for a collection among others, whose
    engine is open already, and need no bank.
    On Ctrl-C what is in work stays open for a resumed collection, and `KeyboardInterrupt` goes on to the caller.
    A resumed collection takes problems again in which the engine or the sandbox broke.

    Raises:
        ConfigError: something chosen can't be used; nothing was run.
        RunLogError: `folder` can't be written, or holds another run.
        EngineError: the engine doesn't start, or has gone for good.
    """
    problem_set = read_problems(problems_path(collection))
    parts = parts or _make_parts(collection, console, backends)
    info = resumed_info(collection, folder) if resume else begun_info(collection, parts.preset)
    with RunLog(folder, resume=resume) as log:
        done = _complete_problems(folder) if resume else {}
        left = [problem for problem in problem_set.problems if problem not in done]
        work = _Work(collection.concurrent_problems, left, done)
        session = work.do(parts, log, info, console) if left else CollectionSession()
    references = read_references(problem_set.references, parts.preset.rollout.answer_range)
    return summarize_collection(folder, references, session, is_simulated=parts.clock.is_virtual)


def _make_parts(collection: Collection, console: Console, backends: Backends | None) -> Parts:
    choices, at_once = collection.choices, collection.concurrent_problems
    preset = choices.resolve().without_bank()
    return make_parts(choices, console.print, preset=preset, at_once=at_once, backends=backends)


def _complete_problems(folder: Path) -> Mapping[Problem, Solution]:
    outlines = read_outlines(folder)
    return {
        outline.problem: outline.solution
        for outline in outlines
        if outline.solution is not None and outline.is_complete
    }


@dataclass(frozen=True, slots=True)
class _Work:
    """What one session does."""

    at_once: int
    left: Sequence[Problem]
    done: Mapping[Problem, Solution]

    def do(self, parts: Parts, log: RunLog, info: Info, console: Console) -> CollectionSession:
        """Solve what is left, `at_once` problems at a time."""
        opening = open_contest(
            parts,
            log,
            info,
            num_problems=len(self.left) + len(self.done),
            solved=self.done,
            console=console,
            show=show_collection,
            observers=[vigil := _Vigil(log.folder)],
        )
        with ThreadPoolExecutor(self.at_once) as threads, opening as contest:
            if parts.portal is None:
                self._tell_of_empty_seats(contest, parts.preset.policy.at_once, console)
            started = parts.clock.now()
            pile = _Pile(self.left)
            _await_all(self.at_once, partial(threads.submit, _solve_from, pile, contest, vigil), pile, contest)
            return CollectionSession(len(self.left), parts.clock.now() - started)

    def _tell_of_empty_seats(self, contest: Contest, width: int, console: Console) -> None:
        """Say how many problems at once would fill the engine, if these don't."""
        num_seats = _num_seats(contest.engine.describe())
        wanted = min(math.ceil(num_seats / width), len(self.left))
        if self.at_once < wanted:
            console.print(
                f"{self.at_once} problems at once with {width} trajectories each leave seats of the engine empty, "
                f"which has {num_seats}; --concurrent-problems {wanted} fills it",
                soft_wrap=True,
            )


def _num_seats(described: Mapping[str, str | int | float]) -> int:
    """How many trajectories the engine takes at once; 0 where it doesn't say."""
    num_places = described.get("num_endpoints", described.get("num_replicas", 1))
    return int(described.get("max_num_seqs", 0)) * int(num_places)


class _Pile:
    """Problems in the file's order, each for one thread only."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._problems = deque(problems)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Problem]:
        return self

    def __next__(self) -> Problem:
        with self._lock:
            if not self._problems:
                raise StopIteration
            return self._problems.popleft()

    def clear(self) -> None:
        """Leave the rest for another session."""
        with self._lock:
            self._problems.clear()


class _Vigil:
    """An observer that notices when nothing but errors comes any more.

    With an engine that is gone every further problem would get a verdict without a trajectory, for hours.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sound: set[str] = set()
        """Open problems that have a trajectory which ended without an error."""
        self._num_in_vain = 0
        self._error = ""

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case Opened():
                self._sound.discard(event.problem_id)
            case Ended(trajectory) if trajectory.error:
                self._error = trajectory.error
            case Ended():
                self._sound.add(event.problem_id)
            case Solved():
                self._num_in_vain = 0 if event.problem_id in self._sound else self._num_in_vain + 1
                self._sound.discard(event.problem_id)
            case _:
                pass

    def require_life(self) -> None:
        """Raise `EngineError` where problem after problem ended in errors."""
        if self._num_in_vain >= _MAX_IN_VAIN:
            raise EngineError(
                f"{self._num_in_vain} problems in a row came to nothing but errors, the last since {self._error}; put "
                f"that right and go on with numina-infer collect --resume {self._folder}"
            )


def _solve_from(pile: _Pile, contest: Contest, vigil: _Vigil) -> None:
    for problem in pile:
        contest.solve(problem)
        vigil.require_life()


def _await_all(count: int, submit: Callable[[], Future[None]], pile: _Pile, contest: Contest) -> None:
    """Return when `count` solvers are done; when one fails or the user interrupts, end what is in work first."""
    solvers: list[Future[None]] = []
    try:
        with deferred_interrupt():  # or one might be at work that nobody waits for
            solvers += [submit() for _ in range(count)]
        left = {*solvers}
        while left and not any(solver.exception() for solver in solvers if solver.done()):
            # A Ctrl-C right before a wait doesn't end it, so every wait ends by itself.
            _, left = wait(solvers, timeout=_LOOK_EVERY_S, return_when=FIRST_EXCEPTION)
    finally:
        pile.clear()
        # Again and again, since one may be opening a problem in this very moment.
        while not all(solver.done() for solver in solvers):
            contest.interrupt()
            wait(solvers, timeout=_LOOK_EVERY_S)
    for solver in solvers:
        solver.result()
